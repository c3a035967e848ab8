#include "fs/serial.h"

static BgfsTask *next_task(BgfsSerial *serial)
{
  pthread_mutex_lock(&serial->lock);
  BgfsTask *next = g_queue_pop_head(&serial->waiting);
  if (!next)
    serial->running = false;
  pthread_mutex_unlock(&serial->lock);
  return next;
}

static void drain(BgfsTask *head)
{
  BgfsSerial *serial = (BgfsSerial *)head;
  for (BgfsTask *task; (task = next_task(serial));)
    task->run(task);
}

void bgfs_serial_init(BgfsSerial *serial)
{
  *serial = (BgfsSerial){.drain = {drain}};
  pthread_mutex_init(&serial->lock, NULL);
  g_queue_init(&serial->waiting);
}

void bgfs_serial_clear(BgfsSerial *serial)
{
  g_queue_clear(&serial->waiting);
  pthread_mutex_destroy(&serial->lock);
}

void bgfs_serial_submit(BgfsSerial *serial, BgfsPool *pool, BgfsTask *task)
{
  pthread_mutex_lock(&serial->lock);
  g_queue_push_tail(&serial->waiting, task);
  bool first = !serial->running;
  serial->running = true;
  pthread_mutex_unlock(&serial->lock);
  if (first)
    bgfs_pool_submit(pool, &serial->drain);
}

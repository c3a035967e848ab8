#include "fs/qmp/output.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

void bgfs_qmp_output_init(BgfsQmpOutput *output, int fd)
{
  *output = (BgfsQmpOutput){.fd = fd, .bytes = g_byte_array_new()};
  pthread_mutex_init(&output->lock, NULL);
}

void bgfs_qmp_output_clear(BgfsQmpOutput *output)
{
  g_byte_array_unref(output->bytes);
  pthread_mutex_destroy(&output->lock);
}

/* Under the lock. */
static size_t waiting(const BgfsQmpOutput *output)
{
  return output->bytes->len - output->sent;
}

static void forget_all(BgfsQmpOutput *output)
{
  g_byte_array_unref(output->bytes);
  output->bytes = g_byte_array_new();
  output->sent = 0;
}

static void give_up(BgfsQmpOutput *output)
{
  output->broken = true;
  forget_all(output);
}

static void send_some(BgfsQmpOutput *output)
{
  while (waiting(output) > 0) {
    ssize_t count = send(output->fd, output->bytes->data + output->sent, waiting(output), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0 && errno != EAGAIN)
      give_up(output);
    if (count < 0)
      return;
    output->sent += (size_t)count;
  }
  if (output->sent > 0)
    forget_all(output);
}

bool bgfs_qmp_output_add(BgfsQmpOutput *output, const char *text)
{
  size_t length = strlen(text);
  pthread_mutex_lock(&output->lock);
  bool first = waiting(output) == 0;
  if (!output->broken)
    g_byte_array_append(output->bytes, (const guint8 *)text, (guint)length);
  send_some(output);
  if (!first && waiting(output) > BGFS_QMP_MAX_OUTPUT)
    give_up(output);
  bool done = !output->broken && waiting(output) == 0;
  pthread_mutex_unlock(&output->lock);
  return done;
}

void bgfs_qmp_output_send(BgfsQmpOutput *output)
{
  pthread_mutex_lock(&output->lock);
  send_some(output);
  pthread_mutex_unlock(&output->lock);
}

size_t bgfs_qmp_output_waiting(BgfsQmpOutput *output)
{
  pthread_mutex_lock(&output->lock);
  size_t bytes = waiting(output);
  pthread_mutex_unlock(&output->lock);
  return bytes;
}

bool bgfs_qmp_output_is_broken(BgfsQmpOutput *output)
{
  pthread_mutex_lock(&output->lock);
  bool broken = output->broken;
  pthread_mutex_unlock(&output->lock);
  return broken;
}

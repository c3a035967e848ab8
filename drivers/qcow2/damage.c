#include "drivers/qcow2/image.h"

#include <errno.h>

int qcow2_damage(Qcow2 *q, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  g_autofree char *message = g_strdup_vprintf(format, args);
  va_end(args);
  pthread_mutex_lock(&q->damage_lock);
  if (!q->damage_reason) {
    q->damage_reason = g_strdup(message);
    q->damage = g_steal_pointer(&message);
  }
  pthread_mutex_unlock(&q->damage_lock);
  atomic_store(&q->damaged, true);
  return -EIO;
}

static void set_corrupt(Qcow2Header *header, const void *data)
{
  (void)data;
  if (header->version >= 3)
    header->incompatible |= QCOW2_INCOMPAT_CORRUPT;
}

int qcow2_damage_report(Qcow2 *q, int result)
{
  if (G_LIKELY(!atomic_load_explicit(&q->damaged, memory_order_relaxed)))
    return result;
  pthread_mutex_lock(&q->damage_lock);
  g_autofree char *message = g_steal_pointer(&q->damage);
  pthread_mutex_unlock(&q->damage_lock);
  if (!message)
    return result;
  pthread_rwlock_rdlock(&q->lock);
  bool mark = q->writable && q->version >= 3;
  pthread_rwlock_unlock(&q->lock);
  /* Best effort: an image that cannot be marked is refused in memory all the same. */
  if (mark && qcow2_header_change(q, set_corrupt, NULL) < 0)
    q->host->event(q->host, BG_EVENT_WARNING, "The image could not be marked as corrupt");
  q->host->event(q->host, BG_EVENT_CORRUPT, message);
  return result;
}

int qcow2_header_change(Qcow2 *q, void (*apply)(Qcow2Header *header, const void *data), const void *data)
{
  pthread_mutex_lock(&q->header_lock);
  Qcow2Header next = q->header; /* the strings stay where they are */
  apply(&next, data);
  int r = qcow2_header_write(q->file, &next);
  if (r == 0)
    q->header = next;
  pthread_mutex_unlock(&q->header_lock);
  return r;
}

/* The way of a freed cluster back to the allocator: metadata durable, refcount lowered, last reader gone. */
#include "drivers/qcow2/alloc.h"

#include <errno.h>

/* Lowers refcounts; what comes to zero is out of the image but may still be read until the epoch has passed. Damage must not
 * keep the rest from going: such a cluster is left alone. */
static int lower(Qcow2 *q, uint64_t epoch, GArray *freed)
{
  int result = 0;
  guint done = 0;
  for (; done < freed->len && result == 0; done++) {
    const Qcow2Freed *one = &g_array_index(freed, Qcow2Freed, done);
    uint64_t left;
    int r = qcow2_refcount_lower(q, one->cluster, &left);
    if (r < 0 && !atomic_load(&q->damaged)) {
      result = r; /* could not be read: again the next time */
      break;
    }
    if (r < 0 || left)
      continue;
    Qcow2Quarantined resting = {one->cluster, epoch, one->unmap};
    g_array_append_val(q->quarantine, resting);
    g_hash_table_add(q->quarantined, GSIZE_TO_POINTER(one->cluster));
  }
  g_array_remove_range(freed, 0, done);
  return result;
}

static int lower_freed(Qcow2 *q)
{
  pthread_rwlock_rdlock(&q->lock);
  bool any = q->freed_durable->len;
  pthread_rwlock_unlock(&q->lock);
  if (!any)
    return 0;
  /* All of them were freed in memory before now, and write_back_lock keeps others from being added. */
  uint64_t epoch = q->host->epoch(q->host);
  pthread_rwlock_wrlock(&q->lock);
  int r = lower(q, epoch, q->freed_durable);
  pthread_rwlock_unlock(&q->lock);
  return r;
}

/* The clusters at the head of the quarantine that nobody reads any more: how many. */
static guint count_passed(Qcow2 *q, const GArray *quarantine)
{
  guint passed = 0;
  for (uint64_t epoch = 0; passed < quarantine->len; passed++) {
    const Qcow2Quarantined *resting = &g_array_index(quarantine, Qcow2Quarantined, passed);
    if ((passed == 0 || resting->epoch != epoch) && !q->host->epoch_passed(q->host, resting->epoch))
      break;
    epoch = resting->epoch;
  }
  return passed;
}

/* Punches runs of clusters; only a hint, so failures do not matter. */
static void unmap(Qcow2 *q, const GArray *quarantine, guint count)
{
  for (guint i = 0; i < count;) {
    const Qcow2Quarantined *start = &g_array_index(quarantine, Qcow2Quarantined, i);
    uint64_t run = 1;
    for (i++; i < count; i++, run++) {
      const Qcow2Quarantined *next = &g_array_index(quarantine, Qcow2Quarantined, i);
      if (next->cluster != start->cluster + run || next->unmap != start->unmap)
        break;
    }
    if (start->unmap)
      q->file->ops->discard(q->file, start->cluster << q->cluster_bits, run << q->cluster_bits);
  }
}

static void end_quarantine(Qcow2 *q)
{
  pthread_rwlock_rdlock(&q->lock);
  g_autoptr(GArray) resting = g_array_copy(q->quarantine);
  pthread_rwlock_unlock(&q->lock);
  guint passed = count_passed(q, resting);
  unmap(q, resting, passed);
  if (passed == 0)
    return;
  pthread_rwlock_wrlock(&q->lock);
  for (guint i = 0; i < passed; i++) {
    uint64_t cluster = g_array_index(resting, Qcow2Quarantined, i).cluster;
    g_hash_table_remove(q->quarantined, GSIZE_TO_POINTER(cluster));
    q->free_hint = MIN(q->free_hint, cluster);
  }
  g_array_remove_range(q->quarantine, 0, passed);
  pthread_rwlock_unlock(&q->lock);
}

int qcow2_release(Qcow2 *q)
{
  int r = lower_freed(q);
  end_quarantine(q);
  return r;
}

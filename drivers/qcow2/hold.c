/* Clusters of which only some subclusters change. The core serialises by subclusters, but space is taken and given back by clusters. */
#include "drivers/qcow2/image.h"

static void *key_of(const Qcow2 *q, uint64_t offset)
{
  return GSIZE_TO_POINTER((offset >> q->cluster_bits) + 1);
}

void qcow2_hold(Qcow2 *q, uint64_t first, uint64_t second)
{
  if (!q->extended)
    return;
  void *one = key_of(q, first), *other = key_of(q, second);
  pthread_mutex_lock(&q->hold_lock);
  /* both at once, so that nobody waits who holds; a holder waits for nothing but storage */
  while (g_hash_table_contains(q->held, one) || g_hash_table_contains(q->held, other))
    pthread_cond_wait(&q->hold_end, &q->hold_lock);
  g_hash_table_add(q->held, one);
  g_hash_table_add(q->held, other);
  pthread_mutex_unlock(&q->hold_lock);
}

void qcow2_let_go(Qcow2 *q, uint64_t first, uint64_t second)
{
  if (!q->extended)
    return;
  pthread_mutex_lock(&q->hold_lock);
  g_hash_table_remove(q->held, key_of(q, first));
  g_hash_table_remove(q->held, key_of(q, second));
  pthread_cond_broadcast(&q->hold_end);
  pthread_mutex_unlock(&q->hold_lock);
}

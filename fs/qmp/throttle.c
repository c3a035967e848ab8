#include "fs/qmp/throttle.h"

typedef struct Entry {
  int64_t until; /* nothing more is told before */
  gpointer held; /* NULL: nothing */
} Entry;

struct BgfsQmpThrottle {
  GHashTable *entries; /* node to Entry: of those that told something in the last second, and have something held */
  GDestroyNotify free;
};

BgfsQmpThrottle *bgfs_qmp_throttle_new(GDestroyNotify free)
{
  BgfsQmpThrottle *throttle = g_new0(BgfsQmpThrottle, 1);
  throttle->entries = g_hash_table_new_full(NULL, NULL, NULL, g_free);
  throttle->free = free;
  return throttle;
}

void bgfs_qmp_throttle_free(BgfsQmpThrottle *throttle)
{
  GHashTableIter iter;
  gpointer value;
  g_hash_table_iter_init(&iter, throttle->entries);
  while (g_hash_table_iter_next(&iter, NULL, &value))
    g_clear_pointer(&((Entry *)value)->held, throttle->free);
  g_hash_table_unref(throttle->entries);
  g_free(throttle);
}

static gboolean is_over(gpointer node, gpointer value, gpointer now)
{
  (void)node;
  const Entry *entry = value;
  return !entry->held && entry->until <= *(int64_t *)now;
}

static void begin_second(BgfsQmpThrottle *throttle, const void *node, int64_t now)
{
  g_hash_table_foreach_remove(throttle->entries, is_over, &now);
  Entry *entry = g_new0(Entry, 1);
  entry->until = now + G_USEC_PER_SEC;
  g_hash_table_replace(throttle->entries, (gpointer)node, entry);
}

bool bgfs_qmp_throttle_pass(BgfsQmpThrottle *throttle, const void *node, gpointer item, int64_t now)
{
  Entry *entry = g_hash_table_lookup(throttle->entries, node);
  if (!entry || is_over(NULL, entry, &now)) {
    begin_second(throttle, node, now);
    return true;
  }
  g_clear_pointer(&entry->held, throttle->free);
  entry->held = item;
  return false;
}

static const Entry *first_held(const BgfsQmpThrottle *throttle, gpointer *node)
{
  const Entry *first = NULL;
  GHashTableIter iter;
  gpointer key, value;
  g_hash_table_iter_init(&iter, throttle->entries);
  while (g_hash_table_iter_next(&iter, &key, &value)) {
    const Entry *entry = value;
    if (!entry->held || (first && first->until <= entry->until))
      continue;
    first = entry;
    *node = key;
  }
  return first;
}

int64_t bgfs_qmp_throttle_due(const BgfsQmpThrottle *throttle)
{
  gpointer node;
  const Entry *first = first_held(throttle, &node);
  return first ? first->until : INT64_MAX;
}

gpointer bgfs_qmp_throttle_take(BgfsQmpThrottle *throttle, int64_t now)
{
  gpointer node;
  const Entry *first = first_held(throttle, &node);
  if (!first || first->until > now)
    return NULL;
  gpointer item = first->held;
  begin_second(throttle, node, now);
  return item;
}

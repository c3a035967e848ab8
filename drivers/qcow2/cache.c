#include "drivers/qcow2/cache.h"

enum { MIN_TABLES = 4 };

static void table_free(void *data)
{
  Qcow2Table *table = data;
  g_free(table->data);
  g_free(table);
}

void qcow2_cache_init(Qcow2Cache *cache, size_t table_size, uint64_t limit_bytes)
{
  *cache = (Qcow2Cache){.table_size = table_size};
  cache->tables = g_hash_table_new(g_int64_hash, g_int64_equal);
  cache->ring = g_ptr_array_new_with_free_func(table_free);
  qcow2_cache_set_limit(cache, limit_bytes);
}

void qcow2_cache_destroy(Qcow2Cache *cache)
{
  g_clear_pointer(&cache->tables, g_hash_table_unref);
  g_clear_pointer(&cache->ring, g_ptr_array_unref);
}

void qcow2_cache_set_limit(Qcow2Cache *cache, uint64_t limit_bytes)
{
  cache->limit = MAX(limit_bytes / cache->table_size, MIN_TABLES);
}

Qcow2Table *qcow2_cache_find(Qcow2Cache *cache, uint64_t offset)
{
  Qcow2Table *table = g_hash_table_lookup(cache->tables, &offset);
  if (table && !atomic_load_explicit(&table->used, memory_order_relaxed))
    atomic_store_explicit(&table->used, true, memory_order_relaxed);
  return table;
}

static void drop_at(Qcow2Cache *cache, size_t index)
{
  Qcow2Table *table = g_ptr_array_index(cache->ring, index);
  g_assert(!table->pins && !table->writing);
  qcow2_table_clean(cache, table);
  if (table->modified)
    cache->generation++;
  g_hash_table_remove(cache->tables, &table->offset);
  g_ptr_array_remove_index_fast(cache->ring, index);
}

/* Makes room for one table, as far as the clock finds tables that may go. */
static void evict(Qcow2Cache *cache)
{
  size_t looks = 2 * cache->ring->len;
  while (cache->ring->len >= cache->limit && looks--) {
    if (cache->hand >= cache->ring->len)
      cache->hand = 0;
    Qcow2Table *table = g_ptr_array_index(cache->ring, cache->hand);
    bool held = table->pins || table->writing || qcow2_table_is_dirty(table);
    if (!held && !atomic_load_explicit(&table->used, memory_order_relaxed))
      drop_at(cache, cache->hand); /* the newest table takes its place: that is passed over, too */
    else
      atomic_store_explicit(&table->used, false, memory_order_relaxed);
    cache->hand++;
  }
}

static void forget(Qcow2Cache *cache, uint64_t offset)
{
  Qcow2Table *table = g_hash_table_lookup(cache->tables, &offset);
  guint index;
  if (table && g_ptr_array_find(cache->ring, table, &index))
    drop_at(cache, index);
}

Qcow2Table *qcow2_cache_insert(Qcow2Cache *cache, uint64_t offset, uint8_t *data)
{
  forget(cache, offset);
  evict(cache);
  Qcow2Table *table = g_new0(Qcow2Table, 1);
  table->offset = offset;
  table->data = data;
  atomic_init(&table->used, false); /* what is only read through once goes first */
  g_ptr_array_add(cache->ring, table);
  g_hash_table_insert(cache->tables, &table->offset, table);
  return table;
}

void qcow2_cache_remove(Qcow2Cache *cache, uint64_t offset)
{
  cache->generation++;
  forget(cache, offset);
}

void qcow2_cache_clear(Qcow2Cache *cache)
{
  cache->generation++;
  while (cache->ring->len)
    drop_at(cache, cache->ring->len - 1);
}

void qcow2_table_mark(Qcow2Cache *cache, Qcow2Table *table, size_t from, size_t length)
{
  if (!qcow2_table_is_dirty(table)) {
    cache->dirty++;
    table->dirty_from = from;
    table->dirty_to = from + length;
  } else {
    table->dirty_from = MIN(table->dirty_from, from);
    table->dirty_to = MAX(table->dirty_to, from + length);
  }
  table->modified = true;
}

void qcow2_table_clean(Qcow2Cache *cache, Qcow2Table *table)
{
  if (qcow2_table_is_dirty(table))
    cache->dirty--;
  table->dirty_from = table->dirty_to = 0;
}

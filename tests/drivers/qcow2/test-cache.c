#include "drivers/qcow2/cache.h"

#include <criterion/criterion.h>

static Qcow2Table *put(Qcow2Cache *cache, uint64_t offset)
{
  return qcow2_cache_insert(cache, offset, g_malloc0(cache->table_size));
}

Test(qcow2_cache, keeps_its_bound)
{
  Qcow2Cache cache;
  qcow2_cache_init(&cache, 512, 8 * 512);
  for (uint64_t i = 1; i <= 100; i++) {
    put(&cache, i * 512);
    cr_assert_leq(cache.ring->len, 8);
    cr_assert_not_null(qcow2_cache_find(&cache, i * 512));
  }
  cr_assert_eq(cache.ring->len, 8);
  cr_assert_eq(g_hash_table_size(cache.tables), 8);
  cr_assert_eq(cache.generation, 0, "what was only read can be loaded again");
  qcow2_cache_destroy(&cache);
}

Test(qcow2_cache, what_is_used_stays)
{
  Qcow2Cache cache;
  qcow2_cache_init(&cache, 512, 8 * 512);
  put(&cache, 512);
  for (uint64_t i = 2; i <= 100; i++) {
    cr_assert_not_null(qcow2_cache_find(&cache, 512), "%d", (int)i);
    put(&cache, i * 512);
  }
  qcow2_cache_destroy(&cache);
}

Test(qcow2_cache, dirty_pinned_and_written_tables_stay)
{
  Qcow2Cache cache;
  qcow2_cache_init(&cache, 512, 0);
  Qcow2Table *dirty = put(&cache, 512), *pinned = put(&cache, 1024), *writing = put(&cache, 1536);
  qcow2_table_mark(&cache, dirty, 8, 8);
  pinned->pins = 1;
  writing->writing = true;
  for (uint64_t i = 4; i < 50; i++)
    put(&cache, i * 512);
  cr_assert_eq(qcow2_cache_find(&cache, 512), dirty);
  cr_assert_eq(qcow2_cache_find(&cache, 1024), pinned);
  cr_assert_eq(qcow2_cache_find(&cache, 1536), writing);
  cr_assert_eq(cache.ring->len, 4);

  qcow2_table_clean(&cache, dirty);
  cr_assert_eq(cache.dirty, 0);
  for (uint64_t i = 50; i < 70; i++)
    put(&cache, i * 512);
  cr_assert_null(qcow2_cache_find(&cache, 512));
  cr_assert_eq(cache.generation, 1, "a load in flight may have read what was there before the change");
  pinned->pins = 0;
  writing->writing = false;
  qcow2_cache_destroy(&cache);
}

Test(qcow2_cache, dirty_range_grows)
{
  Qcow2Cache cache;
  qcow2_cache_init(&cache, 512, 0);
  Qcow2Table *table = put(&cache, 512);
  qcow2_table_mark(&cache, table, 100, 8);
  qcow2_table_mark(&cache, table, 40, 8);
  qcow2_table_mark(&cache, table, 60, 8);
  cr_assert(table->dirty_from == 40 && table->dirty_to == 108);
  cr_assert_eq(cache.dirty, 1);
  qcow2_cache_remove(&cache, 512);
  cr_assert_eq(cache.dirty, 0);
  cr_assert_null(qcow2_cache_find(&cache, 512));
  qcow2_cache_destroy(&cache);
}

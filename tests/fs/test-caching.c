#include "fs/caching.h"

#include <criterion/criterion.h>

static const BgfsCachingOpen reader = {.generation = 5};
static const BgfsCachingOpen writer = {.writes = true, .generation = 5};
static const BgfsCachingOpen direct_writer = {.direct = true, .writes = true, .generation = 5};
static const BgfsCachingOpen direct_reader = {.direct = true, .generation = 5};
static const BgfsCachingOpen beside_foreign = {.uncached = true, .generation = 5};

Test(caching, pages_are_kept_only_of_the_same_generation)
{
  BgfsCaching caching = {.generation = UINT64_MAX};
  cr_assert_eq(bgfs_caching_open(&caching, &reader), BGFS_CACHE_DROP);
  caching.generation = 5;
  cr_assert_eq(bgfs_caching_open(&caching, &reader), BGFS_CACHE_KEEP);
  cr_assert_eq(bgfs_caching_open(&caching, &writer), BGFS_CACHE_KEEP);
  caching.generation = 4;
  cr_assert_eq(bgfs_caching_open(&caching, &writer), BGFS_CACHE_DROP);
}

Test(caching, nothing_is_cached_beside_a_foreign_writer)
{
  BgfsCaching caching = {.generation = 5};
  cr_assert_eq(bgfs_caching_open(&caching, &beside_foreign), BGFS_CACHE_NONE);
  cr_assert_eq(bgfs_caching_open(&caching, &reader), BGFS_CACHE_KEEP, "it is gone: a reader it met hinders nobody");
}

Test(caching, a_direct_writer_alone_is_uncached_and_so_are_those_beside_it)
{
  BgfsCaching caching = {.generation = 5};
  cr_assert_eq(bgfs_caching_open(&caching, &direct_writer), BGFS_CACHE_NONE);
  cr_assert_eq(bgfs_caching_open(&caching, &reader), BGFS_CACHE_NONE);
  cr_assert_eq(bgfs_caching_open(&caching, &writer), BGFS_CACHE_NONE);
  bgfs_caching_close(&caching, BGFS_CACHE_NONE, true);
  cr_assert_eq(bgfs_caching_open(&caching, &reader), BGFS_CACHE_NONE, "the other writer is uncached too");
  bgfs_caching_close(&caching, BGFS_CACHE_NONE, true);
  cr_assert_eq(bgfs_caching_open(&caching, &reader), BGFS_CACHE_DROP, "mappings may have left pages");
}

Test(caching, direct_writes_do_not_mix_with_a_cache_in_use)
{
  BgfsCaching caching = {.generation = 5};
  cr_assert_eq(bgfs_caching_open(&caching, &reader), BGFS_CACHE_KEEP);
  cr_assert_eq(bgfs_caching_open(&caching, &direct_writer), BGFS_CACHE_KEEP);
  bgfs_caching_close(&caching, BGFS_CACHE_KEEP, false);
  bgfs_caching_close(&caching, BGFS_CACHE_KEEP, true);
  cr_assert_eq(bgfs_caching_open(&caching, &direct_writer), BGFS_CACHE_NONE);
}

Test(caching, a_direct_reader_disturbs_nothing)
{
  BgfsCaching caching = {.generation = 5};
  cr_assert_eq(bgfs_caching_open(&caching, &direct_reader), BGFS_CACHE_KEEP);
}

Test(caching, passthrough_handles_are_counted_apart_and_leave_no_pages_to_keep)
{
  BgfsCaching caching = {.generation = 5};
  const BgfsCachingOpen passthrough = {.passthrough = true, .writes = true, .direct = true, .generation = 5};
  cr_assert(bgfs_caching_allows_passthrough(&caching));
  cr_assert_eq(bgfs_caching_open(&caching, &passthrough), BGFS_CACHE_PASSTHROUGH);
  cr_assert_eq(bgfs_caching_open(&caching, &passthrough), BGFS_CACHE_PASSTHROUGH);
  cr_assert(bgfs_caching_allows_passthrough(&caching));
  bgfs_caching_close(&caching, BGFS_CACHE_PASSTHROUGH, true);
  cr_assert_eq(caching.passthrough, 1);
  bgfs_caching_close(&caching, BGFS_CACHE_PASSTHROUGH, true);
  cr_assert_eq(bgfs_caching_open(&caching, &reader), BGFS_CACHE_DROP);
}

Test(caching, passthrough_does_not_begin_beside_other_handles)
{
  BgfsCaching caching = {.generation = 5};
  bgfs_caching_open(&caching, &reader);
  cr_assert_not(bgfs_caching_allows_passthrough(&caching));
  bgfs_caching_close(&caching, BGFS_CACHE_KEEP, false);
  bgfs_caching_open(&caching, &direct_writer);
  cr_assert_not(bgfs_caching_allows_passthrough(&caching));
  bgfs_caching_close(&caching, BGFS_CACHE_NONE, true);
  cr_assert(bgfs_caching_allows_passthrough(&caching));
}

#include "fs/caching.h"

BgfsCache bgfs_caching_open(BgfsCaching *caching, const BgfsCachingOpen *open)
{
  if (open->passthrough) {
    caching->passthrough++;
    return BGFS_CACHE_PASSTHROUGH;
  }
  bool direct_writer = open->direct && open->writes && caching->cached == 0;
  if (open->uncached || caching->uncached_writers > 0 || direct_writer) {
    caching->uncached_writers += open->writes;
    return BGFS_CACHE_NONE;
  }
  caching->cached++;
  return caching->generation == open->generation ? BGFS_CACHE_KEEP : BGFS_CACHE_DROP;
}

void bgfs_caching_close(BgfsCaching *caching, BgfsCache cache, bool writes)
{
  if (cache == BGFS_CACHE_PASSTHROUGH && --caching->passthrough == 0)
    caching->generation = UINT64_MAX; /* nobody told of the writes */
  else if (cache == BGFS_CACHE_NONE && writes && --caching->uncached_writers == 0)
    caching->generation = UINT64_MAX; /* mappings may have put pages there beside the writes */
  else if (cache == BGFS_CACHE_KEEP || cache == BGFS_CACHE_DROP)
    caching->cached--;
}

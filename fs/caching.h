/* Whether the kernel may cache a file's pages. Each open decides for its handle. */
#ifndef BGFS_CACHING_H
#define BGFS_CACHING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum {
  BGFS_CACHE_PASSTHROUGH, /* the kernel reads and writes the host's file: nothing comes here, nothing is cached of this one */
  BGFS_CACHE_KEEP,        /* what is cached of the file is what it holds */
  BGFS_CACHE_DROP,        /* cached from here on; what is cached by now is dropped as the open ends */
  BGFS_CACHE_NONE         /* every request comes here, writes beside each other */
} BgfsCache;

/* What the user wants of a mount. */
typedef enum {
  BGFS_CACHING_AUTO,     /* pages are kept while what is beneath stays as it is; writes go through */
  BGFS_CACHING_NONE,     /* every request comes here */
  BGFS_CACHING_WRITEBACK /* writes are cached too: only fsync makes them safe */
} BgfsCachingPolicy;

/* One file. Zeroed but for `generation` when nobody has it open. */
typedef struct BgfsCaching {
  /* The generation of the node whose bytes the cached pages show; UINT64_MAX: none is known. Any thread. */
  atomic_uint_fast64_t generation;
  unsigned cached, uncached_writers, passthrough; /* handles; by the inode's tasks only */
} BgfsCaching;

/* A new handle. */
typedef struct BgfsCachingOpen {
  bool
      passthrough; /* can be had; must be where the file has such handles, for the kernel takes no others beside them */
  bool uncached;   /* by policy, or because somebody changes the bytes from beside or beneath */
  bool direct;     /* opened with O_DIRECT, and the kernel can map files that are not cached */
  bool writes;
  uint64_t generation; /* the node's, read after the handle's permissions were taken */
} BgfsCachingOpen;

/* Whether a handle with passthrough may join those that are there: the kernel takes none beside cached ones. */
static inline bool bgfs_caching_allows_passthrough(const BgfsCaching *caching)
{
  return caching->cached == 0 && caching->uncached_writers == 0;
}

/* Decides and counts. A writer that asked for O_DIRECT goes uncached if no cached handle is open, and takes all that
 * come later along: direct writes and a cache do not mix, because a read beside the write could leave old pages. */
BgfsCache bgfs_caching_open(BgfsCaching *caching, const BgfsCachingOpen *open);
/* The handle that got `cache` is gone. */
void bgfs_caching_close(BgfsCaching *caching, BgfsCache cache, bool writes);

#endif

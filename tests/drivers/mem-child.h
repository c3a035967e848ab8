/* A child on memory for driver tests: counts its calls, fails on demand, and can record what is written so that a crash at
 * any instant can be played. */
#ifndef MEM_CHILD_H
#define MEM_CHILD_H

#include "drivers/child.h"

#include <glib.h>

typedef enum {
  MEM_PREADV = 1 << 0,
  MEM_PWRITEV = 1 << 1,
  MEM_ZERO = 1 << 2,
  MEM_DISCARD = 1 << 3,
  MEM_FLUSH = 1 << 4,
  MEM_RESIZE = 1 << 5,
  MEM_WRITES = MEM_PWRITEV | MEM_ZERO | MEM_DISCARD | MEM_RESIZE,
  MEM_ALL = (1 << 6) - 1
} MemKind;

/* The largest size that a memory child can have. Memory is taken only where bytes were written. */
#define MEM_CHILD_MAX ((uint64_t)16 << 30)

/* `size` bytes of zeros (at most MEM_CHILD_MAX), named "file", DATA|METADATA|PRIMARY, all permissions held, alignment and granularity
 * 1, growing. The data calls may be made from any number of threads and take no lock, so that ThreadSanitizer sees requests that
 * overlap without order; the settings below only while no call is under way. */
BgChild *mem_child_new(uint64_t size);
void mem_child_free(BgChild *child); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgChild, mem_child_free)

/* A child with the same bytes and size as `child` (itself no fork), which must not change while the fork lives. Costs next to nothing, whatever the
 * size; only what either writes takes memory. */
BgChild *mem_child_fork(BgChild *child);

/* The bytes, MEM_CHILD_MAX of them addressable; those past the size are zeros and must stay so. */
uint8_t *mem_child_data(BgChild *child);

/* What the edge holds: without WRITE (WRITE_UNCHANGED counts too) writing calls are -EPERM, without RESIZE it does not grow. */
void mem_child_set_perm(BgChild *child, BgPerm perm);
void mem_child_set_limits(BgChild *child, const BgLimits *limits);
/* Growth past `bytes` is -ENOSPC. */
void mem_child_set_capacity(BgChild *child, uint64_t bytes);

/* Calls of the given kinds since the last reset, failed ones included. */
uint64_t mem_child_count(BgChild *child, unsigned kinds);
void mem_child_reset_counts(BgChild *child);

/* The `nth` call from now (1: the next) of one of `kinds` fails with `err` (a positive errno) and does nothing; with
 * `from_then_on` every later one, too. nth 0: none fails any more. */
void mem_child_fail(BgChild *child, unsigned kinds, uint64_t nth, int err, bool from_then_on);
/* While paused, calls neither count nor fail: for looking at what a failure left. */
void mem_child_pause(BgChild *child, bool paused);
/* Whether that call has come. */
bool mem_child_has_failed(BgChild *child);

/* Starts recording all successful writing calls and flushes, from the bytes as they are now; drops an older record. */
void mem_child_record(BgChild *child);
/* How many calls are recorded, and whether the one at `index` is a flush. */
size_t mem_child_record_length(BgChild *child);
bool mem_child_record_is_flush(BgChild *child, size_t index);
/* A new child (to free) with the bytes as they were after the first `length` recorded calls. `keep` (NULL: all) decides by the
 * index of each call whether it has reached the disk: a power cut may lose any call after the last flush. */
BgChild *mem_child_replay(BgChild *child, size_t length, bool (*keep)(size_t index, void *data), void *data);

#endif

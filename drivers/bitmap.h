/* Dirty bitmaps of a node: which parts of it were changed while they recorded.
 *
 * The list is the node's (the core's); drivers get at it through BgHost. It changes only while no request that writes is inside the node: in
 * the steps of a change. Marking takes no lock and may come from any number of threads, beside a change of size too. All else
 * takes the list's own lock and may come from any thread. */
#ifndef BG_BITMAP_H
#define BG_BITMAP_H

#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct BgBitmap BgBitmap;

typedef struct BgBitmaps {
  atomic_uint recording; /* how many record */
  pthread_mutex_t lock;
  GPtrArray *list;   /* BgBitmap * */
  GHashTable *names; /* (lock) to BgBitmap * */
  uint64_t bytes;    /* (lock) that the bits of all take */
} BgBitmaps;

/* All bits of a list together take at most so many bytes. */
#define BG_BITMAPS_MAX_BYTES (UINT64_C(64) << 20)

#define BG_BITMAP_MIN_GRANULARITY_BITS 9u
#define BG_BITMAP_MAX_GRANULARITY_BITS 31u

/* What a bitmap is. */
typedef struct BgBitmapSpec {
  const char *name;
  unsigned granularity_bits; /* log2 of the bytes that one bit stands for; in the range above, unless inconsistent */
  uint64_t size;             /* of the node, bytes */
  bool recording;            /* changes are marked */
  bool persistent;           /* the driver keeps it in the image */
  bool inconsistent;         /* not to be trusted: has no bits, records nothing */
  bool internal;             /* somebody's own: neither found by its name nor shown */
} BgBitmapSpec;

/* The same, and how much is dirty, at one moment. */
typedef struct BgBitmapInfo {
  char *name;
  uint64_t granularity, count; /* bytes; count: bits that are set, in granularity */
  bool recording, persistent, inconsistent, busy;
} BgBitmapInfo;

/* A list of infos that frees them; and one of them, with nothing in it that is dirty. A granularity that no number holds is 0. */
GPtrArray *bg_bitmap_infos_new(void);
BgBitmapInfo *bg_bitmap_info_new(const char *name, unsigned granularity_bits);

BgBitmaps *bg_bitmaps_new(void);
void bg_bitmaps_free(BgBitmaps *bitmaps); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgBitmaps, bg_bitmaps_free)

/* Adds a clean bitmap, owned by the list. NULL and error: EEXIST there is one of that name; EINVAL no such granularity; E2BIG the bits of
 * all would take too much; ENOMEM. */
BgBitmap *bg_bitmaps_add(BgBitmaps *bitmaps, const BgBitmapSpec *spec, GError **error);
void bg_bitmaps_remove(BgBitmaps *bitmaps, BgBitmap *bitmap);
/* All that are persistent. */
void bg_bitmaps_remove_persistent(BgBitmaps *bitmaps);
/* NULL: there is none. */
BgBitmap *bg_bitmaps_find(BgBitmaps *bitmaps, const char *name);
/* BgBitmapInfo *, in order of adding; free with g_ptr_array_unref(). */
GPtrArray *bg_bitmaps_look(BgBitmaps *bitmaps);

/* For bg_bitmaps_mark(). */
void bg_bitmaps_mark_recording(BgBitmaps *bitmaps, uint64_t offset, uint64_t length);

/* The node has another size: before it grows, after it shrank. What is new is dirty where changes are recorded; what is cut off is
 * forgotten. A bitmap that would take too much memory is inconsistent from then on. */
void bg_bitmaps_resize(BgBitmaps *bitmaps, uint64_t size);
/* The same, unless the node is that large already. */
void bg_bitmaps_grow(BgBitmaps *bitmaps, uint64_t size);

/* [offset, offset+length) is about to change: before that reaches the storage. What lies past the end is not marked. */
static inline void bg_bitmaps_mark(BgBitmaps *bitmaps, uint64_t offset, uint64_t length)
{
  if (G_UNLIKELY(atomic_load_explicit(&bitmaps->recording, memory_order_relaxed)))
    bg_bitmaps_mark_recording(bitmaps, offset, length);
}

/* The same of a node that grows when it is written past its end. */
static inline void bg_bitmaps_mark_growing(BgBitmaps *bitmaps, uint64_t offset, uint64_t length)
{
  if (G_UNLIKELY(atomic_load_explicit(&bitmaps->recording, memory_order_relaxed))) {
    bg_bitmaps_grow(bitmaps, offset + length);
    bg_bitmaps_mark_recording(bitmaps, offset, length);
  }
}

/* Everything is about to change. */
void bg_bitmaps_mark_all(BgBitmaps *bitmaps);

/* ── one of them ── */

const char *bg_bitmap_name(const BgBitmap *bitmap);
uint64_t bg_bitmap_size(const BgBitmap *bitmap);
bool bg_bitmap_is_inconsistent(const BgBitmap *bitmap);
/* Gives it up: it records nothing any more. */
void bg_bitmap_set_inconsistent(BgBitmaps *bitmaps, BgBitmap *bitmap);
void bg_bitmap_set_recording(BgBitmaps *bitmaps, BgBitmap *bitmap, bool recording);

/* Who works with it, so that nobody else takes it away or changes what it is: "backup job 'j'", which stays with the caller. NULL: nobody. Changes,
 * as the list does, while no request that writes is inside the node. */
void bg_bitmap_set_user(BgBitmaps *bitmaps, BgBitmap *bitmap, const char *user);
const char *bg_bitmap_user(BgBitmaps *bitmaps, const BgBitmap *bitmap);

/* What it is now; the name is the bitmap's. */
void bg_bitmap_look(const BgBitmap *bitmap, BgBitmapSpec *spec);
/* Marks whether it records or not. */
void bg_bitmap_set(BgBitmap *bitmap, uint64_t offset, uint64_t length);
/* The next dirty bytes from `offset` on: whole granules from *start, or from `offset` within one; cut at the end. False: none. */
bool bg_bitmap_next(const BgBitmap *bitmap, uint64_t offset, uint64_t *start, uint64_t *length);
/* The same, before `until`; does not look further. */
bool bg_bitmap_next_before(const BgBitmap *bitmap, uint64_t offset, uint64_t until, uint64_t *start, uint64_t *length);

/* What is dirty in `from` is dirty in `to` as well, from now on. */
void bg_bitmap_merge(BgBitmap *to, const BgBitmap *from);

/* How many bytes are dirty: the sum of what bg_bitmap_next() would give. */
uint64_t bg_bitmap_dirty(const BgBitmap *bitmap);
void bg_bitmap_clear(BgBitmap *bitmap, uint64_t offset, uint64_t length);
/* As bg_bitmap_next(), of at most `most` bytes (cut to whole granules, one at least), and what it gives is clean afterwards: for whoever
 * copies it. What is marked at the same time is either given or stays; whose marks are given may not have changed the bytes yet, so
 * the taker waits for the requests under way (BgHost.epoch) before it reads. */
bool bg_bitmap_take(BgBitmap *bitmap, uint64_t offset, uint64_t most, uint64_t *start, uint64_t *length);

/* Bits as strings of bytes, the first bit in the lowest of the first byte. `first` is a multiple of 8, in bytes of that string; bits past
 * the end are not taken, and are given as clear. */
uint64_t bg_bitmap_bytes(const BgBitmap *bitmap);
void bg_bitmap_import(BgBitmap *bitmap, uint64_t first, const uint8_t *bytes, size_t length);
void bg_bitmap_export(const BgBitmap *bitmap, uint64_t first, uint8_t *bytes, size_t length);

#endif

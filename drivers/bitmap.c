#include "drivers/bitmap.h"

#include "drivers/error.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Words never move, so that marking needs no lock while the bitmap grows: segment k has FIRST_WORDS << k of them. */
enum { WORD_BITS = 64, FIRST_WORDS = 64, SEGMENTS = 32 };

typedef atomic_uint_fast64_t Word;
_Static_assert(sizeof(Word) == 8, "a word has 64 bits");

struct BgBitmap {
  char *name;
  unsigned granularity_bits;
  bool persistent, internal;
  atomic_bool recording, inconsistent;
  const char *user;          /* (the list's lock) */
  atomic_uint_fast64_t size; /* of the node, bytes */
  Word *segments[SEGMENTS];  /* (the list's lock) new ones are added before `size` says so */
};

/* ── words ── */

static uint64_t bits_for(unsigned granularity_bits, uint64_t size)
{
  return (size >> granularity_bits) + ((size & ((UINT64_C(1) << granularity_bits) - 1)) != 0);
}

static uint64_t words_for(uint64_t bits)
{
  return (bits + WORD_BITS - 1) / WORD_BITS;
}

static uint64_t bits_of(const BgBitmap *bitmap)
{
  return bits_for(bitmap->granularity_bits, atomic_load(&bitmap->size));
}

static Word *word_at(const BgBitmap *bitmap, uint64_t index)
{
  uint64_t row = index / FIRST_WORDS + 1;
  unsigned segment = 63 - (unsigned)__builtin_clzll(row);
  return &bitmap->segments[segment][index - FIRST_WORDS * ((UINT64_C(1) << segment) - 1)];
}

static uint64_t get_word(const BgBitmap *bitmap, uint64_t index)
{
  return atomic_load_explicit(word_at(bitmap, index), memory_order_relaxed);
}

/* A line of memory that says so already is not taken from the other processors. */
static void set_in_word(BgBitmap *bitmap, uint64_t index, uint64_t mask)
{
  Word *word = word_at(bitmap, index);
  if ((atomic_load_explicit(word, memory_order_relaxed) & mask) != mask)
    atomic_fetch_or_explicit(word, mask, memory_order_relaxed);
}

/* The bits of word `index` that lie in [first, end). */
static uint64_t mask_in_word(uint64_t index, uint64_t first, uint64_t end)
{
  uint64_t base = index * WORD_BITS, mask = UINT64_MAX;
  if (first > base)
    mask &= UINT64_MAX << (first - base);
  if (end < base + WORD_BITS)
    mask &= UINT64_MAX >> (base + WORD_BITS - end);
  return mask;
}

static void set_bits(BgBitmap *bitmap, uint64_t first, uint64_t end)
{
  for (uint64_t i = first / WORD_BITS; i * WORD_BITS < end; i++)
    set_in_word(bitmap, i, mask_in_word(i, first, end));
}

static void clear_bits(BgBitmap *bitmap, uint64_t first, uint64_t end)
{
  for (uint64_t i = first / WORD_BITS; i * WORD_BITS < end; i++)
    atomic_fetch_and_explicit(word_at(bitmap, i), ~mask_in_word(i, first, end), memory_order_relaxed);
}

static bool make_room(BgBitmap *bitmap, uint64_t words)
{
  uint64_t have = 0;
  for (unsigned i = 0; have < words; i++) {
    uint64_t here = (uint64_t)FIRST_WORDS << i;
    if (!bitmap->segments[i])
      bitmap->segments[i] = calloc(here, sizeof(Word));
    if (!bitmap->segments[i])
      return false;
    have += here;
  }
  return true;
}

static uint64_t bytes_for(uint64_t bits)
{
  return words_for(bits) * sizeof(Word);
}

/* ── the list ── */

BgBitmaps *bg_bitmaps_new(void)
{
  BgBitmaps *bitmaps = g_new0(BgBitmaps, 1);

  pthread_mutex_init(&bitmaps->lock, NULL);
  bitmaps->list = g_ptr_array_new();
  bitmaps->names = g_hash_table_new(g_str_hash, g_str_equal);
  return bitmaps;
}

static void bitmap_free(BgBitmap *bitmap)
{
  for (unsigned i = 0; i < SEGMENTS; i++)
    free(bitmap->segments[i]);
  g_free(bitmap->name);
  g_free(bitmap);
}

void bg_bitmaps_free(BgBitmaps *bitmaps)
{
  if (!bitmaps)
    return;
  for (guint i = 0; i < bitmaps->list->len; i++)
    bitmap_free(bitmaps->list->pdata[i]);
  g_ptr_array_unref(bitmaps->list);
  g_hash_table_unref(bitmaps->names);
  pthread_mutex_destroy(&bitmaps->lock);
  g_free(bitmaps);
}

BgBitmap *bg_bitmaps_find(BgBitmaps *bitmaps, const char *name)
{
  pthread_mutex_lock(&bitmaps->lock);
  BgBitmap *found = g_hash_table_lookup(bitmaps->names, name);
  pthread_mutex_unlock(&bitmaps->lock);
  return found;
}

/* (lock) */
static void set_recording(BgBitmaps *bitmaps, BgBitmap *bitmap, bool recording)
{
  if (atomic_exchange(&bitmap->recording, recording) == recording)
    return;
  if (recording)
    atomic_fetch_add(&bitmaps->recording, 1);
  else
    atomic_fetch_sub(&bitmaps->recording, 1);
}

/* (lock) The memory is kept, for a request may be marking. */
static void give_up(BgBitmaps *bitmaps, BgBitmap *bitmap)
{
  set_recording(bitmaps, bitmap, false);
  if (!atomic_exchange(&bitmap->inconsistent, true))
    bitmaps->bytes -= bytes_for(bits_of(bitmap));
}

static bool check_spec(const BgBitmaps *bitmaps, const BgBitmapSpec *spec, GError **error)
{
  if (!spec->internal && g_hash_table_contains(bitmaps->names, spec->name))
    bg_set_error(error, EEXIST, "There is a bitmap '%s' already", spec->name);
  else if (spec->inconsistent)
    return true;
  else if (spec->granularity_bits < BG_BITMAP_MIN_GRANULARITY_BITS ||
           spec->granularity_bits > BG_BITMAP_MAX_GRANULARITY_BITS)
    bg_set_error(error, EINVAL, "The granularity of the bitmap '%s' is out of range", spec->name);
  else if (bytes_for(bits_for(spec->granularity_bits, spec->size)) > BG_BITMAPS_MAX_BYTES - bitmaps->bytes)
    bg_set_error(error, E2BIG, "With the bitmap '%s', the bitmaps of this node take more than 64 MiB", spec->name);
  else
    return true;
  return false;
}

static BgBitmap *bitmap_new(const BgBitmapSpec *spec, GError **error)
{
  BgBitmap *bitmap = g_new0(BgBitmap, 1);
  bitmap->name = g_strdup(spec->name);
  bitmap->granularity_bits = spec->granularity_bits;
  bitmap->persistent = spec->persistent;
  bitmap->internal = spec->internal;
  atomic_init(&bitmap->inconsistent, spec->inconsistent);
  atomic_init(&bitmap->size, spec->size);
  if (spec->inconsistent || make_room(bitmap, words_for(bits_of(bitmap))))
    return bitmap;
  bitmap_free(bitmap);
  bg_set_error_errno(error, ENOMEM, "No memory for the bitmap '%s'", spec->name);
  return NULL;
}

BgBitmap *bg_bitmaps_add(BgBitmaps *bitmaps, const BgBitmapSpec *spec, GError **error)
{
  pthread_mutex_lock(&bitmaps->lock);
  BgBitmap *bitmap = check_spec(bitmaps, spec, error) ? bitmap_new(spec, error) : NULL;
  if (bitmap) {
    g_ptr_array_add(bitmaps->list, bitmap);
    if (!spec->internal)
      g_hash_table_insert(bitmaps->names, bitmap->name, bitmap);
    bitmaps->bytes += spec->inconsistent ? 0 : bytes_for(bits_of(bitmap));
    set_recording(bitmaps, bitmap, spec->recording && !spec->inconsistent);
  }
  pthread_mutex_unlock(&bitmaps->lock);
  return bitmap;
}

/* (lock) */
static void remove_one(BgBitmaps *bitmaps, guint index)
{
  BgBitmap *bitmap = bitmaps->list->pdata[index];
  give_up(bitmaps, bitmap);
  g_ptr_array_remove_index(bitmaps->list, index);
  if (!bitmap->internal)
    g_hash_table_remove(bitmaps->names, bitmap->name);
  bitmap_free(bitmap);
}

void bg_bitmaps_remove(BgBitmaps *bitmaps, BgBitmap *bitmap)
{
  guint index;
  pthread_mutex_lock(&bitmaps->lock);
  if (g_ptr_array_find(bitmaps->list, bitmap, &index))
    remove_one(bitmaps, index);
  pthread_mutex_unlock(&bitmaps->lock);
}

void bg_bitmaps_remove_persistent(BgBitmaps *bitmaps)
{
  pthread_mutex_lock(&bitmaps->lock);
  for (guint i = bitmaps->list->len; i-- > 0;) {
    BgBitmap *bitmap = bitmaps->list->pdata[i];
    if (bitmap->persistent)
      remove_one(bitmaps, i);
  }
  pthread_mutex_unlock(&bitmaps->lock);
}

static uint64_t count_bits(const BgBitmap *bitmap)
{
  uint64_t bits = bits_of(bitmap), count = 0;
  for (uint64_t i = 0; i < words_for(bits); i++)
    count += (uint64_t)__builtin_popcountll(get_word(bitmap, i) & mask_in_word(i, 0, bits));
  return count;
}

static void info_free(gpointer data)
{
  g_free(((BgBitmapInfo *)data)->name);
  g_free(data);
}

GPtrArray *bg_bitmap_infos_new(void)
{
  return g_ptr_array_new_with_free_func(info_free);
}

BgBitmapInfo *bg_bitmap_info_new(const char *name, unsigned granularity_bits)
{
  BgBitmapInfo *info = g_new0(BgBitmapInfo, 1);
  info->name = g_strdup(name);
  info->granularity = granularity_bits < 63 ? UINT64_C(1) << granularity_bits : 0;
  return info;
}

GPtrArray *bg_bitmaps_look(BgBitmaps *bitmaps)
{
  GPtrArray *infos = bg_bitmap_infos_new();
  pthread_mutex_lock(&bitmaps->lock);
  for (guint i = 0; i < bitmaps->list->len; i++) {
    const BgBitmap *bitmap = bitmaps->list->pdata[i];
    if (bitmap->internal)
      continue;
    BgBitmapInfo *info = bg_bitmap_info_new(bitmap->name, bitmap->granularity_bits);
    info->persistent = bitmap->persistent;
    info->recording = atomic_load(&bitmap->recording);
    info->busy = bitmap->user != NULL;
    info->inconsistent = atomic_load(&bitmap->inconsistent);
    info->count = info->inconsistent ? 0 : count_bits(bitmap) << bitmap->granularity_bits;
    g_ptr_array_add(infos, info);
  }
  pthread_mutex_unlock(&bitmaps->lock);
  return infos;
}

/* ── marking ── */

void bg_bitmap_set(BgBitmap *bitmap, uint64_t offset, uint64_t length)
{
  uint64_t size = atomic_load(&bitmap->size);
  if (offset >= size || length == 0 || atomic_load(&bitmap->inconsistent))
    return;
  uint64_t last = offset + MIN(length, size - offset) - 1;
  set_bits(bitmap, offset >> bitmap->granularity_bits, (last >> bitmap->granularity_bits) + 1);
}

void bg_bitmap_set_user(BgBitmaps *bitmaps, BgBitmap *bitmap, const char *user)
{
  pthread_mutex_lock(&bitmaps->lock);
  bitmap->user = user;
  pthread_mutex_unlock(&bitmaps->lock);
}

const char *bg_bitmap_user(BgBitmaps *bitmaps, const BgBitmap *bitmap)
{
  pthread_mutex_lock(&bitmaps->lock);
  const char *user = bitmap->user;
  pthread_mutex_unlock(&bitmaps->lock);
  return user;
}

void bg_bitmap_look(const BgBitmap *bitmap, BgBitmapSpec *spec)
{
  *spec = (BgBitmapSpec){.name = bitmap->name,
                         .granularity_bits = bitmap->granularity_bits,
                         .size = atomic_load(&bitmap->size),
                         .recording = atomic_load(&bitmap->recording),
                         .persistent = bitmap->persistent,
                         .inconsistent = atomic_load(&bitmap->inconsistent)};
}

void bg_bitmaps_mark_recording(BgBitmaps *bitmaps, uint64_t offset, uint64_t length)
{
  for (guint i = 0; i < bitmaps->list->len; i++) {
    BgBitmap *bitmap = bitmaps->list->pdata[i];
    if (atomic_load_explicit(&bitmap->recording, memory_order_relaxed))
      bg_bitmap_set(bitmap, offset, length);
  }
}

void bg_bitmaps_mark_all(BgBitmaps *bitmaps)
{
  bg_bitmaps_mark(bitmaps, 0, UINT64_MAX);
}

/* (lock) */
static void grow(BgBitmaps *bitmaps, BgBitmap *bitmap, uint64_t size)
{
  uint64_t old_size = atomic_load(&bitmap->size), old_bytes = bytes_for(bits_of(bitmap));
  uint64_t bits = bits_for(bitmap->granularity_bits, size), more = bytes_for(bits) - old_bytes;
  if (more > BG_BITMAPS_MAX_BYTES - bitmaps->bytes || !make_room(bitmap, words_for(bits))) {
    give_up(bitmaps, bitmap);
    return;
  }
  bitmaps->bytes += more;
  atomic_store(&bitmap->size, size);
  if (atomic_load(&bitmap->recording))
    bg_bitmap_set(bitmap, old_size, size - old_size);
}

/* (lock) */
static void shrink(BgBitmaps *bitmaps, BgBitmap *bitmap, uint64_t size)
{
  uint64_t old_bits = bits_of(bitmap), bits = bits_for(bitmap->granularity_bits, size);
  atomic_store(&bitmap->size, size);
  if (bits < old_bits)
    clear_bits(bitmap, bits, old_bits);
  bitmaps->bytes -= bytes_for(old_bits) - bytes_for(bits);
}

static void resize(BgBitmaps *bitmaps, uint64_t size, bool may_shrink)
{
  pthread_mutex_lock(&bitmaps->lock);
  for (guint i = 0; i < bitmaps->list->len; i++) {
    BgBitmap *bitmap = bitmaps->list->pdata[i];
    uint64_t now = atomic_load(&bitmap->size);
    if (atomic_load(&bitmap->inconsistent))
      continue;
    if (size > now)
      grow(bitmaps, bitmap, size);
    else if (size < now && may_shrink)
      shrink(bitmaps, bitmap, size);
  }
  pthread_mutex_unlock(&bitmaps->lock);
}

void bg_bitmaps_resize(BgBitmaps *bitmaps, uint64_t size)
{
  resize(bitmaps, size, true);
}

void bg_bitmaps_grow(BgBitmaps *bitmaps, uint64_t size)
{
  resize(bitmaps, size, false);
}

/* ── one of them ── */

const char *bg_bitmap_name(const BgBitmap *bitmap)
{
  return bitmap->name;
}

uint64_t bg_bitmap_size(const BgBitmap *bitmap)
{
  return atomic_load(&bitmap->size);
}

bool bg_bitmap_is_inconsistent(const BgBitmap *bitmap)
{
  return atomic_load(&bitmap->inconsistent);
}

void bg_bitmap_set_inconsistent(BgBitmaps *bitmaps, BgBitmap *bitmap)
{
  pthread_mutex_lock(&bitmaps->lock);
  give_up(bitmaps, bitmap);
  pthread_mutex_unlock(&bitmaps->lock);
}

void bg_bitmap_set_recording(BgBitmaps *bitmaps, BgBitmap *bitmap, bool recording)
{
  pthread_mutex_lock(&bitmaps->lock);
  set_recording(bitmaps, bitmap, recording && !atomic_load(&bitmap->inconsistent));
  pthread_mutex_unlock(&bitmaps->lock);
}

/* The first bit from `bit` on that is `set`; `end`: none before it. */
static uint64_t seek(const BgBitmap *bitmap, uint64_t bit, uint64_t end, bool set)
{
  for (uint64_t i = bit / WORD_BITS; i * WORD_BITS < end; i++) {
    uint64_t word = get_word(bitmap, i);
    word = (set ? word : ~word) & mask_in_word(i, bit, end);
    if (word)
      return i * WORD_BITS + (unsigned)__builtin_ctzll(word);
  }
  return end;
}

/* The next dirty bytes before `until`, and of them no more than `most` (whole granules). */
static bool next_run(const BgBitmap *bitmap, uint64_t offset, uint64_t until, uint64_t most, uint64_t *start,
                     uint64_t *length)
{
  until = MIN(until, atomic_load(&bitmap->size));
  if (offset >= until || atomic_load(&bitmap->inconsistent))
    return false;
  uint64_t end = bits_for(bitmap->granularity_bits, until);
  uint64_t first = seek(bitmap, offset >> bitmap->granularity_bits, end, true);
  if (first == end)
    return false;
  uint64_t last = seek(bitmap, first, first + MIN(end - first, most >> bitmap->granularity_bits), false);
  *start = MAX(first << bitmap->granularity_bits, offset);
  *length = (last == end ? until : last << bitmap->granularity_bits) - *start;
  return true;
}

bool bg_bitmap_next(const BgBitmap *bitmap, uint64_t offset, uint64_t *start, uint64_t *length)
{
  return next_run(bitmap, offset, UINT64_MAX, UINT64_MAX, start, length);
}

bool bg_bitmap_next_before(const BgBitmap *bitmap, uint64_t offset, uint64_t until, uint64_t *start, uint64_t *length)
{
  return next_run(bitmap, offset, until, UINT64_MAX, start, length);
}

void bg_bitmap_merge(BgBitmap *to, const BgBitmap *from)
{
  uint64_t start, length;
  for (uint64_t at = 0; bg_bitmap_next(from, at, &start, &length); at = start + length)
    bg_bitmap_set(to, start, length);
}

uint64_t bg_bitmap_dirty(const BgBitmap *bitmap)
{
  uint64_t size = atomic_load(&bitmap->size), bits = bits_of(bitmap), rest = (bits << bitmap->granularity_bits) - size;
  if (atomic_load(&bitmap->inconsistent) || !bits)
    return 0;
  uint64_t dirty = count_bits(bitmap) << bitmap->granularity_bits;
  bool last = get_word(bitmap, (bits - 1) / WORD_BITS) >> ((bits - 1) % WORD_BITS) & 1;
  return last && dirty >= rest ? dirty - rest : dirty;
}

void bg_bitmap_clear(BgBitmap *bitmap, uint64_t offset, uint64_t length)
{
  uint64_t size = atomic_load(&bitmap->size);
  if (offset >= size || length == 0 || atomic_load(&bitmap->inconsistent))
    return;
  uint64_t last = offset + MIN(length, size - offset) - 1;
  clear_bits(bitmap, offset >> bitmap->granularity_bits, (last >> bitmap->granularity_bits) + 1);
}

bool bg_bitmap_take(BgBitmap *bitmap, uint64_t offset, uint64_t most, uint64_t *start, uint64_t *length)
{
  uint64_t granularity = UINT64_C(1) << bitmap->granularity_bits;
  if (!next_run(bitmap, offset & ~(granularity - 1), UINT64_MAX, MAX(most, granularity), start, length))
    return false;
  bg_bitmap_clear(bitmap, *start, *length);
  atomic_thread_fence(memory_order_seq_cst);
  return true;
}

uint64_t bg_bitmap_bytes(const BgBitmap *bitmap)
{
  return (bits_of(bitmap) + 7) / 8;
}

void bg_bitmap_import(BgBitmap *bitmap, uint64_t first, const uint8_t *bytes, size_t length)
{
  uint64_t bits = bits_of(bitmap);
  for (uint64_t i = first / 8; i < words_for(bits) && i * 8 < first + length; i++) {
    uint64_t word = 0;
    memcpy(&word, bytes + (i * 8 - first), MIN(8, first + length - i * 8));
    atomic_store_explicit(word_at(bitmap, i), GUINT64_FROM_LE(word) & mask_in_word(i, 0, bits), memory_order_relaxed);
  }
}

void bg_bitmap_export(const BgBitmap *bitmap, uint64_t first, uint8_t *bytes, size_t length)
{
  uint64_t bits = bits_of(bitmap);
  memset(bytes, 0, length);
  for (uint64_t i = first / 8; i < words_for(bits) && i * 8 < first + length; i++) {
    uint64_t word = GUINT64_TO_LE(get_word(bitmap, i) & mask_in_word(i, 0, bits));
    memcpy(bytes + (i * 8 - first), &word, MIN(8, first + length - i * 8));
  }
}

/* What the header says of the bitmaps' directory. Wherever a power cut falls it names the old directory, the new one, or none that counts: its
 * words are changed within one sector, or while the autoclear bit does not vouch for them. */
#include "drivers/qcow2/head.h"

#include <errno.h>

enum { DATA = 24, EXTENSION = 8 + DATA };

static void set_vouched(Qcow2Header *header, const void *data)
{
  header->autoclear &= ~QCOW2_AUTOCLEAR_BITMAPS;
  if (data)
    header->autoclear |= QCOW2_AUTOCLEAR_BITMAPS;
}

static bool is_vouched(const Qcow2 *q)
{
  return q->header.autoclear & QCOW2_AUTOCLEAR_BITMAPS;
}

static int vouch(Qcow2 *q, bool vouched)
{
  if (is_vouched(q) == vouched)
    return 0;
  int r = qcow2_header_change(q, set_vouched, vouched ? q : NULL);
  return r == 0 ? q->file->ops->flush(q->file) : r;
}

/* ── room for the extension ── */

/* Where a new extension goes, and, where the backing file's name is in its way, where that goes (else 0). */
static int place(const Qcow2Head *head, size_t *at, size_t *name_at)
{
  size_t start = head->marked ? head->end - 8 : head->end, end = start + EXTENSION + 8;
  *at = start;
  *name_at = 0;
  if (start & 7 || end > head->size)
    return -ENOSPC;
  if (head->name_at && head->name_at < end && !(*name_at = qcow2_head_place_beside(head, end, head->name_length)))
    return -ENOSPC;
  return 0;
}

int qcow2_bitmaps_check_room(Qcow2 *q)
{
  g_auto(Qcow2Head) head = {0};
  size_t at, name_at;
  if (q->header.bitmaps_at)
    return 0;
  pthread_mutex_lock(&q->header_lock);
  int r = qcow2_head_read(q, &head);
  pthread_mutex_unlock(&q->header_lock);
  return r == 0 ? place(&head, &at, &name_at) : r;
}

static int move_name(Qcow2 *q, Qcow2Head *head, size_t to)
{
  qcow2_head_put_name(head, to, head->bytes + head->name_at, head->name_length);
  int r = qcow2_head_write(q, head, to, head->name_length);
  return r == 0 ? qcow2_head_write(q, head, 0, QCOW2_SECTOR) : r;
}

/* All but its first eight bytes comes first: until those are there, it is the end of the extensions. */
static int add_extension(Qcow2 *q)
{
  g_auto(Qcow2Head) head = {0};
  size_t at, name_at;
  int r = qcow2_head_read(q, &head);
  if (r == 0)
    r = place(&head, &at, &name_at);
  if (r == 0 && name_at)
    r = move_name(q, &head, name_at);
  if (r < 0)
    return r;
  memset(head.bytes + at, 0, EXTENSION + 8);
  r = qcow2_head_write(q, &head, at + 8, DATA + 8);
  qcow2_put32(head.bytes + at, QCOW2_EXT_BITMAPS);
  qcow2_put32(head.bytes + at + 4, DATA);
  if (r == 0)
    r = qcow2_head_write(q, &head, at, 8);
  if (r == 0)
    q->header.bitmaps_at = at + 8;
  return r;
}

/* Where others follow it stays, and nothing vouches for it. */
static int remove_extension(Qcow2 *q)
{
  g_auto(Qcow2Head) head = {0};
  int r = qcow2_head_read(q, &head);
  size_t at = q->header.bitmaps_at - 8;
  if (r < 0 || !head.marked || head.end != at + EXTENSION + 8)
    return r;
  memset(head.bytes + at, 0, 8);
  r = qcow2_head_write(q, &head, at, 8);
  if (r == 0)
    q->header.bitmaps_at = 0;
  return r;
}

/* ── naming ── */

static uint32_t count_listed(const Qcow2Bitmaps *bitmaps)
{
  uint32_t count = 0;
  for (uint32_t i = 0; i < bitmaps->count; i++)
    count += bitmaps->list[i].listed;
  return count;
}

bool qcow2_bitmaps_are_named(const Qcow2 *q)
{
  const Qcow2Header *header = &q->header;
  uint32_t count = count_listed(&q->bitmaps);
  if (count == 0)
    return !is_vouched(q);
  return is_vouched(q) && header->bitmap_count == count && header->bitmaps_size == q->bitmaps.size &&
         header->bitmaps_offset == q->bitmaps.offset;
}

/* header_lock held. Eight bytes at a multiple of eight are old or new wherever they lie. */
static int write_words(Qcow2 *q, uint32_t count, bool place_only)
{
  uint8_t bytes[DATA];
  qcow2_put32(bytes, count);
  qcow2_put32(bytes + 4, 0);
  qcow2_put64(bytes + 8, q->bitmaps.size);
  qcow2_put64(bytes + 16, q->bitmaps.offset);
  size_t from = place_only ? 16 : 0;
  int r = bg_child_pwrite(q->file, bytes + from, DATA - from, q->header.bitmaps_at + from);
  if (r == 0)
    r = q->file->ops->flush(q->file);
  if (r < 0)
    return r;
  q->header.bitmap_count = count;
  q->header.bitmaps_size = q->bitmaps.size;
  q->header.bitmaps_offset = q->bitmaps.offset;
  return 0;
}

static int name(Qcow2 *q, uint32_t count)
{
  uint64_t at = q->header.bitmaps_at;
  bool place_only = q->header.bitmap_count == count && q->header.bitmaps_size == q->bitmaps.size;
  bool torn = !at || (!place_only && at / QCOW2_SECTOR != (at + DATA - 1) / QCOW2_SECTOR);
  int r = torn ? vouch(q, false) : 0;
  if (r < 0)
    return r;
  pthread_mutex_lock(&q->header_lock);
  r = at ? 0 : add_extension(q);
  if (r == 0)
    r = write_words(q, count, place_only && at);
  pthread_mutex_unlock(&q->header_lock);
  return r == 0 ? vouch(q, true) : r;
}

static int name_none(Qcow2 *q)
{
  int r = vouch(q, false);
  pthread_mutex_lock(&q->header_lock);
  if (r == 0 && q->header.bitmaps_at)
    r = remove_extension(q);
  pthread_mutex_unlock(&q->header_lock);
  return r;
}

int qcow2_bitmaps_name(Qcow2 *q)
{
  uint32_t count = count_listed(&q->bitmaps);
  if (qcow2_bitmaps_are_named(q))
    return 0;
  return count ? name(q, count) : name_none(q);
}

/* What the header says of the backing file: written anew, while everything else in the first cluster stays where it is.
 *
 * Where it can be so (an image that had a backing file of a format with a name of about that length, which is the usual case) the new name is
 * written beside the old one first, and then one sector names it: no torn write can be seen. Else it is one write of the header's area. */
#include "drivers/qcow2/head.h"

#include <errno.h>

static size_t put_extension(uint8_t *at, uint32_t type, const char *text)
{
  size_t length = strlen(text);
  qcow2_put32(at, type);
  qcow2_put32(at + 4, (uint32_t)length);
  memset(at + 8, 0, qcow2_head_padded(length));
  memcpy(at + 8, text, length);
  return 8 + qcow2_head_padded(length);
}

/* ── beside the old name ── */

/* Whether all but the name changes within the first sector. */
static bool fits_first_sector(const Qcow2Head *head, const char *format)
{
  return head->marked && head->format_at && head->format_padded == qcow2_head_padded(strlen(format)) &&
         head->format_at + 8 + head->format_padded <= QCOW2_SECTOR;
}

static int write_beside(Qcow2 *q, Qcow2Head *head, size_t at, const char *file, const char *format)
{
  qcow2_head_put_name(head, at, file, strlen(file));
  put_extension(head->bytes + head->format_at, QCOW2_EXT_BACKING_FORMAT, format);
  int r = qcow2_head_write(q, head, at, head->name_length);
  return r == 0 ? qcow2_head_write(q, head, 0, QCOW2_SECTOR) : r;
}

/* The format stays, and is that of nothing. */
static int write_none(Qcow2 *q, Qcow2Head *head)
{
  memset(head->bytes + QCOW2_H_BACKING_OFFSET, 0, 12);
  return qcow2_head_write(q, head, 0, QCOW2_SECTOR);
}

/* ── all of it ── */

/* The extensions other than that of the format, from `from`, the end mark aside. */
static size_t copy_others(const Qcow2Head *old, uint8_t *to)
{
  size_t end = old->marked ? old->end - 8 : old->end, before = end, after = end;
  if (old->format_at) {
    before = old->format_at;
    after = MIN(end, old->format_at + 8 + old->format_padded);
  }
  memcpy(to, old->bytes + old->first, before - old->first);
  memcpy(to + (before - old->first), old->bytes + after, end - after);
  return (before - old->first) + (end - after);
}

static int write_all(Qcow2 *q, Qcow2Head *old, const char *file, const char *format)
{
  size_t others = old->end - old->first,
         most = old->first + others + 16 + qcow2_head_padded(strlen(format)) + strlen(file);
  if (most > old->size)
    return -ENOSPC;
  g_auto(Qcow2Head) head = *old;
  head.bytes = g_memdup2(old->bytes, old->size);
  size_t at = head.first;
  at += put_extension(head.bytes + at, QCOW2_EXT_BACKING_FORMAT, format);
  at += copy_others(old, head.bytes + at);
  memset(head.bytes + at, 0, 8);
  qcow2_head_put_name(&head, at + 8, file, strlen(file));
  return qcow2_head_write(q, &head, 0, head.name_at + head.name_length);
}

/* ── the call ── */

/* The extension that tells of bitmaps may have moved. */
static void find_bitmaps(Qcow2Header *header, const Qcow2Head *head)
{
  for (size_t at = head->first; at + 8 <= head->end; at += 8 + qcow2_head_padded(qcow2_get32(head->bytes + at + 4)))
    if (qcow2_get32(head->bytes + at) == QCOW2_EXT_BITMAPS)
      header->bitmaps_at = at + 8;
}

/* header_lock held. */
static int change(Qcow2 *q, const char *file, const char *format)
{
  g_auto(Qcow2Head) head = {0};
  int r = qcow2_head_read(q, &head);
  if (r < 0)
    return r;
  if (!file)
    return write_none(q, &head);
  size_t beside = qcow2_head_place_beside(&head, head.end, strlen(file));
  if (beside && fits_first_sector(&head, format))
    return write_beside(q, &head, beside, file, format);
  r = write_all(q, &head, file, format);
  g_auto(Qcow2Head) written = {0};
  if (r == 0 && qcow2_head_read(q, &written) == 0)
    find_bitmaps(&q->header, &written);
  return r;
}

static bool check(const Qcow2 *q, const char *file, GError **error)
{
  if (atomic_load(&q->damaged))
    bg_set_error(error, EIO, "The image is damaged");
  else if (file && q->raw)
    bg_set_error(error, EINVAL, "An image whose data file reads as its disk cannot have a backing file");
  else if (file && (!*file || strlen(file) > QCOW2_MAX_BACKING_NAME))
    bg_set_error(error, EINVAL, "The backing file's name must have 1 to %u bytes", QCOW2_MAX_BACKING_NAME);
  else
    return true;
  return false;
}

bool qcow2_change_backing(void *instance, const char *file, const char *format, GError **error)
{
  Qcow2 *q = instance;
  if (!check(q, file, error))
    return false;
  pthread_mutex_lock(&q->write_back_lock); /* where the bitmaps' directory is named may move */
  pthread_mutex_lock(&q->header_lock);
  int r = change(q, file, format);
  if (r == 0) {
    g_free(q->header.backing_file);
    g_free(q->header.backing_format);
    q->header.backing_file = g_strdup(file);
    q->header.backing_format = g_strdup(file ? format : NULL);
  }
  pthread_mutex_unlock(&q->header_lock);
  pthread_mutex_unlock(&q->write_back_lock);
  if (r == -ENOSPC)
    bg_set_error(error, ENOSPC, "The header has no room for so long a name of a backing file");
  else if (r < 0)
    bg_set_error_errno(error, -r, "Cannot write the header");
  return r == 0;
}

void qcow2_backing(void *instance, char **file, char **format)
{
  Qcow2 *q = instance;
  pthread_mutex_lock(&q->header_lock);
  *file = g_strdup(q->header.backing_file);
  *format = g_strdup(q->header.backing_format);
  pthread_mutex_unlock(&q->header_lock);
}

#include "drivers/qcow2/head.h"

#include <errno.h>

void qcow2_head_clear(Qcow2Head *head)
{
  g_free(head->bytes);
}

static void find_extensions(Qcow2Head *head)
{
  size_t limit = head->name_at ? head->name_at : head->size, at = head->first;
  while (!head->marked && at + 8 <= limit) {
    uint32_t type = qcow2_get32(head->bytes + at);
    size_t length = qcow2_head_padded(qcow2_get32(head->bytes + at + 4));
    head->marked = type == QCOW2_EXT_END;
    if (type == QCOW2_EXT_BACKING_FORMAT) {
      head->format_at = at;
      head->format_padded = length;
    }
    at += 8 + (head->marked ? 0 : MIN(length, limit - at - 8));
  }
  head->end = at;
}

int qcow2_head_read(Qcow2 *q, Qcow2Head *head)
{
  *head = (Qcow2Head){.size = q->cluster_size, .first = q->header.header_length};
  head->bytes = g_try_malloc(head->size);
  int r = head->bytes ? bg_child_pread(q->file, head->bytes, head->size, 0) : -ENOMEM;
  if (r < 0)
    return r;
  head->name_at = qcow2_get64(head->bytes + QCOW2_H_BACKING_OFFSET);
  head->name_length = qcow2_get32(head->bytes + QCOW2_H_BACKING_SIZE);
  find_extensions(head);
  return 0;
}

void qcow2_head_put_name(Qcow2Head *head, size_t at, const void *name, size_t length)
{
  memmove(head->bytes + at, name, length);
  head->name_at = at;
  head->name_length = length;
  qcow2_put64(head->bytes + QCOW2_H_BACKING_OFFSET, at);
  qcow2_put32(head->bytes + QCOW2_H_BACKING_SIZE, (uint32_t)length);
}

size_t qcow2_head_place_beside(const Qcow2Head *head, size_t end, size_t length)
{
  size_t first = qcow2_head_padded(end);
  size_t after = MAX(first, qcow2_head_padded(head->name_at + head->name_length));
  if (!head->name_at || first + length <= head->name_at)
    after = first;
  return after + length <= head->size ? after : 0;
}

int qcow2_head_write(Qcow2 *q, const Qcow2Head *head, size_t at, size_t length)
{
  int r = bg_child_pwrite(q->file, head->bytes + at, length, at);
  return r == 0 ? q->file->ops->flush(q->file) : r;
}

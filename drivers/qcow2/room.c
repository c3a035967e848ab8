/* What allocation stands on: how far the file reaches, and what waits to be freed. */
#include "drivers/qcow2/alloc.h"

#include <errno.h>

int qcow2_check_room(Qcow2 *q, uint64_t first, uint64_t count)
{
  if (first + count > QCOW2_MAX_OFFSET >> q->cluster_bits)
    return -EFBIG;
  if (q->grows)
    return 0;
  int64_t size = q->file->ops->size(q->file);
  if (size < 0)
    return (int)size;
  return (first + count) << q->cluster_bits <= (uint64_t)size ? 0 : -ENOSPC;
}

int qcow2_clear_clusters(Qcow2 *q, uint64_t first, uint64_t count)
{
  static const uint8_t zeros[64 << 10];
  uint64_t at = first << q->cluster_bits, end = (first + count) << q->cluster_bits;
  q->high_water = MAX(q->high_water, end);
  while (at < end) {
    uint64_t step = MIN(end - at, sizeof zeros);
    int r = bg_child_pwrite(q->file, zeros, step, at);
    if (r < 0)
      return r;
    at += step;
  }
  return 0;
}

void qcow2_free_later(Qcow2 *q, uint64_t cluster, bool request)
{
  Qcow2Freed freed = {cluster, request ? q->options->pass_discard_request : q->options->pass_discard_other};
  g_array_append_val(q->freed, freed);
}

/* Refcounts as they lie on disk, through a small cache. */
#include "drivers/qcow2/alloc.h"
#include "drivers/qcow2/check-pass.h"

#include <errno.h>

static int read_block(Qcow2Check *check, uint64_t offset, uint8_t **data)
{
  if (offset & (check->q->cluster_size - 1))
    return -EINVAL;
  g_autofree uint8_t *bytes = g_try_malloc(check->q->cluster_size);
  int r = bytes ? bg_child_pread(check->file, bytes, check->q->cluster_size, offset) : -ENOMEM;
  if (r == 0)
    *data = g_steal_pointer(&bytes);
  return r;
}

int qcow2_disk_block(Qcow2Check *check, uint64_t number, const uint8_t **block)
{
  uint64_t offset = number < check->reftable_entries ? check->reftable[number] & QCOW2_REFTABLE_MASK : 0;
  *block = NULL;
  if (offset == 0)
    return 0;
  Qcow2Slot *slot = &check->slots[number % check->slot_count];
  if (slot->number != number) {
    g_clear_pointer(&slot->data, g_free);
    slot->number = number;
    slot->error = read_block(check, offset, &slot->data);
  }
  *block = slot->data;
  return slot->error;
}

bool qcow2_disk_refcount(Qcow2Check *check, uint64_t cluster, uint64_t *refcount)
{
  const uint8_t *block;
  unsigned bits = check->counts.block_bits;
  if (qcow2_disk_block(check, cluster >> bits, &block) < 0)
    return false;
  *refcount = block ? qcow2_refcount_get(block, check->counts.order, cluster & ((UINT64_C(1) << bits) - 1)) : 0;
  return true;
}

void qcow2_disk_forget(Qcow2Check *check)
{
  for (size_t i = 0; i < check->slot_count; i++) {
    g_clear_pointer(&check->slots[i].data, g_free);
    check->slots[i].number = UINT64_MAX;
  }
}

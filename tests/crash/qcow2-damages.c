#include "tests/crash/qcow2-damages.h"

#include "drivers/qcow2/layout.h"
#include "tests/drivers/mem-child.h"

/* Where the refcount of a cluster of 16 bits stands: all images here have their first block's in it. */
static uint8_t *refcount_of(uint8_t *bytes, uint64_t offset)
{
  unsigned bits = qcow2_get32(bytes + QCOW2_H_CLUSTER_BITS);
  uint64_t table = qcow2_get64(bytes + QCOW2_H_REFTABLE_OFFSET), cluster = offset >> bits;
  uint64_t per_block = (UINT64_C(1) << bits) / 2;
  return bytes + qcow2_get64(bytes + table + cluster / per_block * 8) + cluster % per_block * 2;
}

/* The first L1 entry that names a table. */
static uint8_t *l1_entry(uint8_t *bytes)
{
  uint8_t *entry = bytes + qcow2_get64(bytes + QCOW2_H_L1_OFFSET);
  while (!qcow2_get64(entry))
    entry += 8;
  return entry;
}

/* As if the name of a new table had come before its refcount. */
static void refcount_too_low(BgChild *image)
{
  uint8_t *bytes = mem_child_data(image);
  uint8_t *refcount = refcount_of(bytes, qcow2_get64(l1_entry(bytes)) & QCOW2_OFFSET_MASK);
  refcount[0] = refcount[1] = 0;
}

static void false_flag(BgChild *image)
{
  uint8_t *entry = l1_entry(mem_child_data(image));
  qcow2_put64(entry, qcow2_get64(entry) ^ QCOW2_COPIED);
}

/* As if an entry had come before the table that it names. */
static void false_offset(BgChild *image)
{
  uint8_t *entry = l1_entry(mem_child_data(image));
  qcow2_put64(entry, (qcow2_get64(entry) & ~QCOW2_OFFSET_MASK) | (uint64_t)image->ops->size(image) << 4);
}

static void mark(BgChild *image, uint64_t mark)
{
  uint8_t *at = mem_child_data(image) + QCOW2_H_INCOMPATIBLE;
  qcow2_put64(at, qcow2_get64(at) | mark);
}

static void mark_dirty(BgChild *image)
{
  mark(image, QCOW2_INCOMPAT_DIRTY);
}

static void mark_corrupt(BgChild *image)
{
  mark(image, QCOW2_INCOMPAT_CORRUPT);
}

const CrashDamage qcow2_damages[] = {
    {"a refcount is too low", refcount_too_low, "corruption", true},
    {"a COPIED flag is false", false_flag, "corruption", true},
    {"an offset leads nowhere", false_offset, "corruption", true},
    {"the mark \"dirty\"", mark_dirty, "marked as dirty", false},
    {"the mark \"corrupt\"", mark_corrupt, "marked as corrupt", false},
    {0},
};

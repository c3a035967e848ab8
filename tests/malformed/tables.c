/* The tables of a disk and of the refcounts: entries that cannot be true, and tables that are something else. */
#include "tests/malformed/kinds.h"

#define ENTRY(n, b, place, where, number, that, happens, status)                                                       \
  {                                                                                                                    \
    .name = n, .base = b, .outcome = happens, .check = status, .at = place, .offset = where, .width = 8,               \
    .value = number, .plus = that                                                                                      \
  }
#define EXTRA(n, b, happens, status, how)                                                                              \
  {                                                                                                                    \
    .name = n, .base = b, .outcome = happens, .check = status, .make = how                                             \
  }
#define HERE HEADER /* begins at 0: nothing is added */
#define FAR  (UINT64_C(1) << 50)

/* ── tables that are something else ── */

static void l1_is_reftable(Maker *m)
{
  maker_put(m, QCOW2_H_L1_OFFSET, 8, maker_place(m, REFTABLE));
}

static void reftable_is_l1(Maker *m)
{
  maker_put(m, QCOW2_H_REFTABLE_OFFSET, 8, maker_place(m, L1));
}

static void l1_is_l2(Maker *m)
{
  maker_put(m, QCOW2_H_L1_OFFSET, 8, maker_place(m, L2));
}

static void l2_twice(Maker *m)
{
  uint64_t l1 = maker_place(m, L1);
  maker_put(m, l1 + 16, 8, maker_get(m, l1, 8));
}

static void cluster_twice(Maker *m)
{
  uint64_t l2 = maker_place(m, L2);
  maker_put(m, l2 + 8, 8, maker_get(m, l2, 8));
}

static void all_l2_entries_the_same(Maker *m)
{
  uint64_t l2 = maker_place(m, L2);
  for (uint64_t at = 8; at < m->cluster; at += 8)
    maker_put(m, l2 + at, 8, maker_get(m, l2, 8));
}

static void garbage_l2(Maker *m)
{
  uint64_t l2 = maker_place(m, L2), word = 1;
  for (uint64_t at = 0; at < m->cluster; at += 8)
    maker_put(m, l2 + at, 8, word = word * UINT64_C(6364136223846793005) + 1);
}

static void fill_block(Maker *m, uint8_t byte)
{
  memset(m->bytes + maker_place(m, REFBLOCK), byte, m->cluster);
}

static void refcounts_0(Maker *m)
{
  fill_block(m, 0);
}

static void refcounts_max(Maker *m)
{
  fill_block(m, 0xff);
}

static void reftable_full_of_one_block(Maker *m)
{
  uint64_t table = maker_place(m, REFTABLE);
  for (uint64_t at = 8; at < m->cluster; at += 8)
    maker_put(m, table + at, 8, maker_place(m, REFBLOCK));
}

/* ── extended entries ── */

static void bitmap(Maker *m, uint64_t word, uint64_t bits)
{
  maker_put(m, maker_place(m, L2), 8, word);
  maker_put(m, maker_place(m, L2) + 8, 8, bits);
}

static void subclusters_both(Maker *m)
{
  bitmap(m, maker_get(m, maker_place(m, L2), 8), UINT64_MAX);
}

static void subclusters_nowhere(Maker *m)
{
  bitmap(m, 0, 1);
}

static void subclusters_zero_flag(Maker *m)
{
  bitmap(m, maker_get(m, maker_place(m, L2), 8) | QCOW2_ZERO, 1);
}

static void subclusters_of_compressed(Maker *m)
{
  bitmap(m, QCOW2_COMPRESSED | maker_place(m, DATA), UINT64_C(0xff00000001));
}

static void subclusters_unaligned(Maker *m)
{
  bitmap(m, maker_place(m, DATA) + 512, 1);
}

static void subclusters_past_end(Maker *m)
{
  bitmap(m, QCOW2_COPIED | FAR, UINT32_MAX);
}

const Kind table_kinds[] = {
    ENTRY("l1-entry-unaligned", PLAIN, L1, 0, 512, L2, EIO_THERE, "2"),
    ENTRY("l1-entry-past-end", PLAIN, L1, 0, QCOW2_COPIED | FAR, HERE, EIO_THERE, "2"),
    ENTRY("l1-entry-max", PLAIN, L1, 0, UINT64_MAX, HERE, EIO_THERE, "2"),
    ENTRY("l1-entry-reserved-bits", PLAIN, L1, 0, QCOW2_L1_RESERVED & ~UINT64_C(511), L2, READS, "2"),
    ENTRY("l1-entry-not-copied", PLAIN, L1, 0, 0, L2, READS, "2"),
    ENTRY("l1-entry-names-l1", PLAIN, L1, 0, QCOW2_COPIED, L1, READS, "2"),
    ENTRY("l1-entry-names-reftable", PLAIN, L1, 0, QCOW2_COPIED, REFTABLE, READS, "2"),
    ENTRY("l1-entry-names-refblock", PLAIN, L1, 0, QCOW2_COPIED, REFBLOCK, READS, "2"),
    ENTRY("l1-entry-names-data", PLAIN, L1, 0, QCOW2_COPIED, DATA, EIO_THERE, "2"),
    ENTRY("l1-entry-last-names-l1", SMALL, L1, 8, QCOW2_COPIED, L1, READS, "2"),
    EXTRA("l1-is-reftable", PLAIN, READS, "2", l1_is_reftable),
    EXTRA("l1-is-l2", PLAIN, EIO_THERE, "2", l1_is_l2),
    EXTRA("l2-table-twice", PLAIN, READS, "2", l2_twice),
    ENTRY("l2-entry-unaligned", PLAIN, L2, 0, QCOW2_COPIED + 512, DATA, EIO_THERE, "2"),
    ENTRY("l2-entry-past-end", PLAIN, L2, 0, QCOW2_COPIED | FAR, HERE, READS, "2"),
    ENTRY("l2-entry-last-offset", PLAIN, L2, 0, QCOW2_COPIED | (QCOW2_MAX_OFFSET - 4096), HERE, READS, "2"),
    ENTRY("l2-entry-max", PLAIN, L2, 0, UINT64_MAX, HERE, EIO_THERE, "2"),
    ENTRY("l2-entry-reserved-bits", PLAIN, L2, 0, QCOW2_L2_RESERVED & ~UINT64_C(511), DATA, READS, "2"),
    ENTRY("l2-entry-not-copied", PLAIN, L2, 0, 0, DATA, READS, "2"),
    ENTRY("l2-entry-names-l2", PLAIN, L2, 0, QCOW2_COPIED, L2, READS, "2"),
    ENTRY("l2-entry-names-l1", PLAIN, L2, 0, QCOW2_COPIED, L1, READS, "2"),
    ENTRY("l2-entry-names-reftable", PLAIN, L2, 0, QCOW2_COPIED, REFTABLE, READS, "2"),
    ENTRY("l2-entry-names-refblock", PLAIN, L2, 0, QCOW2_COPIED, REFBLOCK, READS, "2"),
    ENTRY("l2-entry-zero-unaligned", PLAIN, L2, 0, QCOW2_COPIED + 512 + QCOW2_ZERO, DATA, EIO_THERE, "2"),
    ENTRY("l2-entry-zero-past-end", PLAIN, L2, 0, QCOW2_COPIED | FAR | QCOW2_ZERO, HERE, READS, "2"),
    ENTRY("l2-entry-zero-in-version-2", VERSION2, L2, 0, QCOW2_COPIED | QCOW2_ZERO, DATA, EIO_THERE, "2"),
    EXTRA("l2-cluster-twice", PLAIN, READS, "2", cluster_twice),
    EXTRA("l2-entries-all-the-same", PLAIN, READS, "2", all_l2_entries_the_same),
    EXTRA("l2-garbage", PLAIN, EIO_THERE, "2", garbage_l2),
    EXTRA("subclusters-allocated-and-zero", EXTENDED, EIO_THERE, "2", subclusters_both),
    EXTRA("subclusters-nowhere", EXTENDED, EIO_THERE, "2", subclusters_nowhere),
    EXTRA("subclusters-zero-flag", EXTENDED, EIO_THERE, "2", subclusters_zero_flag),
    EXTRA("subclusters-of-compressed", EXTENDED, EIO_THERE, "2", subclusters_of_compressed),
    EXTRA("subclusters-unaligned", EXTENDED, EIO_THERE, "2", subclusters_unaligned),
    EXTRA("subclusters-past-end", EXTENDED, READS, "2", subclusters_past_end),
    ENTRY("reftable-entry-unaligned", PLAIN, REFTABLE, 0, 512, REFBLOCK, READS, "2"),
    ENTRY("reftable-entry-past-end", PLAIN, REFTABLE, 0, FAR, HERE, READS, "2"),
    ENTRY("reftable-entry-max", PLAIN, REFTABLE, 0, UINT64_MAX, HERE, READS, "2"),
    ENTRY("reftable-entry-reserved-bits", PLAIN, REFTABLE, 0, 511, REFBLOCK, READS, "2"),
    ENTRY("reftable-entry-0", PLAIN, REFTABLE, 0, 0, HERE, READS, "2"),
    ENTRY("reftable-entry-names-reftable", PLAIN, REFTABLE, 0, 0, REFTABLE, READS, "2"),
    ENTRY("reftable-entry-names-l1", PLAIN, REFTABLE, 0, 0, L1, READS, "2"),
    ENTRY("reftable-entry-names-l2", PLAIN, REFTABLE, 0, 0, L2, READS, "2"),
    ENTRY("reftable-second-entry-past-end", PLAIN, REFTABLE, 8, FAR, HERE, READS, "2"),
    EXTRA("reftable-full-of-one-block", PLAIN, READS, "2", reftable_full_of_one_block),
    EXTRA("reftable-is-l1", PLAIN, READS, "2", reftable_is_l1),
    EXTRA("refcounts-0", PLAIN, READS, "2", refcounts_0),
    EXTRA("refcounts-max", PLAIN, READS, "2", refcounts_max),
    {0},
};

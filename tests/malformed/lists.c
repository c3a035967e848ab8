/* The snapshot table and the bitmap directory. */
#include "tests/malformed/kinds.h"

#define SNAPSHOT(n, happens, status, words, how)                                                                       \
  {                                                                                                                    \
    .name = "snapshot-" n, .base = PLAIN, .outcome = happens, .check = status, .says = words, .make = how              \
  }
/* The disk is as sound as ever; what is wrong with the bitmap is said when a writer comes. */
#define BITMAP(n, status, words, how)                                                                                  \
  {                                                                                                                    \
    .name = "bitmap-" n, .base = PLAIN, .outcome = READS, .check = status, .says = words, .make = how                  \
  }

/* ── snapshots ── */

/* An entry of the snapshot table, as far as kinds differ in it. */
typedef struct Snapshot {
  uint64_t l1_offset;
  uint32_t l1_entries;
  uint16_t id_length, name_length;
  uint32_t extra;
  const char *text; /* the id and the name */
  uint64_t disk_size;
} Snapshot;

enum { ENTRY = 40, VERY_MANY = 2000 };

static Snapshot sound(const Maker *m)
{
  return (Snapshot){maker_place(m, L1), 4, 1, 1, 16, "1a", 8 << 20};
}

static void put_snapshot(Maker *m, uint64_t at, const Snapshot *s)
{
  maker_put(m, at, 8, s->l1_offset);
  maker_put(m, at + 8, 4, s->l1_entries);
  maker_put(m, at + 12, 2, s->id_length);
  maker_put(m, at + 14, 2, s->name_length);
  maker_put(m, at + 36, 4, s->extra);
  maker_put(m, at + ENTRY + 8, 8, s->disk_size);
  memcpy(m->bytes + at + ENTRY + 16, s->text, strlen(s->text));
}

static void table(Maker *m, const Snapshot *s, uint32_t count)
{
  uint64_t at = maker_append(m, m->cluster);
  put_snapshot(m, at, s);
  maker_put(m, QCOW2_H_SNAPSHOTS_OFFSET, 8, at);
  maker_put(m, QCOW2_H_SNAPSHOT_COUNT, 4, count);
}

#define VARIANT(name, ...)                                                                                             \
  static void name(Maker *m)                                                                                           \
  {                                                                                                                    \
    Snapshot s = sound(m);                                                                                             \
    __VA_ARGS__;                                                                                                       \
    table(m, &s, 1);                                                                                                   \
  }

VARIANT(shares_active_l1, (void)s)
VARIANT(l1_unaligned, s.l1_offset += 512)
VARIANT(l1_past_end, s.l1_offset = UINT64_C(1) << 40)
VARIANT(l1_overflows, s.l1_offset = UINT64_MAX & ~UINT64_C(4095))
VARIANT(l1_too_large, s.l1_entries = (4 << 20) + 1)
VARIANT(l1_max, s.l1_entries = UINT32_MAX)
VARIANT(l1_is_header, s.l1_offset = 0)
VARIANT(l1_is_snapshot_table, s.l1_offset = maker_place(m, END))
VARIANT(l1_is_l2, s.l1_offset = maker_place(m, L2))
VARIANT(l1_of_nothing, s.l1_entries = 0)
VARIANT(extra_1025, s.extra = 1025)
VARIANT(extra_max, s.extra = UINT32_MAX)
VARIANT(extra_none, s.extra = 0)
VARIANT(name_of_64k, s.name_length = UINT16_MAX)
VARIANT(id_of_64k, s.id_length = UINT16_MAX)
VARIANT(name_hostile, s.text = "1\n", s.disk_size = UINT64_MAX)
VARIANT(name_slash, s.text = "1/../x", s.name_length = 5)
VARIANT(name_empty, s.id_length = 0, s.name_length = 0)
VARIANT(disk_of_1_eib, s.disk_size = UINT64_C(1) << 60)

static void unaligned(Maker *m)
{
  shares_active_l1(m);
  maker_put(m, QCOW2_H_SNAPSHOTS_OFFSET, 8, maker_get(m, QCOW2_H_SNAPSHOTS_OFFSET, 8) + 8);
}

static void past_end(Maker *m)
{
  shares_active_l1(m);
  maker_put(m, QCOW2_H_SNAPSHOTS_OFFSET, 8, UINT64_C(1) << 40);
}

static void is_l1(Maker *m)
{
  maker_put(m, QCOW2_H_SNAPSHOT_COUNT, 4, 1);
  maker_put(m, QCOW2_H_SNAPSHOTS_OFFSET, 8, maker_place(m, L1));
}

/* More entries than there are: the rest of the cluster and of the file is zeros. */
static void more_than_there_are(Maker *m)
{
  Snapshot s = sound(m);
  table(m, &s, 1000);
}

/* Entries of nothing but zeros. */
static void very_many(Maker *m)
{
  uint64_t at = maker_append(m, VERY_MANY * ENTRY);
  maker_put(m, QCOW2_H_SNAPSHOTS_OFFSET, 8, at);
  maker_put(m, QCOW2_H_SNAPSHOT_COUNT, 4, VERY_MANY);
}

static void twins(Maker *m)
{
  Snapshot s = sound(m);
  table(m, &s, 2);
  put_snapshot(m, maker_get(m, QCOW2_H_SNAPSHOTS_OFFSET, 8) + 64, &s);
}

/* ── bitmaps ── */

/* The directory's only entry, as far as kinds differ in it, and what the header says of the directory. */
typedef struct Bitmap {
  uint64_t table_offset;
  uint32_t table_entries, flags;
  uint8_t type, granularity;
  uint16_t name_length;
  uint32_t extra;
  uint32_t count;
  uint64_t directory_size, directory_offset;
  uint64_t first; /* entry of the table */
} Bitmap;

static Bitmap sound_bitmap(Maker *m)
{
  Bitmap b = {.table_entries = 1, .flags = 2, .type = 1, .granularity = 16, .name_length = 1, .count = 1};
  b.table_offset = maker_append(m, m->cluster);
  b.directory_offset = maker_append(m, m->cluster);
  b.directory_size = 32;
  b.first = 1; /* all ones */
  return b;
}

static void put_bitmap(Maker *m, const Bitmap *b)
{
  uint64_t at = MIN(b->directory_offset, maker_place(m, END) - m->cluster) & ~(m->cluster - 1);
  maker_put(m, at, 8, b->table_offset);
  maker_put(m, at + 8, 4, b->table_entries);
  maker_put(m, at + 12, 4, b->flags);
  maker_put(m, at + 16, 1, b->type);
  maker_put(m, at + 17, 1, b->granularity);
  maker_put(m, at + 18, 2, b->name_length);
  maker_put(m, at + 20, 4, b->extra);
  maker_put(m, at + 24, 1, 'b');
  maker_put(m, at - m->cluster, 8, b->first);
  uint8_t extension[24] = {0};
  qcow2_put32(extension, b->count);
  qcow2_put64(extension + 8, b->directory_size);
  qcow2_put64(extension + 16, b->directory_offset);
  maker_extension(m, QCOW2_EXT_BITMAPS, extension, sizeof extension, sizeof extension);
  maker_put(m, QCOW2_H_AUTOCLEAR, 8, QCOW2_AUTOCLEAR_BITMAPS);
}

#define BITS(name, ...)                                                                                                \
  static void name(Maker *m)                                                                                           \
  {                                                                                                                    \
    Bitmap b = sound_bitmap(m);                                                                                        \
    __VA_ARGS__;                                                                                                       \
    put_bitmap(m, &b);                                                                                                 \
  }

BITS(count_0, b.count = 0)
BITS(count_65536, b.count = 65536)
BITS(count_max, b.count = UINT32_MAX)
BITS(directory_0, b.directory_size = 0)
BITS(directory_max, b.directory_size = UINT64_MAX)
BITS(directory_short, b.directory_size = 16)
BITS(directory_64_mib, b.directory_size = UINT64_C(64) << 20, b.count = 65535)
BITS(directory_unaligned, b.directory_offset += 512)
BITS(directory_past_end, b.directory_offset = UINT64_C(1) << 40)
BITS(table_unaligned, b.table_offset += 512)
BITS(table_past_end, b.table_offset = UINT64_C(1) << 40)
BITS(table_is_header, b.table_offset = 0)
BITS(table_is_directory, b.table_offset = b.directory_offset)
BITS(table_max, b.table_entries = UINT32_MAX)
BITS(table_0, b.table_entries = 0)
BITS(flags_reserved, b.flags = UINT32_MAX - 1)
BITS(in_use, b.flags = 1)
BITS(type_2, b.type = 2)
BITS(granularity_0, b.granularity = 0)
BITS(granularity_63, b.granularity = 63)
BITS(granularity_255, b.granularity = 255)
BITS(no_name, b.name_length = 0, b.directory_size = 24)
BITS(long_name, b.name_length = 65535)
BITS(extra, b.extra = UINT32_MAX)
BITS(entry_reserved, b.first = 0xff)
BITS(entry_past_end, b.first = UINT64_C(1) << 50)
BITS(entry_is_table, b.first = b.table_offset)
BITS(empty_entry, b.count = 2, b.directory_size = 64)

static void bitmap_twins(Maker *m)
{
  Bitmap b = sound_bitmap(m);
  b.count = 2;
  b.directory_size = 64;
  put_bitmap(m, &b);
  memcpy(m->bytes + b.directory_offset + 32, m->bytes + b.directory_offset, 32);
}

const Kind list_kinds[] = {
    SNAPSHOT("shares-the-disks-l1", READS, "2", NULL, shares_active_l1),
    SNAPSHOT("l1-unaligned", REFUSED, "1", "L1 table of the snapshot", l1_unaligned),
    SNAPSHOT("l1-past-end", REFUSED, "1", "L1 table of the snapshot", l1_past_end),
    SNAPSHOT("l1-overflows", REFUSED, "1", "L1 table of the snapshot", l1_overflows),
    SNAPSHOT("l1-too-large", REFUSED, "1", "L1 table of the snapshot", l1_too_large),
    SNAPSHOT("l1-max", REFUSED, "1", "L1 table of the snapshot", l1_max),
    SNAPSHOT("l1-is-header", READS, "2", NULL, l1_is_header),
    SNAPSHOT("l1-is-snapshot-table", READS, "2", NULL, l1_is_snapshot_table),
    SNAPSHOT("l1-is-l2", READS, "2", NULL, l1_is_l2),
    SNAPSHOT("l1-of-nothing", READS, "0", NULL, l1_of_nothing),
    SNAPSHOT("extra-data-1025", REFUSED, "1", "extra bytes", extra_1025),
    SNAPSHOT("extra-data-max", REFUSED, "1", "extra bytes", extra_max),
    SNAPSHOT("extra-data-none", READS, "2", NULL, extra_none),
    SNAPSHOT("name-of-64-kib", REFUSED, "1", "snapshot table", name_of_64k),
    SNAPSHOT("id-of-64-kib", REFUSED, "1", "snapshot table", id_of_64k),
    SNAPSHOT("name-of-a-newline", READS, "2", NULL, name_hostile),
    SNAPSHOT("name-with-slashes", READS, "2", NULL, name_slash),
    SNAPSHOT("without-name", READS, "2", NULL, name_empty),
    SNAPSHOT("of-a-disk-of-1-eib", READS, "2", NULL, disk_of_1_eib),
    SNAPSHOT("table-unaligned", REFUSED, "1", "snapshot table is not aligned", unaligned),
    SNAPSHOT("table-past-end", REFUSED, "1", "snapshot table lies past", past_end),
    SNAPSHOT("table-is-l1", REFUSED, "1", "snapshot|Snapshot", is_l1),
    SNAPSHOT("table-cut-off", REFUSED, "1", "snapshot table", more_than_there_are),
    SNAPSHOT("table-of-2000", READS, "2", NULL, very_many),
    SNAPSHOT("twins", READS, "2", NULL, twins),
    BITMAP("count-0", "2", "There are no bitmaps", count_0),
    BITMAP("count-65536", "2", "as large as", count_65536),
    BITMAP("count-max", "2", "as large as", count_max),
    BITMAP("directory-of-nothing", "2", "as large as", directory_0),
    BITMAP("directory-max", "2", "as large as", directory_max),
    BITMAP("directory-cut-off", "2", "as large as", directory_short),
    BITMAP("directory-of-64-mib", "2", "directory of bitmaps cannot be where", directory_64_mib),
    BITMAP("directory-unaligned", "2", "directory of bitmaps cannot be where", directory_unaligned),
    BITMAP("directory-past-end", "2", "directory of bitmaps cannot be where", directory_past_end),
    BITMAP("table-unaligned", "2", "'b' cannot be kept up to date: its table cannot be where", table_unaligned),
    BITMAP("table-past-end", "2", "'b' cannot be kept up to date: its table cannot be where", table_past_end),
    BITMAP("table-is-header", "2", "'b' cannot be kept up to date: its table cannot be where", table_is_header),
    BITMAP("table-is-directory", "2", "refused: .* bitmaps overlap", table_is_directory),
    BITMAP("table-max", "2", "'b' cannot be kept up to date: its table cannot be where", table_max),
    BITMAP("table-of-nothing", "2", "'b' cannot be kept up to date: its table cannot be where", table_0),
    BITMAP("flags-reserved", "2", "'b' cannot be kept up to date: it has unknown flags", flags_reserved),
    BITMAP("in-use", "0", NULL, in_use),
    BITMAP("type-unknown", "2", "'b' cannot be kept up to date: it is of an unknown type", type_2),
    BITMAP("granularity-0", "2", "'b' cannot be kept up to date: its granularity", granularity_0),
    BITMAP("granularity-63", "0", "'b' cannot be kept up to date: its granularity", granularity_63),
    BITMAP("granularity-255", "2", "'b' cannot be kept up to date: its granularity", granularity_255),
    BITMAP("without-name", "0", "'' cannot be kept up to date: its name is empty", no_name),
    BITMAP("name-too-long", "2", "not the size", long_name),
    BITMAP("extra-data-max", "2", "not the size", extra),
    BITMAP("entry-reserved-bits", "2", "'b' cannot be kept up to date: the entry 0xff of its table", entry_reserved),
    BITMAP("entry-past-end", "2", "'b' cannot be kept up to date: the entry 0x4000000000000 of its table",
           entry_past_end),
    BITMAP("entry-names-its-table", "2", "'b' cannot be kept up to date: the entry 0xb000 of its table",
           entry_is_table),
    BITMAP("entry-of-nothing", "2", "not the size", empty_entry),
    BITMAP("twice", "2", "refused: .* bitmaps overlap", bitmap_twins),
    {0},
};

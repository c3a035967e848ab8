/* The header: each of its fields, and its extensions. */
#include "tests/malformed/kinds.h"

#define FIELD(n, b, where, size, number, happens, status, words)                                                       \
  {                                                                                                                    \
    .name = n, .base = b, .outcome = happens, .check = status, .says = words, .at = HEADER, .offset = where,           \
    .width = size, .value = number                                                                                     \
  }
#define EXTRA(n, b, happens, status, words, how)                                                                       \
  {                                                                                                                    \
    .name = n, .base = b, .outcome = happens, .check = status, .says = words, .make = how                              \
  }
#define ALL  UINT64_MAX
#define EIB1 (UINT64_C(1) << 60)

/* ── what a field alone cannot say ── */

static void backing_past_cluster(Maker *m)
{
  maker_put(m, QCOW2_H_BACKING_OFFSET, 8, m->cluster - 4);
  maker_put(m, QCOW2_H_BACKING_SIZE, 4, 8);
}

static void backing_in_header(Maker *m)
{
  maker_put(m, QCOW2_H_BACKING_OFFSET, 8, 8);
  maker_put(m, QCOW2_H_BACKING_SIZE, 4, 8);
}

static void backing_too_long(Maker *m)
{
  maker_put(m, QCOW2_H_BACKING_OFFSET, 8, 2048);
  maker_put(m, QCOW2_H_BACKING_SIZE, 4, 1024);
  memset(m->bytes + 2048, 'a', 1024);
}

static void backing_zero_byte(Maker *m)
{
  maker_backing(m, "abcd", "raw");
  m->bytes[maker_get(m, QCOW2_H_BACKING_OFFSET, 8) + 2] = 0;
}

static void backing_no_length(Maker *m)
{
  maker_put(m, QCOW2_H_BACKING_OFFSET, 8, ALL);
  maker_put(m, QCOW2_H_BACKING_SIZE, 4, UINT32_MAX);
}

/* A disk of 1 EiB whose L1 table is as large as that takes: 16 MiB, nearly all of it a hole. */
static void one_eib(Maker *m)
{
  uint64_t entries = EIB1 >> 39, l1 = maker_append(m, entries * 8);
  maker_put(m, l1, 8, maker_get(m, maker_place(m, L1), 8));
  maker_put(m, QCOW2_H_SIZE, 8, EIB1);
  maker_put(m, QCOW2_H_L1_OFFSET, 8, l1);
  maker_put(m, QCOW2_H_L1_ENTRIES, 4, entries);
}

static void l1_of(Maker *m, uint64_t entries, uint64_t entry)
{
  uint64_t l1 = maker_append(m, entries * 8);
  for (uint64_t i = 0; i < entries && entry; i++)
    maker_put(m, l1 + i * 8, 8, entry);
  maker_put(m, QCOW2_H_SIZE, 8, entries << 21);
  maker_put(m, QCOW2_H_L1_OFFSET, 8, l1);
  maker_put(m, QCOW2_H_L1_ENTRIES, 4, entries);
}

/* As large as an L1 table may be. */
static void largest_l1(Maker *m)
{
  l1_of(m, QCOW2_MAX_L1_BYTES / 8, 0);
}

/* Many times the same L2 table, so that a small file is a disk of 64 GiB of data. */
static void same_l2(Maker *m)
{
  l1_of(m, 32768, maker_place(m, L2));
}

static void name_unknown_bit(Maker *m)
{
  uint8_t row[QCOW2_FEATURE_ROW] = {QCOW2_FEATURE_INCOMPATIBLE, 40, '\n', 0x1b, '[', 0xff, '%', 's'};
  uint64_t first = maker_get(m, QCOW2_H_HEADER_LENGTH, 4) + 8;
  memcpy(m->bytes + first, row, sizeof row);
  maker_put(m, QCOW2_H_INCOMPATIBLE, 8, UINT64_C(1) << 40);
}

static void no_compression_type(Maker *m)
{
  maker_put(m, QCOW2_H_INCOMPATIBLE, 8, QCOW2_INCOMPAT_COMPRESSION);
  maker_put(m, QCOW2_H_COMPRESSION, 1, QCOW2_COMPRESSION_ZLIB);
}

static void raw_with_backing(Maker *m)
{
  maker_backing(m, "base", "raw");
  maker_extension(m, QCOW2_EXT_DATA_FILE, "data", 4, 4);
  maker_put(m, QCOW2_H_INCOMPATIBLE, 8, QCOW2_INCOMPAT_DATA_FILE);
  maker_put(m, QCOW2_H_AUTOCLEAR, 8, QCOW2_AUTOCLEAR_DATA_RAW);
}

/* ── extensions ── */

static const uint8_t zeros[2048];

static void extension_too_long(Maker *m)
{
  maker_extension(m, 0x12345678, NULL, 0, 1 << 20);
}

static void extension_of_4_gib(Maker *m)
{
  maker_extension(m, 0x12345678, NULL, 0, UINT32_MAX);
}

/* The list goes on to the end of the cluster, with nothing to end it. */
static void extensions_without_end(Maker *m)
{
  for (uint64_t at = maker_get(m, QCOW2_H_HEADER_LENGTH, 4); at + 8 <= m->cluster; at += 8) {
    maker_put(m, at, 4, 0x12345678);
    maker_put(m, at + 4, 4, 0);
  }
}

static void backing_format_too_long(Maker *m)
{
  maker_extension(m, QCOW2_EXT_BACKING_FORMAT, "abcdefghijklmnopqrst", 20, 20);
}

static void backing_format_zero_byte(Maker *m)
{
  maker_extension(m, QCOW2_EXT_BACKING_FORMAT, "r\0w", 3, 3);
}

static void feature_table_odd(Maker *m)
{
  maker_extension(m, QCOW2_EXT_FEATURE_NAMES, zeros, 47, 47);
}

static void bitmaps_too_short(Maker *m)
{
  maker_put(m, QCOW2_H_AUTOCLEAR, 8, QCOW2_AUTOCLEAR_BITMAPS);
  maker_extension(m, QCOW2_EXT_BITMAPS, zeros, 23, 23);
}

static void crypto_too_short(Maker *m)
{
  maker_put(m, QCOW2_H_CRYPT_METHOD, 4, 2);
  maker_extension(m, QCOW2_EXT_CRYPTO, zeros, 8, 8);
}

static void crypto(Maker *m, uint64_t offset, uint64_t length)
{
  uint8_t data[16];
  qcow2_put64(data, offset);
  qcow2_put64(data + 8, length);
  maker_put(m, QCOW2_H_CRYPT_METHOD, 4, 2);
  maker_extension(m, QCOW2_EXT_CRYPTO, data, sizeof data, sizeof data);
}

static void crypto_past_end(Maker *m)
{
  crypto(m, maker_place(m, END) + (UINT64_C(1) << 40), m->cluster);
}

static void crypto_endless(Maker *m)
{
  crypto(m, maker_append(m, m->cluster), ALL);
}

static void crypto_unaligned(Maker *m)
{
  crypto(m, maker_append(m, m->cluster) + 8, 512);
}

static void crypto_of_zeros(Maker *m)
{
  crypto(m, maker_append(m, m->cluster), m->cluster);
}

static void crypto_without_method(Maker *m)
{
  crypto(m, ALL & ~UINT64_C(4095), ALL);
  maker_put(m, QCOW2_H_CRYPT_METHOD, 4, 0);
}

static void data_file_zero_byte(Maker *m)
{
  maker_put(m, QCOW2_H_INCOMPATIBLE, 8, QCOW2_INCOMPAT_DATA_FILE);
  maker_extension(m, QCOW2_EXT_DATA_FILE, "a\0b", 3, 3);
}

static void data_file_too_long(Maker *m)
{
  char name[1024];
  memset(name, 'a', sizeof name);
  maker_put(m, QCOW2_H_INCOMPATIBLE, 8, QCOW2_INCOMPAT_DATA_FILE);
  maker_extension(m, QCOW2_EXT_DATA_FILE, name, sizeof name, sizeof name);
}

const Kind header_kinds[] = {
    FIELD("magic", PLAIN, QCOW2_H_MAGIC, 4, 0x514649fa, READS, "63", NULL),
    FIELD("version-0", PLAIN, QCOW2_H_VERSION, 4, 0, REFUSED, "1", "version 0"),
    FIELD("version-1", PLAIN, QCOW2_H_VERSION, 4, 1, REFUSED, "1", "version 1"),
    FIELD("version-4", PLAIN, QCOW2_H_VERSION, 4, 4, REFUSED, "1", "version 4"),
    FIELD("version-max", PLAIN, QCOW2_H_VERSION, 4, ALL, REFUSED, "1", "version"),
    EXTRA("backing-name-past-cluster", PLAIN, REFUSED, "1", "backing file's name", backing_past_cluster),
    EXTRA("backing-name-in-header", PLAIN, REFUSED, "1", "backing file's name", backing_in_header),
    EXTRA("backing-name-too-long", PLAIN, REFUSED, "1", "1023", backing_too_long),
    EXTRA("backing-name-zero-byte", PLAIN, REFUSED, "1", "zero byte", backing_zero_byte),
    EXTRA("backing-name-endless", PLAIN, REFUSED, "1", "backing file's name", backing_no_length),
    FIELD("cluster-bits-0", PLAIN, QCOW2_H_CLUSTER_BITS, 4, 0, REFUSED, "1", "cluster_bits is 0"),
    FIELD("cluster-bits-8", PLAIN, QCOW2_H_CLUSTER_BITS, 4, 8, REFUSED, "1", "cluster_bits is 8"),
    FIELD("cluster-bits-22", PLAIN, QCOW2_H_CLUSTER_BITS, 4, 22, REFUSED, "1", "cluster_bits is 22"),
    FIELD("cluster-bits-63", PLAIN, QCOW2_H_CLUSTER_BITS, 4, 63, REFUSED, "1", "cluster_bits is 63"),
    FIELD("cluster-bits-max", PLAIN, QCOW2_H_CLUSTER_BITS, 4, ALL, REFUSED, "1", "cluster_bits"),
    FIELD("cluster-bits-other", PLAIN, QCOW2_H_CLUSTER_BITS, 4, 16, REFUSED, "1", "not aligned"),
    FIELD("size-1-eib-small-l1", PLAIN, QCOW2_H_SIZE, 8, EIB1, REFUSED, "1", "L1 table is too small"),
    FIELD("size-negative", PLAIN, QCOW2_H_SIZE, 8, UINT64_C(1) << 63, REFUSED, "1", "size"),
    FIELD("size-max", PLAIN, QCOW2_H_SIZE, 8, ALL, REFUSED, "1", "size"),
    FIELD("size-odd", PLAIN, QCOW2_H_SIZE, 8, (8 << 20) - 7, READS, "0", NULL),
    FIELD("size-0", PLAIN, QCOW2_H_SIZE, 8, 0, READS, "0", NULL),
    EXTRA("size-1-eib", LARGE, READS, "3", NULL, one_eib),
    EXTRA("l1-largest", PLAIN, READS, "2", NULL, largest_l1),
    EXTRA("l1-of-one-l2-table", PLAIN, READS, "2", NULL, same_l2),
    FIELD("crypt-aes", PLAIN, QCOW2_H_CRYPT_METHOD, 4, 1, LOCKED, "0", "encrypt|key"),
    FIELD("crypt-luks-without-header", PLAIN, QCOW2_H_CRYPT_METHOD, 4, 2, REFUSED, "1", "encrypt"),
    FIELD("crypt-3", PLAIN, QCOW2_H_CRYPT_METHOD, 4, 3, REFUSED, "1", "encrypt"),
    FIELD("crypt-max", PLAIN, QCOW2_H_CRYPT_METHOD, 4, ALL, REFUSED, "1", "encrypt"),
    FIELD("l1-entries-0", PLAIN, QCOW2_H_L1_ENTRIES, 4, 0, REFUSED, "1", "L1 table is too small"),
    FIELD("l1-entries-too-few", PLAIN, QCOW2_H_L1_ENTRIES, 4, 3, REFUSED, "1", "L1 table is too small"),
    FIELD("l1-entries-past-end", PLAIN, QCOW2_H_L1_ENTRIES, 4, 1 << 20, REFUSED, "1", "L1 table lies past the end"),
    FIELD("l1-entries-beyond-cap", PLAIN, QCOW2_H_L1_ENTRIES, 4, (4 << 20) + 1, REFUSED, "1", "L1 table has"),
    FIELD("l1-entries-max", PLAIN, QCOW2_H_L1_ENTRIES, 4, ALL, REFUSED, "1", "L1 table has"),
    FIELD("l1-offset-0", PLAIN, QCOW2_H_L1_OFFSET, 8, 0, REFUSED, "1", "L1 table is not aligned"),
    FIELD("l1-offset-unaligned", PLAIN, QCOW2_H_L1_OFFSET, 8, 4096 + 512, REFUSED, "1", "L1 table is not aligned"),
    FIELD("l1-offset-past-end", PLAIN, QCOW2_H_L1_OFFSET, 8, UINT64_C(1) << 40, REFUSED, "1", "L1 table lies past"),
    FIELD("l1-offset-overflows", PLAIN, QCOW2_H_L1_OFFSET, 8, ALL & ~UINT64_C(4095), REFUSED, "1",
          "L1 table lies past"),
    FIELD("reftable-offset-0", PLAIN, QCOW2_H_REFTABLE_OFFSET, 8, 0, REFUSED, "1", "refcount table is not aligned"),
    FIELD("reftable-offset-unaligned", PLAIN, QCOW2_H_REFTABLE_OFFSET, 8, 4097, REFUSED, "1", "refcount table is not"),
    FIELD("reftable-offset-past-end", PLAIN, QCOW2_H_REFTABLE_OFFSET, 8, UINT64_C(1) << 40, REFUSED, "1",
          "past the end"),
    FIELD("reftable-offset-overflows", PLAIN, QCOW2_H_REFTABLE_OFFSET, 8, ALL & ~UINT64_C(4095), REFUSED, "1",
          "past the"),
    FIELD("reftable-clusters-0", PLAIN, QCOW2_H_REFTABLE_CLUSTERS, 4, 0, REFUSED, "1", "no refcount table"),
    FIELD("reftable-clusters-past-end", PLAIN, QCOW2_H_REFTABLE_CLUSTERS, 4, 2048, REFUSED, "1", "past the end"),
    FIELD("reftable-clusters-max", PLAIN, QCOW2_H_REFTABLE_CLUSTERS, 4, ALL, REFUSED, "1", "refcount table has"),
    FIELD("snapshots-65537", PLAIN, QCOW2_H_SNAPSHOT_COUNT, 4, 65537, REFUSED, "1", "65537 snapshots"),
    FIELD("snapshots-max", PLAIN, QCOW2_H_SNAPSHOT_COUNT, 4, ALL, REFUSED, "1", "snapshots"),
    FIELD("snapshots-offset-0", PLAIN, QCOW2_H_SNAPSHOT_COUNT, 4, 1, REFUSED, "1", "snapshot table is not aligned"),
    FIELD("incompatible-bit-5", PLAIN, QCOW2_H_INCOMPATIBLE, 8, 32, REFUSED, "1", "bit 5"),
    FIELD("incompatible-bit-63", PLAIN, QCOW2_H_INCOMPATIBLE, 8, UINT64_C(1) << 63, REFUSED, "1", "bit 63"),
    FIELD("incompatible-all", PLAIN, QCOW2_H_INCOMPATIBLE, 8, ALL, REFUSED, "1", "bit 5"),
    EXTRA("incompatible-bit-ill-named", PLAIN, REFUSED, "1", "bit 40", name_unknown_bit),
    FIELD("compatible-all", PLAIN, QCOW2_H_COMPATIBLE, 8, ALL, READS, "0", NULL),
    FIELD("autoclear-all", PLAIN, QCOW2_H_AUTOCLEAR, 8, ALL, READS, "0", NULL),
    FIELD("marked-corrupt", PLAIN, QCOW2_H_INCOMPATIBLE, 8, QCOW2_INCOMPAT_CORRUPT, READS, "0", NULL),
    FIELD("marked-dirty", PLAIN, QCOW2_H_INCOMPATIBLE, 8, QCOW2_INCOMPAT_DIRTY, READS, "0", NULL),
    FIELD("extended-l2-small-clusters", PLAIN, QCOW2_H_INCOMPATIBLE, 8, QCOW2_INCOMPAT_EXTENDED_L2, REFUSED, "1",
          "16 KiB"),
    FIELD("refcount-order-7", PLAIN, QCOW2_H_REFCOUNT_ORDER, 4, 7, REFUSED, "1", "refcount_order is 7"),
    FIELD("refcount-order-32", PLAIN, QCOW2_H_REFCOUNT_ORDER, 4, 32, REFUSED, "1", "refcount_order is 32"),
    FIELD("refcount-order-max", PLAIN, QCOW2_H_REFCOUNT_ORDER, 4, ALL, REFUSED, "1", "refcount_order"),
    FIELD("refcount-order-other", PLAIN, QCOW2_H_REFCOUNT_ORDER, 4, 0, READS, "2", NULL),
    FIELD("header-length-0", PLAIN, QCOW2_H_HEADER_LENGTH, 4, 0, REFUSED, "1", "length 0"),
    FIELD("header-length-96", PLAIN, QCOW2_H_HEADER_LENGTH, 4, 96, REFUSED, "1", "length 96"),
    FIELD("header-length-odd", PLAIN, QCOW2_H_HEADER_LENGTH, 4, 109, REFUSED, "1", "length 109"),
    FIELD("header-length-past-cluster", PLAIN, QCOW2_H_HEADER_LENGTH, 4, 4104, REFUSED, "1", "length 4104"),
    FIELD("header-length-max", PLAIN, QCOW2_H_HEADER_LENGTH, 4, ALL, REFUSED, "1", "header's length"),
    FIELD("header-length-cluster", PLAIN, QCOW2_H_HEADER_LENGTH, 4, 4096, READS, "0", NULL),
    FIELD("compression-without-bit", PLAIN, QCOW2_H_COMPRESSION, 1, 1, REFUSED, "1", "compression type"),
    FIELD("compression-unknown", ZSTD, QCOW2_H_COMPRESSION, 1, 2, REFUSED, "1", "Compression type 2"),
    EXTRA("compression-bit-for-zlib", PLAIN, REFUSED, "1", "compression type", no_compression_type),
    EXTRA("raw-data-file-with-backing", PLAIN, REFUSED, "1", "contradicts", raw_with_backing),
    EXTRA("extension-past-header", PLAIN, REFUSED, "1", "0x12345678 is longer", extension_too_long),
    EXTRA("extension-of-4-gib", PLAIN, REFUSED, "1", "0x12345678 is longer", extension_of_4_gib),
    EXTRA("extensions-without-end", PLAIN, READS, "0", NULL, extensions_without_end),
    EXTRA("extensions-without-end-2-mib", LARGE, READS, "0", NULL, extensions_without_end),
    EXTRA("backing-format-too-long", PLAIN, REFUSED, "1", "backing format", backing_format_too_long),
    EXTRA("backing-format-zero-byte", PLAIN, REFUSED, "1", "backing format", backing_format_zero_byte),
    EXTRA("feature-table-odd", PLAIN, READS, "0", NULL, feature_table_odd),
    EXTRA("bitmaps-extension-short", PLAIN, REFUSED, "1", "bitmaps extension", bitmaps_too_short),
    EXTRA("crypto-extension-short", PLAIN, REFUSED, "1", "crypt", crypto_too_short),
    EXTRA("crypto-header-past-end", PLAIN, REFUSED, "1", "crypt", crypto_past_end),
    EXTRA("crypto-header-endless", PLAIN, REFUSED, "1", "crypt", crypto_endless),
    EXTRA("crypto-header-unaligned", PLAIN, REFUSED, "1", "crypt", crypto_unaligned),
    EXTRA("crypto-header-of-zeros", PLAIN, LOCKED, "0", "crypt|LUKS", crypto_of_zeros),
    EXTRA("crypto-header-without-method", PLAIN, REFUSED, "1", "contradicts", crypto_without_method),
    EXTRA("data-file-name-zero-byte", PLAIN, REFUSED, "1", "data file's name", data_file_zero_byte),
    EXTRA("data-file-name-too-long", PLAIN, REFUSED, "1", "data file's name", data_file_too_long),
    FIELD("data-file-without-name", PLAIN, QCOW2_H_INCOMPATIBLE, 8, QCOW2_INCOMPAT_DATA_FILE, REFUSED, "3",
          "data-file|data file"),
    {0},
};

/* The qcow2 format as it lies on disk (QEMU, docs/interop/qcow2): all numbers big-endian. */
#ifndef BG_QCOW2_LAYOUT_H
#define BG_QCOW2_LAYOUT_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define QCOW2_MAGIC 0x514649fbu

/* Offsets of the header's fields. */
enum {
  QCOW2_H_MAGIC = 0,
  QCOW2_H_VERSION = 4,
  QCOW2_H_BACKING_OFFSET = 8,
  QCOW2_H_BACKING_SIZE = 16,
  QCOW2_H_CLUSTER_BITS = 20,
  QCOW2_H_SIZE = 24,
  QCOW2_H_CRYPT_METHOD = 32,
  QCOW2_H_L1_ENTRIES = 36,
  QCOW2_H_L1_OFFSET = 40,
  QCOW2_H_REFTABLE_OFFSET = 48,
  QCOW2_H_REFTABLE_CLUSTERS = 56,
  QCOW2_H_SNAPSHOT_COUNT = 60,
  QCOW2_H_SNAPSHOTS_OFFSET = 64,
  QCOW2_V2_HEADER_SIZE = 72,
  QCOW2_H_INCOMPATIBLE = 72,
  QCOW2_H_COMPATIBLE = 80,
  QCOW2_H_AUTOCLEAR = 88,
  QCOW2_H_REFCOUNT_ORDER = 96,
  QCOW2_H_HEADER_LENGTH = 100,
  QCOW2_V3_HEADER_MIN = 104,
  QCOW2_H_COMPRESSION = 104,
  QCOW2_HEADER_SIZE = 112 /* all fields known here */
};

#define QCOW2_INCOMPAT_DIRTY       (UINT64_C(1) << 0)
#define QCOW2_INCOMPAT_CORRUPT     (UINT64_C(1) << 1)
#define QCOW2_INCOMPAT_DATA_FILE   (UINT64_C(1) << 2)
#define QCOW2_INCOMPAT_COMPRESSION (UINT64_C(1) << 3)
#define QCOW2_INCOMPAT_EXTENDED_L2 (UINT64_C(1) << 4)
#define QCOW2_COMPAT_LAZY          (UINT64_C(1) << 0)
#define QCOW2_AUTOCLEAR_BITMAPS    (UINT64_C(1) << 0)
#define QCOW2_AUTOCLEAR_DATA_RAW   (UINT64_C(1) << 1)

enum { QCOW2_CRYPT_NONE = 0, QCOW2_CRYPT_AES = 1, QCOW2_CRYPT_LUKS = 2 };
enum { QCOW2_CRYPT_SECTOR = 512 };

enum { QCOW2_COMPRESSION_ZLIB = 0, QCOW2_COMPRESSION_ZSTD = 1 };

/* Header extensions: type (4), length (4), data padded to 8. */
#define QCOW2_EXT_END            0u
#define QCOW2_EXT_BACKING_FORMAT 0xe2792acau
#define QCOW2_EXT_FEATURE_NAMES  0x6803f857u
#define QCOW2_EXT_BITMAPS        0x23852875u
#define QCOW2_EXT_CRYPTO         0x0537be77u
#define QCOW2_EXT_DATA_FILE      0x44415441u

/* A row of the feature name table: type (1), bit (1), name (46). */
enum { QCOW2_FEATURE_ROW = 48, QCOW2_FEATURE_NAME = 46 };
enum { QCOW2_FEATURE_INCOMPATIBLE = 0, QCOW2_FEATURE_COMPATIBLE = 1, QCOW2_FEATURE_AUTOCLEAR = 2 };

/* L1 and L2 entries. */
#define QCOW2_COPIED      (UINT64_C(1) << 63) /* the refcount is exactly one */
#define QCOW2_COMPRESSED  (UINT64_C(1) << 62)
#define QCOW2_ZERO        (UINT64_C(1) << 0)
#define QCOW2_OFFSET_MASK UINT64_C(0x00fffffffffffe00)

/* Bits that must be clear. */
#define QCOW2_L1_RESERVED       UINT64_C(0x7f000000000001ff)
#define QCOW2_L2_RESERVED       UINT64_C(0x3f000000000001fe) /* not of compressed entries */
#define QCOW2_REFTABLE_RESERVED UINT64_C(0x1ff)

/* Extended L2 entries: a second word with two bits for each subcluster, allocated (low half) and reads as zeros (high half). */
#define QCOW2_SUBCLUSTERS               32u
#define QCOW2_MIN_EXTENDED_CLUSTER_BITS 14

/* An entry of the directory of bitmaps: table's offset (8), its entries (4), flags (4), type (1), granularity (1), length of the name (2), of extra
 * data (4); then extra data and name, padded to 8. */
enum {
  QCOW2_BITMAP_TABLE = 0,
  QCOW2_BITMAP_ENTRIES = 8,
  QCOW2_BITMAP_FLAGS = 12,
  QCOW2_BITMAP_TYPE = 16,
  QCOW2_BITMAP_GRANULARITY = 17,
  QCOW2_BITMAP_NAME_SIZE = 18,
  QCOW2_BITMAP_EXTRA_SIZE = 20,
  QCOW2_BITMAP_SIZE = 24 /* of the fixed part */
};
#define QCOW2_BITMAP_IN_USE           (UINT32_C(1) << 0)
#define QCOW2_BITMAP_AUTO             (UINT32_C(1) << 1)
#define QCOW2_BITMAP_EXTRA_COMPATIBLE (UINT32_C(1) << 2)
#define QCOW2_BITMAP_FLAGS_KNOWN      UINT32_C(7)
#define QCOW2_BITMAP_DIRTY_TRACKING   1u

/* An entry of a bitmap's table: an offset, or none and whether all bits are set. */
#define QCOW2_BITMAP_ONES           UINT64_C(1)
#define QCOW2_BITMAP_TABLE_RESERVED UINT64_C(0xff000000000001fe)

/* Entries of the refcount table. */
#define QCOW2_REFTABLE_MASK (~UINT64_C(511))

/* Bounds that the format or good sense sets. */
#define QCOW2_MIN_CLUSTER_BITS   9
#define QCOW2_MAX_CLUSTER_BITS   21
#define QCOW2_MAX_L1_BYTES       (UINT64_C(32) << 20)
#define QCOW2_MAX_REFTABLE_BYTES (UINT64_C(8) << 20)
#define QCOW2_MAX_SNAPSHOTS      65536u
#define QCOW2_MAX_SNAPSHOT_BYTES (UINT64_C(64) << 20)
#define QCOW2_MAX_BACKING_NAME   1023u
#define QCOW2_MAX_BITMAPS        65535u
#define QCOW2_MAX_BITMAP_BYTES   (UINT64_C(64) << 20) /* of the directory, and of one bitmap's table */
#define QCOW2_MAX_BITMAP_NAME    1023u
#define QCOW2_MAX_CRYPTO_BYTES   (UINT64_C(16) << 20)
#define QCOW2_MAX_OFFSET         (UINT64_C(1) << 56) /* what an entry can name ends here */

static inline uint16_t qcow2_get16(const void *at)
{
  uint16_t value;
  memcpy(&value, at, sizeof value);
  return be16toh(value);
}

static inline uint32_t qcow2_get32(const void *at)
{
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return be32toh(value);
}

static inline uint64_t qcow2_get64(const void *at)
{
  uint64_t value;
  memcpy(&value, at, sizeof value);
  return be64toh(value);
}

static inline void qcow2_put16(void *at, uint16_t value)
{
  value = htobe16(value);
  memcpy(at, &value, sizeof value);
}

static inline void qcow2_put32(void *at, uint32_t value)
{
  value = htobe32(value);
  memcpy(at, &value, sizeof value);
}

static inline void qcow2_put64(void *at, uint64_t value)
{
  value = htobe64(value);
  memcpy(at, &value, sizeof value);
}

/* The largest refcount of that order: its width is 1 << order bits. */
static inline uint64_t qcow2_refcount_max(unsigned order)
{
  return order == 6 ? UINT64_MAX : (UINT64_C(1) << (1u << order)) - 1;
}

#endif

/* The header of a qcow2 image, read and checked. */
#ifndef BG_QCOW2_HEADER_H
#define BG_QCOW2_HEADER_H

#include "drivers/child.h"
#include "drivers/error.h"
#include "drivers/qcow2/layout.h"

#include <stddef.h>

typedef struct Qcow2Header {
  unsigned version;
  unsigned cluster_bits;
  uint64_t size; /* of the disk, bytes */
  uint64_t l1_offset;
  uint32_t l1_entries;
  uint64_t reftable_offset;
  uint32_t reftable_clusters;
  uint64_t snapshots_offset;
  uint32_t snapshot_count;
  uint64_t incompatible, compatible, autoclear;
  unsigned refcount_order;
  uint32_t header_length;
  unsigned compression;
  uint32_t crypt_method; /* QCOW2_CRYPT_… */
  uint32_t bitmap_count;
  uint32_t bitmaps_reserved;             /* must be zero */
  uint64_t bitmaps_offset, bitmaps_size; /* the directory of bitmaps; not checked */
  uint64_t bitmaps_at;                   /* of the extension's data, in the file; 0: there is none */
  uint64_t crypto_offset, crypto_size;   /* the encryption header: bytes, with LUKS only */
  char *backing_file;                    /* NULL: none */
  char *backing_format;                  /* NULL: not recorded */
  char *data_file;                       /* NULL: not recorded */
} Qcow2Header;

/* Reads the header with its extensions and checks every field that can be checked alone (SAFETY.md, "Hostile images"). On
 * error (EINVAL malformed, ENOTSUP a feature that is not supported, or the storage's errno) *header is untouched. Free with
 * qcow2_header_clear(). */
bool qcow2_header_read(BgChild *file, Qcow2Header *header, GError **error);
void qcow2_header_clear(Qcow2Header *header);

/* Writes the fields of fixed place over those on disk, in one write; extensions and the backing file's name stay as
 * they are. 0 or -errno. */
int qcow2_header_write(BgChild *file, const Qcow2Header *header);
/* The same into `bytes` (QCOW2_HEADER_SIZE of them); the number of bytes that the header has. */
size_t qcow2_header_format(const Qcow2Header *header, uint8_t *bytes);

/* log2 of the bytes of an L2 entry, and of the disk that one L2 table maps. */
static inline unsigned qcow2_entry_bits(uint64_t incompatible)
{
  return incompatible & QCOW2_INCOMPAT_EXTENDED_L2 ? 4 : 3;
}
static inline unsigned qcow2_table_bits(unsigned cluster_bits, uint64_t incompatible)
{
  return cluster_bits + cluster_bits - qcow2_entry_bits(incompatible);
}
/* Entries that the L1 table needs for a disk of `size` bytes. */
uint64_t qcow2_l1_entries_for(uint64_t size, unsigned table_bits);

/* ── extensions.c ── */

/* The extensions between the fixed fields and the backing file's name, in `area`. Sets backing_format, data_file and bitmap_count and, where `features` is
 * not NULL, points it at the feature name table inside `area`. */
bool qcow2_extensions_parse(const uint8_t *area, size_t length, Qcow2Header *header, const uint8_t **features,
                            size_t *features_length, GError **error);
/* What the bit is called, in the image's own table if that names it; made printable. Caller frees. */
char *qcow2_feature_name(const uint8_t *features, size_t length, unsigned type, unsigned bit);
/* A feature name table for new images into `bytes` (room for QCOW2_FEATURE_TABLE_SIZE). */
#define QCOW2_FEATURE_TABLE_SIZE ((size_t)8 * QCOW2_FEATURE_ROW)
void qcow2_feature_table(uint8_t *bytes);

/* A copy of text out of an image that is fit for a one-line message: what is not printable becomes '?'. */
char *qcow2_printable(const void *text, size_t length);

#endif

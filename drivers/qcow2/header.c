#include "drivers/qcow2/header.h"

#include <errno.h>
#include <inttypes.h>

void qcow2_header_clear(Qcow2Header *header)
{
  g_clear_pointer(&header->backing_file, g_free);
  g_clear_pointer(&header->backing_format, g_free);
  g_clear_pointer(&header->data_file, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Qcow2Header, qcow2_header_clear)

uint64_t qcow2_l1_entries_for(uint64_t size, unsigned table_bits)
{
  return (size >> table_bits) + ((size & ((UINT64_C(1) << table_bits) - 1)) != 0);
}

static void decode_fields(const uint8_t *bytes, Qcow2Header *header)
{
  header->version = qcow2_get32(bytes + QCOW2_H_VERSION);
  header->cluster_bits = qcow2_get32(bytes + QCOW2_H_CLUSTER_BITS);
  header->size = qcow2_get64(bytes + QCOW2_H_SIZE);
  header->crypt_method = qcow2_get32(bytes + QCOW2_H_CRYPT_METHOD);
  header->l1_entries = qcow2_get32(bytes + QCOW2_H_L1_ENTRIES);
  header->l1_offset = qcow2_get64(bytes + QCOW2_H_L1_OFFSET);
  header->reftable_offset = qcow2_get64(bytes + QCOW2_H_REFTABLE_OFFSET);
  header->reftable_clusters = qcow2_get32(bytes + QCOW2_H_REFTABLE_CLUSTERS);
  header->snapshot_count = qcow2_get32(bytes + QCOW2_H_SNAPSHOT_COUNT);
  header->snapshots_offset = qcow2_get64(bytes + QCOW2_H_SNAPSHOTS_OFFSET);
  header->refcount_order = 4;
  header->header_length = QCOW2_V2_HEADER_SIZE;
  if (header->version < 3)
    return;
  header->incompatible = qcow2_get64(bytes + QCOW2_H_INCOMPATIBLE);
  header->compatible = qcow2_get64(bytes + QCOW2_H_COMPATIBLE);
  header->autoclear = qcow2_get64(bytes + QCOW2_H_AUTOCLEAR);
  header->refcount_order = qcow2_get32(bytes + QCOW2_H_REFCOUNT_ORDER);
  header->header_length = qcow2_get32(bytes + QCOW2_H_HEADER_LENGTH);
  if (header->header_length > QCOW2_H_COMPRESSION)
    header->compression = bytes[QCOW2_H_COMPRESSION];
}

static bool check_shape(const uint8_t *bytes, const Qcow2Header *header, GError **error)
{
  if (qcow2_get32(bytes) != QCOW2_MAGIC) {
    bg_set_error(error, EINVAL, "Not a qcow2 image");
    return false;
  }
  if (header->version != 2 && header->version != 3) {
    bg_set_error(error, ENOTSUP, "qcow2 version %u is not supported", header->version);
    return false;
  }
  if (header->cluster_bits < QCOW2_MIN_CLUSTER_BITS || header->cluster_bits > QCOW2_MAX_CLUSTER_BITS) {
    bg_set_error(error, EINVAL, "cluster_bits is %u, outside %u to %u", header->cluster_bits, QCOW2_MIN_CLUSTER_BITS,
                 QCOW2_MAX_CLUSTER_BITS);
    return false;
  }
  if (header->version == 3 && (header->header_length < QCOW2_V3_HEADER_MIN ||
                               header->header_length > (1u << header->cluster_bits) || header->header_length % 8)) {
    bg_set_error(error, EINVAL, "The header's length %u is not valid", header->header_length);
    return false;
  }
  if (header->refcount_order > 6) {
    bg_set_error(error, EINVAL, "refcount_order is %u, more than 6", header->refcount_order);
    return false;
  }
  return true;
}

/* A table of `bytes` bytes at `offset`: aligned, within `cap`, and within what is there. */
static bool check_table(const char *what, uint64_t offset, uint64_t bytes, uint64_t cap, unsigned cluster_bits,
                        uint64_t file_end, GError **error)
{
  if (bytes > cap) {
    bg_set_error(error, EINVAL, "The %s has %" PRIu64 " bytes, more than %" PRIu64, what, bytes, cap);
    return false;
  }
  if (bytes && (offset == 0 || offset & ((UINT64_C(1) << cluster_bits) - 1))) {
    bg_set_error(error, EINVAL, "The %s is not aligned to a cluster (offset 0x%" PRIx64 ")", what, offset);
    return false;
  }
  if (bytes && (offset > file_end || bytes > file_end - offset)) {
    bg_set_error(error, EINVAL, "The %s lies past the end of the file (offset 0x%" PRIx64 ")", what, offset);
    return false;
  }
  return true;
}

static bool check_tables(const Qcow2Header *header, uint64_t file_size, GError **error)
{
  uint64_t cluster = UINT64_C(1) << header->cluster_bits;
  uint64_t file_end = (file_size + cluster - 1) & ~(cluster - 1);
  if (header->size > INT64_MAX) {
    bg_set_error(error, EINVAL, "The disk's size is out of range");
    return false;
  }
  if (header->reftable_clusters == 0) {
    bg_set_error(error, EINVAL, "The image has no refcount table");
    return false;
  }
  if (header->snapshot_count > QCOW2_MAX_SNAPSHOTS) {
    bg_set_error(error, EINVAL, "The image has %u snapshots, more than %u", header->snapshot_count,
                 QCOW2_MAX_SNAPSHOTS);
    return false;
  }
  if (!check_table("L1 table", header->l1_offset, (uint64_t)header->l1_entries * 8, QCOW2_MAX_L1_BYTES,
                   header->cluster_bits, file_end, error) ||
      !check_table("refcount table", header->reftable_offset,
                   (uint64_t)header->reftable_clusters << header->cluster_bits, QCOW2_MAX_REFTABLE_BYTES,
                   header->cluster_bits, file_end, error) ||
      !check_table("snapshot table", header->snapshots_offset, (uint64_t)header->snapshot_count * 40,
                   QCOW2_MAX_SNAPSHOT_BYTES, header->cluster_bits, file_end, error) ||
      !check_table("encryption header", header->crypto_offset, header->crypto_size, QCOW2_MAX_CRYPTO_BYTES,
                   header->cluster_bits, file_end, error))
    return false;
  unsigned table_bits = qcow2_table_bits(header->cluster_bits, header->incompatible);
  if (header->l1_entries < qcow2_l1_entries_for(header->size, table_bits)) {
    bg_set_error(error, EINVAL, "The L1 table is too small for the disk's size");
    return false;
  }
  return true;
}

static bool check_encryption(const Qcow2Header *header, GError **error)
{
  if (header->crypt_method > QCOW2_CRYPT_LUKS)
    bg_set_error(error, ENOTSUP, "The image is encrypted with an unknown method (%u)", header->crypt_method);
  else if ((header->crypt_method == QCOW2_CRYPT_LUKS) != !!header->crypto_size)
    bg_set_error(error, EINVAL, "The encryption method contradicts the header extension that tells of it");
  else
    return true;
  return false;
}

static bool check_features(const Qcow2Header *header, const uint8_t *features, size_t length, GError **error)
{
  uint64_t known = QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT | QCOW2_INCOMPAT_DATA_FILE |
                   QCOW2_INCOMPAT_COMPRESSION | QCOW2_INCOMPAT_EXTENDED_L2;
  for (unsigned bit = 0; bit < 64; bit++)
    if (header->incompatible & ~known & (UINT64_C(1) << bit)) {
      g_autofree char *name = qcow2_feature_name(features, length, QCOW2_FEATURE_INCOMPATIBLE, bit);
      bg_set_error(error, ENOTSUP, "The image uses the feature '%s' (incompatible bit %u), which is not supported",
                   name, bit);
      return false;
    }
  if (header->compression > QCOW2_COMPRESSION_ZSTD) {
    bg_set_error(error, ENOTSUP, "Compression type %u is not supported", header->compression);
    return false;
  }
  if ((header->compression != QCOW2_COMPRESSION_ZLIB) != !!(header->incompatible & QCOW2_INCOMPAT_COMPRESSION)) {
    bg_set_error(error, EINVAL, "The compression type contradicts the incompatible bit that tells of it");
    return false;
  }
  if (header->incompatible & QCOW2_INCOMPAT_EXTENDED_L2 && header->cluster_bits < QCOW2_MIN_EXTENDED_CLUSTER_BITS) {
    bg_set_error(error, EINVAL, "Extended L2 entries need clusters of at least 16 KiB");
    return false;
  }
  return true;
}

static bool read_backing_name(const uint8_t *head, size_t length, uint64_t offset, uint32_t size, Qcow2Header *header,
                              GError **error)
{
  if (offset == 0 || size == 0) {
    g_clear_pointer(&header->backing_format, g_free); /* that of nothing */
    return true;
  }
  if (size > QCOW2_MAX_BACKING_NAME || offset < header->header_length || offset > length || size > length - offset) {
    bg_set_error(error, EINVAL, "The backing file's name lies outside the first cluster or is longer than %u bytes",
                 QCOW2_MAX_BACKING_NAME);
    return false;
  }
  if (memchr(head + offset, 0, size)) {
    bg_set_error(error, EINVAL, "The backing file's name holds a zero byte");
    return false;
  }
  if (header->incompatible & QCOW2_INCOMPAT_DATA_FILE && header->autoclear & QCOW2_AUTOCLEAR_DATA_RAW) {
    bg_set_error(error, EINVAL, "The image names a backing file, which contradicts its raw data file");
    return false;
  }
  header->backing_file = g_strndup((const char *)head + offset, size);
  return true;
}

/* What follows the fixed fields in the first cluster. */
static bool read_rest(BgChild *file, const uint8_t *fixed, Qcow2Header *header, GError **error)
{
  size_t length = (size_t)1 << header->cluster_bits;
  g_autofree uint8_t *head = g_try_malloc(length);
  int r = head ? bg_child_pread(file, head, length, 0) : -ENOMEM;
  if (r < 0) {
    bg_set_error_errno(error, -r, "Cannot read the header");
    return false;
  }
  uint64_t backing_offset = qcow2_get64(fixed + QCOW2_H_BACKING_OFFSET);
  uint32_t backing_size = qcow2_get32(fixed + QCOW2_H_BACKING_SIZE);
  size_t end = backing_offset && backing_offset < length ? backing_offset : length;
  const uint8_t *features = NULL;
  size_t features_length = 0;
  if (end > header->header_length && !qcow2_extensions_parse(head + header->header_length, end - header->header_length,
                                                             header, &features, &features_length, error))
    return false;
  return check_features(header, features, features_length, error) && check_encryption(header, error) &&
         read_backing_name(head, length, backing_offset, backing_size, header, error);
}

bool qcow2_header_read(BgChild *file, Qcow2Header *header, GError **error)
{
  uint8_t fixed[QCOW2_HEADER_SIZE];
  int64_t file_size = file->ops->size(file);
  int r = file_size < 0 ? (int)file_size : bg_child_pread(file, fixed, sizeof fixed, 0);
  if (r < 0) {
    bg_set_error_errno(error, -r, "Cannot read the header");
    return false;
  }
  if (file_size < QCOW2_V2_HEADER_SIZE) {
    bg_set_error(error, EINVAL, "The file is too short for a qcow2 header");
    return false;
  }
  g_auto(Qcow2Header) parsed = {0};
  decode_fields(fixed, &parsed);
  if (!check_shape(fixed, &parsed, error) || !read_rest(file, fixed, &parsed, error) ||
      !check_tables(&parsed, (uint64_t)file_size, error))
    return false;
  *header = parsed;
  parsed = (Qcow2Header){0};
  return true;
}

size_t qcow2_header_format(const Qcow2Header *header, uint8_t *bytes)
{
  memset(bytes, 0, QCOW2_HEADER_SIZE);
  qcow2_put32(bytes + QCOW2_H_MAGIC, QCOW2_MAGIC);
  qcow2_put32(bytes + QCOW2_H_VERSION, header->version);
  qcow2_put32(bytes + QCOW2_H_CLUSTER_BITS, header->cluster_bits);
  qcow2_put64(bytes + QCOW2_H_SIZE, header->size);
  qcow2_put32(bytes + QCOW2_H_CRYPT_METHOD, header->crypt_method);
  qcow2_put32(bytes + QCOW2_H_L1_ENTRIES, header->l1_entries);
  qcow2_put64(bytes + QCOW2_H_L1_OFFSET, header->l1_offset);
  qcow2_put64(bytes + QCOW2_H_REFTABLE_OFFSET, header->reftable_offset);
  qcow2_put32(bytes + QCOW2_H_REFTABLE_CLUSTERS, header->reftable_clusters);
  qcow2_put32(bytes + QCOW2_H_SNAPSHOT_COUNT, header->snapshot_count);
  qcow2_put64(bytes + QCOW2_H_SNAPSHOTS_OFFSET, header->snapshots_offset);
  if (header->version < 3)
    return QCOW2_V2_HEADER_SIZE;
  qcow2_put64(bytes + QCOW2_H_INCOMPATIBLE, header->incompatible);
  qcow2_put64(bytes + QCOW2_H_COMPATIBLE, header->compatible);
  qcow2_put64(bytes + QCOW2_H_AUTOCLEAR, header->autoclear);
  qcow2_put32(bytes + QCOW2_H_REFCOUNT_ORDER, header->refcount_order);
  qcow2_put32(bytes + QCOW2_H_HEADER_LENGTH, header->header_length);
  bytes[QCOW2_H_COMPRESSION] = header->compression;
  return MIN(header->header_length, QCOW2_HEADER_SIZE);
}

int qcow2_header_write(BgChild *file, const Qcow2Header *header)
{
  /* What the image says of its backing file and the rest of a longer header are taken from the image. */
  uint8_t old[QCOW2_HEADER_SIZE], bytes[QCOW2_HEADER_SIZE];
  int r = bg_child_pread(file, old, sizeof old, 0);
  if (r < 0)
    return r;
  size_t length = qcow2_header_format(header, bytes);
  memcpy(bytes + QCOW2_H_BACKING_OFFSET, old + QCOW2_H_BACKING_OFFSET, 12);
  if (length > QCOW2_H_COMPRESSION + 1)
    memcpy(bytes + QCOW2_H_COMPRESSION + 1, old + QCOW2_H_COMPRESSION + 1, length - QCOW2_H_COMPRESSION - 1);
  return bg_child_pwrite(file, bytes, length, 0);
}

/* New images: header, refcount table, refcount blocks, L1 table, and with preallocation=metadata the L2 tables and the space
 * of the data, in this order and without gaps. */
#include "drivers/qcow2/alloc.h"

#include <errno.h>
#include <inttypes.h>

static const char *const compat_values[] = {"1.1", "0.10", "v3", "v2", NULL};
static const char *const compression_values[] = {"zlib", "zstd", NULL};
static const char *const encrypt_values[] = {"off", "luks", NULL};
static const char *const preallocation_values[] = {"off", "metadata", NULL};

#define FIELD(name) offsetof(Qcow2CreateOptions, name)

const BgOption qcow2_create_options[] = {
    {.name = "cluster_size",
     .type = BG_OPTION_SIZE,
     .offset = FIELD(cluster_size),
     .fallback = "64K",
     .min = 1u << QCOW2_MIN_CLUSTER_BITS,
     .max = 1u << QCOW2_MAX_CLUSTER_BITS,
     .help = "Unit of allocation, a power of two from 512 to 2M"},
    {.name = "refcount_bits",
     .type = BG_OPTION_UINT,
     .offset = FIELD(refcount_bits),
     .fallback = "16",
     .min = 1,
     .max = 64,
     .help = "Width of a reference count, a power of two from 1 to 64"},
    {.name = "compat",
     .type = BG_OPTION_ENUM,
     .offset = FIELD(compat),
     .values = compat_values,
     .help = "Version of the format: 1.1 (v3) or 0.10 (v2)"},
    {.name = "lazy_refcounts",
     .type = BG_OPTION_BOOL,
     .offset = FIELD(lazy_refcounts),
     .help = "Whether reference counts may be written late, behind a dirty mark"},
    {.name = "extended_l2",
     .type = BG_OPTION_BOOL,
     .offset = FIELD(extended_l2),
     .help = "Whether each cluster is allocated in 32 parts; needs clusters of at least 16K"},
    {.name = "compression_type",
     .type = BG_OPTION_ENUM,
     .offset = FIELD(compression_type),
     .values = compression_values,
     .help = "Method of compressed clusters"},
    {.name = "preallocation",
     .type = BG_OPTION_ENUM,
     .offset = FIELD(preallocation),
     .values = preallocation_values,
     .help = "What is allocated at once"},
    {.name = "encrypt.format",
     .type = BG_OPTION_ENUM,
     .offset = FIELD(encrypt_format),
     .values = encrypt_values,
     .help = "How the data is encrypted"},
    {.name = "encrypt.key-secret",
     .type = BG_OPTION_STRING,
     .offset = FIELD(key_secret),
     .help = "Name of the secret (--secret) that opens the image (default: the only one)"},
    {.name = "encrypt.cipher-alg",
     .type = BG_OPTION_STRING,
     .offset = FIELD(cipher_alg),
     .fallback = "aes-256",
     .help = "Cipher and bits of its key: aes-128, aes-256, serpent-256, twofish-256, cast5-128, …"},
    {.name = "encrypt.cipher-mode",
     .type = BG_OPTION_STRING,
     .offset = FIELD(cipher_mode),
     .fallback = "xts",
     .help = "Mode of the cipher: xts, cbc"},
    {.name = "encrypt.ivgen-alg",
     .type = BG_OPTION_STRING,
     .offset = FIELD(ivgen_alg),
     .fallback = "plain64",
     .help = "Initialization vectors: plain64, plain, essiv"},
    {.name = "encrypt.ivgen-hash-alg",
     .type = BG_OPTION_STRING,
     .offset = FIELD(ivgen_hash_alg),
     .fallback = "sha256",
     .help = "Hash for essiv"},
    {.name = "encrypt.hash-alg",
     .type = BG_OPTION_STRING,
     .offset = FIELD(hash_alg),
     .fallback = "sha256",
     .help = "Hash of the key derivation: sha1, sha224, sha256, sha384, sha512, ripemd160"},
    {.name = "encrypt.iter-time",
     .type = BG_OPTION_UINT,
     .offset = FIELD(iter_time),
     .fallback = "2000",
     .min = 1,
     .max = 10000,
     .help = "Milliseconds that one try of a passphrase shall take on this machine"},
    {.name = "data_file",
     .type = BG_OPTION_STRING,
     .offset = FIELD(data_file),
     .help = "File to be made for the data, which then is not in the image itself"},
    {.name = "data_file_raw",
     .type = BG_OPTION_BOOL,
     .offset = FIELD(data_file_raw),
     .help = "Whether the data file alone reads as the disk does, always"},
    {0},
};

/* In clusters, but for the header. */
typedef struct Layout {
  Qcow2Header header;
  uint64_t reftable, blocks, l1, crypto, l2, data; /* how many of each */
  uint64_t first_block, first_l1, first_crypto, first_l2, first_data, total;
} Layout;

static bool is_power_of_two(uint64_t value)
{
  return value && (value & (value - 1)) == 0;
}

static bool check_options(const BgCreate *create, GError **error)
{
  const Qcow2CreateOptions *options = create->options;
  bool v2 = options->compat % 2;
  if (!is_power_of_two(options->cluster_size))
    bg_set_error(error, EINVAL, "cluster_size must be a power of two");
  else if (!is_power_of_two(options->refcount_bits))
    bg_set_error(error, EINVAL, "refcount_bits must be a power of two");
  else if (v2 && options->refcount_bits != 16)
    bg_set_error(error, EINVAL, "refcount_bits other than 16 needs compat=1.1");
  else if (v2 && options->lazy_refcounts)
    bg_set_error(error, EINVAL, "lazy_refcounts needs compat=1.1");
  else if (v2 && options->compression_type != QCOW2_COMPRESSION_ZLIB)
    bg_set_error(error, EINVAL, "compression_type=zstd needs compat=1.1");
  else if (v2 && options->extended_l2)
    bg_set_error(error, EINVAL, "extended_l2 needs compat=1.1");
  else if (options->extended_l2 && options->cluster_size < 1u << QCOW2_MIN_EXTENDED_CLUSTER_BITS)
    bg_set_error(error, EINVAL, "extended_l2 needs a cluster_size of at least 16K");
  else if (v2 && options->data_file)
    bg_set_error(error, EINVAL, "data_file needs compat=1.1");
  else if (options->data_file_raw && !options->data_file)
    bg_set_error(error, EINVAL, "data_file_raw is of use with data_file only");
  else if (options->data_file_raw && options->encrypt_format)
    bg_set_error(error, EINVAL, "A disk that its data file alone shows cannot be encrypted");
  else if (options->data_file_raw && create->backing_file)
    bg_set_error(error, EINVAL, "A disk that its data file alone shows cannot have a backing file");
  else if (options->data_file && strlen(options->data_file) > QCOW2_MAX_BACKING_NAME)
    bg_set_error(error, EINVAL, "The data file's name is longer than %u bytes", QCOW2_MAX_BACKING_NAME);
  else if (create->backing_file && options->preallocation)
    bg_set_error(error, EINVAL, "preallocation hides the backing file: only one of them is possible");
  else if (create->backing_file && strlen(create->backing_file) > QCOW2_MAX_BACKING_NAME)
    bg_set_error(error, EINVAL, "The backing file's name is longer than %u bytes", QCOW2_MAX_BACKING_NAME);
  else if (create->backing_format && strlen(create->backing_format) > 15)
    bg_set_error(error, EINVAL, "The backing format's name is longer than 15 bytes");
  else if (create->size > INT64_MAX - 511)
    bg_set_error(error, EFBIG, "The disk's size is out of range");
  else
    return qcow2_create_crypto_check(create, error);
  return false;
}

static uint64_t divide_up(uint64_t value, uint64_t by)
{
  return value / by + (value % by != 0);
}

/* Refcount blocks and table count themselves, too: more of them may need more of them. */
static bool plan(const BgCreate *create, Layout *layout, GError **error)
{
  const Qcow2CreateOptions *options = create->options;
  Qcow2Header *header = &layout->header;
  header->version = options->compat % 2 ? 2 : 3;
  header->cluster_bits = g_bit_storage(options->cluster_size) - 1;
  header->refcount_order = g_bit_storage(options->refcount_bits) - 1;
  header->compression = options->compression_type;
  header->incompatible = header->compression ? QCOW2_INCOMPAT_COMPRESSION : 0;
  if (options->extended_l2)
    header->incompatible |= QCOW2_INCOMPAT_EXTENDED_L2;
  if (options->data_file)
    header->incompatible |= QCOW2_INCOMPAT_DATA_FILE;
  if (options->data_file_raw)
    header->autoclear |= QCOW2_AUTOCLEAR_DATA_RAW;
  header->compatible = options->lazy_refcounts ? QCOW2_COMPAT_LAZY : 0;
  header->header_length = header->version == 2 ? QCOW2_V2_HEADER_SIZE : QCOW2_HEADER_SIZE;
  header->size = (create->size + 511) & ~UINT64_C(511); /* as QEMU has it: its disks are whole sectors */
  uint64_t cluster = options->cluster_size, block_clusters = cluster * 8 / options->refcount_bits;
  uint64_t l1_entries =
      qcow2_l1_entries_for(header->size, qcow2_table_bits(header->cluster_bits, header->incompatible));
  if (l1_entries * 8 > QCOW2_MAX_L1_BYTES) {
    bg_set_error(error, EFBIG, "The disk is too large for clusters of %" PRIu64 " bytes", cluster);
    return false;
  }
  header->l1_entries = l1_entries;
  layout->l1 = divide_up(l1_entries * 8, cluster);
  layout->crypto = divide_up(header->crypto_size, cluster);
  if (options->preallocation || options->data_file_raw) { /* what reads as the data file does has all of it */
    layout->l2 = l1_entries;
    layout->data = divide_up(header->size, cluster);
  }
  for (uint64_t blocks = 0; blocks != layout->blocks || !blocks;) {
    blocks = layout->blocks;
    layout->reftable = MAX(divide_up(blocks * 8, cluster), 1);
    layout->total = 1 + layout->reftable + blocks + layout->l1 + layout->crypto + layout->l2 +
                    (options->data_file ? 0 : layout->data);
    layout->blocks = divide_up(layout->total, block_clusters);
  }
  if (layout->reftable * cluster > QCOW2_MAX_REFTABLE_BYTES) {
    bg_set_error(error, EFBIG, "The refcount table would have more than %" PRIu64 " bytes", QCOW2_MAX_REFTABLE_BYTES);
    return false;
  }
  layout->first_block = 1 + layout->reftable;
  layout->first_l1 = layout->first_block + layout->blocks;
  layout->first_crypto = layout->first_l1 + layout->l1;
  layout->first_l2 = layout->first_crypto + layout->crypto;
  layout->first_data = options->data_file ? 0 : layout->first_l2 + layout->l2;
  header->reftable_offset = cluster;
  header->reftable_clusters = layout->reftable;
  header->l1_offset = layout->l1 ? layout->first_l1 * cluster : 0;
  header->crypto_offset = layout->crypto ? layout->first_crypto * cluster : 0;
  return true;
}

/* A table to be written: `count` entries first, first + cluster, … | flags, in whole clusters of zeros from `at` on. */
typedef struct Table {
  uint64_t at, clusters, first, count, flags;
  bool extended; /* entries of 16 bytes, all subclusters allocated */
} Table;

static int write_table(BgChild *file, const Layout *layout, const Table *table)
{
  uint64_t cluster = UINT64_C(1) << layout->header.cluster_bits, size = table->extended ? 16 : 8;
  g_autofree uint8_t *bytes = g_malloc(cluster);
  for (uint64_t i = 0, entry = 0; i < table->clusters; i++) {
    memset(bytes, 0, cluster);
    for (uint64_t j = 0; j < cluster / size && entry < table->count; j++, entry++) {
      qcow2_put64(bytes + j * size, ((table->first + entry) << layout->header.cluster_bits) | table->flags);
      if (table->extended)
        qcow2_put64(bytes + j * size + 8, UINT32_MAX);
    }
    int r = bg_child_pwrite(file, bytes, cluster, (table->at + i) * cluster);
    if (r < 0)
      return r;
  }
  return 0;
}

static int write_blocks(BgChild *file, const Layout *layout)
{
  uint64_t cluster = UINT64_C(1) << layout->header.cluster_bits, left = layout->total;
  uint64_t block_clusters = cluster * 8 >> layout->header.refcount_order;
  g_autofree uint8_t *bytes = g_malloc(cluster);
  for (uint64_t i = 0; i < layout->blocks; i++) {
    uint64_t here = MIN(left, block_clusters);
    memset(bytes, 0, cluster);
    for (uint64_t j = 0; j < here; j++)
      qcow2_refcount_set(bytes, layout->header.refcount_order, j, 1);
    int r = bg_child_pwrite(file, bytes, cluster, (layout->first_block + i) * cluster);
    if (r < 0)
      return r;
    left -= here;
  }
  return 0;
}

/* Gives the space for data its size; it reads as zeros. */
static int make_data(const BgCreate *create, const Layout *layout)
{
  uint64_t cluster = UINT64_C(1) << layout->header.cluster_bits;
  BgChild *file = create->file;
  if (create->data_file)
    return create->data_file->ops->resize(create->data_file, layout->header.size);
  int64_t size = file->ops->size(file);
  int r = 0;
  if (!layout->data)
    return 0;
  if (size >= 0 && (uint64_t)size < layout->total * cluster)
    r = file->ops->resize(file, layout->total * cluster);
  return r < 0 ? r : file->ops->zero(file, layout->first_data * cluster, layout->data * cluster, BG_ZERO_MAY_UNMAP);
}

static int write_tables(BgChild *file, const Layout *layout)
{
  Table reftable = {1, layout->reftable, layout->first_block, layout->blocks, 0, false};
  Table l1 = {layout->first_l1, layout->l1, layout->first_l2, layout->l2, QCOW2_COPIED, false};
  Table l2 = {layout->first_l2, layout->l2, layout->first_data, layout->data, QCOW2_COPIED, false};
  l2.extended = layout->header.incompatible & QCOW2_INCOMPAT_EXTENDED_L2;
  int r = write_table(file, layout, &reftable);
  if (r == 0)
    r = write_blocks(file, layout);
  if (r == 0)
    r = write_table(file, layout, &l1);
  if (r == 0 && layout->l2)
    r = write_table(file, layout, &l2);
  return r;
}

static size_t put_extension(uint8_t *at, uint32_t type, const void *data, size_t length)
{
  qcow2_put32(at, type);
  qcow2_put32(at + 4, length);
  memcpy(at + 8, data, length);
  return 8 + ((length + 7) & ~(size_t)7);
}

/* The first cluster: fixed fields, extensions, the backing file's name. False where they do not fit. */
static bool format_head(const BgCreate *create, const Layout *layout, bool features, uint8_t *head)
{
  size_t cluster = (size_t)1 << layout->header.cluster_bits, at = layout->header.header_length;
  size_t format = create->backing_format ? strlen(create->backing_format) : 0;
  size_t name = create->backing_file ? strlen(create->backing_file) : 0;
  bool crypto = layout->header.crypto_size;
  const char *data_file = ((const Qcow2CreateOptions *)create->options)->data_file;
  size_t data = data_file ? strlen(data_file) : 0;
  size_t need = at + 8 + (crypto ? 8 + 16 : 0) + (format ? 8 + 16 : 0) + (data ? 8 + ((data + 7) & ~(size_t)7) : 0) +
                (features ? 8 + QCOW2_FEATURE_TABLE_SIZE : 0) + name;
  if (need > cluster)
    return false;
  uint8_t table[QCOW2_FEATURE_TABLE_SIZE], fixed[QCOW2_HEADER_SIZE];
  qcow2_feature_table(table);
  memcpy(head, fixed, qcow2_header_format(&layout->header, fixed));
  if (format)
    at += put_extension(head + at, QCOW2_EXT_BACKING_FORMAT, create->backing_format, format);
  if (crypto) {
    uint8_t place[16];
    qcow2_put64(place, layout->header.crypto_offset);
    qcow2_put64(place + 8, layout->header.crypto_size);
    at += put_extension(head + at, QCOW2_EXT_CRYPTO, place, sizeof place);
  }
  if (data)
    at += put_extension(head + at, QCOW2_EXT_DATA_FILE, data_file, data);
  if (features)
    at += put_extension(head + at, QCOW2_EXT_FEATURE_NAMES, table, sizeof table);
  at += 8; /* the end of the extensions is eight zeros */
  if (name) {
    memcpy(head + at, create->backing_file, name);
    qcow2_put64(head + QCOW2_H_BACKING_OFFSET, at);
    qcow2_put32(head + QCOW2_H_BACKING_SIZE, name);
  }
  return true;
}

/* The rest of the last cluster is zeros, as anybody who reads it may expect. */
static int write_crypto(BgChild *file, const Layout *layout, const uint8_t *area)
{
  uint64_t size = layout->crypto << layout->header.cluster_bits;
  g_autofree uint8_t *whole = g_malloc0(size);
  memcpy(whole, area, layout->header.crypto_size);
  return bg_child_pwrite(file, whole, size, layout->header.crypto_offset);
}

const char *qcow2_create_data_file(const void *options)
{
  return ((const Qcow2CreateOptions *)options)->data_file;
}

bool qcow2_create(const BgCreate *create, GError **error)
{
  Layout layout = {0};
  g_autofree uint8_t *crypto = NULL;
  const Qcow2CreateOptions *options = create->options;
  layout.header.crypt_method = options->encrypt_format ? QCOW2_CRYPT_LUKS : QCOW2_CRYPT_NONE;
  if (!check_options(create, error) ||
      (options->encrypt_format && !qcow2_create_crypto(create, &crypto, &layout.header.crypto_size, error)) ||
      !plan(create, &layout, error))
    return false;
  size_t cluster = (size_t)1 << layout.header.cluster_bits;
  g_autofree uint8_t *head = g_malloc0(cluster);
  if (!(layout.header.version > 2 && format_head(create, &layout, true, head)) &&
      !format_head(create, &layout, false, head)) {
    bg_set_error(error, EINVAL, "The name of another file does not fit into a cluster of %zu bytes", cluster);
    return false;
  }
  int r = write_tables(create->file, &layout);
  if (r == 0 && crypto)
    r = write_crypto(create->file, &layout, crypto);
  if (r == 0)
    r = make_data(create, &layout);
  if (r == 0 && create->data_file)
    r = create->data_file->ops->flush(create->data_file);
  if (r == 0) /* last, so that what is half made is no image */
    r = bg_child_pwrite(create->file, head, cluster, 0);
  if (r == 0)
    r = create->file->ops->flush(create->file);
  if (r < 0)
    bg_set_error_errno(error, -r, "Cannot write the new image");
  return r == 0;
}

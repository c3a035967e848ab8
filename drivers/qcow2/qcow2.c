/* The qcow2 driver: open, close, and the table of what the other files do. */
#include "drivers/qcow2/alloc.h"
#include "drivers/qcow2/check.h"

#include <errno.h>

static const char *const encrypt_formats[] = {"auto", "aes", "luks", NULL}; /* in the order of QCOW2_CRYPT_… */
static const char *const lazy_values[] = {"header", "on", "off", NULL};

static const char *const overlap_templates[] = {"default", "none", "constant", "cached", "all", NULL};
static const char *const overlap_values[] = {"template", "on", "off", NULL};

#define OVERLAP_OPTION(number, class, text)                                                                            \
  {                                                                                                                    \
    .name = "overlap-check." class, .type = BG_OPTION_ENUM, .offset = offsetof(Qcow2Options, overlap[number]),         \
    .values = overlap_values, .changeable = true, .help = "Whether data is kept off " text                             \
  }

static const BgOption options[] = {
    {.name = "lazy-refcounts",
     .type = BG_OPTION_ENUM,
     .offset = offsetof(Qcow2Options, lazy_refcounts),
     .values = lazy_values,
     .help = "Whether a writer marks the image as dirty, as one must that writes refcounts late; by default as the "
             "header says"},
    {.name = "discard-no-unref",
     .type = BG_OPTION_BOOL,
     .offset = offsetof(Qcow2Options, discard_no_unref),
     .changeable = true,
     .help = "Whether clusters that are discarded or zeroed keep their place in the file"},
    {.name = "pass-discard-request",
     .type = BG_OPTION_BOOL,
     .offset = offsetof(Qcow2Options, pass_discard_request),
     .fallback = "on",
     .changeable = true,
     .help = "Whether space that discards and zeroing free is discarded in the file, too, where the node's discard is "
             "unmap"},
    {.name = "pass-discard-snapshot",
     .type = BG_OPTION_BOOL,
     .offset = offsetof(Qcow2Options, pass_discard_snapshot),
     .fallback = "on",
     .changeable = true,
     .help = "Whether space that deleting, applying or taking a snapshot frees is discarded in the file, too"},
    {.name = "pass-discard-other",
     .type = BG_OPTION_BOOL,
     .offset = offsetof(Qcow2Options, pass_discard_other),
     .changeable = true,
     .help = "Whether space that is freed for any other reason is discarded in the file, too"},
    {.name = "overlap-check",
     .type = BG_OPTION_ENUM,
     .offset = offsetof(Qcow2Options, overlap_check),
     .values = overlap_templates,
     .changeable = true,
     .help = "Off which metadata data is kept: constant is the header and the tables of a fixed place, cached (the "
             "default) all but the L2 tables of snapshots"},
    {.name = "overlap-check.template",
     .type = BG_OPTION_ENUM,
     .offset = offsetof(Qcow2Options, overlap_template),
     .values = overlap_templates,
     .changeable = true,
     .help = "The same as overlap-check"},
    OVERLAP_OPTION(0, "main-header", "the header and the encryption header"),
    OVERLAP_OPTION(1, "active-l1", "the L1 table"),
    OVERLAP_OPTION(2, "active-l2", "the L2 tables"),
    OVERLAP_OPTION(3, "refcount-table", "the refcount table"),
    OVERLAP_OPTION(4, "refcount-block", "the refcount blocks"),
    OVERLAP_OPTION(5, "snapshot-table", "the snapshot table"),
    OVERLAP_OPTION(6, "inactive-l1", "the L1 tables of snapshots"),
    OVERLAP_OPTION(7, "inactive-l2", "the L2 tables of snapshots, which every first writer then looks for"),
    OVERLAP_OPTION(8, "bitmap-directory", "the directory of bitmaps and the bitmaps' tables"),
    {.name = "l2-cache-size",
     .type = BG_OPTION_SIZE,
     .offset = offsetof(Qcow2Options, l2_cache_size),
     .fallback = "32M",
     .max = UINT64_C(1) << 40,
     .changeable = true,
     .help = "Bound of the cache of L2 tables (at least four tables are kept)"},
    {.name = "refcount-cache-size",
     .type = BG_OPTION_SIZE,
     .offset = offsetof(Qcow2Options, refcount_cache_size),
     .fallback = "4M",
     .max = UINT64_C(1) << 40,
     .changeable = true,
     .help = "Bound of the cache of refcount blocks (at least four blocks are kept)"},
    {.name = "encrypt.format",
     .type = BG_OPTION_ENUM,
     .offset = offsetof(Qcow2Options, encrypt_format),
     .values = encrypt_formats,
     .help = "How the image must be encrypted"},
    {.name = "encrypt.key-secret",
     .type = BG_OPTION_STRING,
     .offset = offsetof(Qcow2Options, key_secret),
     .help = "Name of the secret (--secret) that opens an encrypted image"},
    {0},
};

static const BgChildSpec children[] = {
    {"file", "The image's bytes", true},
    {"data-file", "Where the data is, for an image whose header says that it is not in itself", false},
    {"backing", "The disk that reads where this one has nothing allocated", false},
    {0},
};

/* Also what is cut short or of a version that nobody knows: open says so, where raw would take such an image for a disk. */
static int qcow2_probe(const uint8_t *head, size_t length)
{
  return length >= 4 && qcow2_get32(head) == QCOW2_MAGIC ? 100 : 0;
}

static void qcow2_close(void *instance)
{
  Qcow2 *q = instance;
  qcow2_cache_destroy(&q->l2);
  qcow2_cache_destroy(&q->blocks);
  g_hash_table_unref(q->tables);
  g_clear_pointer(&q->inactive, g_hash_table_unref);
  g_hash_table_unref(q->quarantined);
  g_hash_table_unref(q->held);
  g_hash_table_unref(q->l1_dirty);
  g_hash_table_unref(q->reftable_dirty);
  g_array_unref(q->ranges);
  g_array_unref(q->freed);
  g_array_unref(q->freed_durable);
  g_array_unref(q->quarantine);
  qcow2_inflated_free(q->inflated);
  qcow2_crypto_free(q->crypto);
  qcow2_snapshots_clear(&q->snapshots);
  qcow2_bitmaps_clear(&q->bitmaps);
  qcow2_header_clear(&q->header);
  g_free(q->active.l1);
  g_free(q->reftable);
  g_free(q->damage);
  g_free(q->damage_reason);
  pthread_mutex_destroy(&q->write_back_lock);
  pthread_mutex_destroy(&q->header_lock);
  pthread_mutex_destroy(&q->damage_lock);
  pthread_mutex_destroy(&q->hold_lock);
  pthread_cond_destroy(&q->hold_end);
  pthread_rwlock_destroy(&q->lock);
  pthread_rwlock_destroy(&q->table_io);
  g_free(q);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qcow2, qcow2_close)

/* Readers that come without end must not keep a writer waiting. */
static void init_lock(pthread_rwlock_t *lock)
{
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
  pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
  pthread_rwlock_init(lock, &attributes);
  pthread_rwlockattr_destroy(&attributes);
}

static void set_features(Qcow2 *q)
{
  q->extended = q->header.incompatible & QCOW2_INCOMPAT_EXTENDED_L2;
  q->external = q->header.incompatible & QCOW2_INCOMPAT_DATA_FILE;
  q->raw = q->external && q->header.autoclear & QCOW2_AUTOCLEAR_DATA_RAW;
  q->l2_bits = q->cluster_bits - qcow2_entry_bits(q->header.incompatible);
  q->l2_entries = UINT64_C(1) << q->l2_bits;
  q->subclusters = q->extended ? QCOW2_SUBCLUSTERS : 1;
  q->sub_size = q->cluster_size / q->subclusters;
  q->sub_bits = g_bit_storage(q->sub_size) - 1;
}

/* An instance with what the header says; takes the header's strings. */
static Qcow2 *new_instance(BgHost *host, BgChild *file, const Qcow2Options *opts, Qcow2Header *header)
{
  Qcow2 *q = g_new0(Qcow2, 1);
  q->host = host;
  q->file = q->data = file;
  q->options = opts;
  q->header = *header;
  *header = (Qcow2Header){0};
  q->version = q->header.version;
  q->cluster_bits = q->header.cluster_bits;
  q->cluster_size = UINT64_C(1) << q->cluster_bits;
  set_features(q);
  q->refcount_order = q->header.refcount_order;
  q->block_clusters = q->cluster_size * 8 >> q->refcount_order;
  q->compression = q->header.compression;
  q->crypt_method = q->header.crypt_method;
  q->crypto_offset = q->header.crypto_offset;
  q->crypto_size = q->header.crypto_size;
  atomic_init(&q->size, q->header.size);
  atomic_init(&q->damaged, false);
  pthread_mutex_init(&q->write_back_lock, NULL);
  pthread_mutex_init(&q->header_lock, NULL);
  pthread_mutex_init(&q->damage_lock, NULL);
  pthread_mutex_init(&q->hold_lock, NULL);
  pthread_cond_init(&q->hold_end, NULL);
  init_lock(&q->lock);
  init_lock(&q->table_io);
  qcow2_cache_init(&q->l2, q->cluster_size, opts->l2_cache_size);
  qcow2_cache_init(&q->blocks, q->cluster_size, opts->refcount_cache_size);
  q->tables = g_hash_table_new(NULL, NULL);
  q->quarantined = g_hash_table_new(NULL, NULL);
  q->held = g_hash_table_new(NULL, NULL);
  q->l1_dirty = g_hash_table_new(NULL, NULL);
  q->reftable_dirty = g_hash_table_new(NULL, NULL);
  q->ranges = g_array_new(FALSE, FALSE, sizeof(Qcow2Range));
  q->freed = g_array_new(FALSE, FALSE, sizeof(Qcow2Freed));
  q->freed_durable = g_array_new(FALSE, FALSE, sizeof(Qcow2Freed));
  q->quarantine = g_array_new(FALSE, FALSE, sizeof(Qcow2Quarantined));
  q->inflated = qcow2_inflated_new();
  return q;
}

/* The children that the header tells of. An image whose data file reads as its disk has no place for a backing disk. */
static bool open_children(Qcow2 *q, GError **error)
{
  BgHost *host = q->host;
  BgChild *backing;
  /* METADATA, too, for nobody else may write there: what is in the file counts only as the image's tables say */
  if (q->external && !host->need_child(host, "data-file", BG_ROLE_DATA | BG_ROLE_METADATA, q->header.data_file, "raw",
                                       &q->data, error))
    return false;
  return q->raw || host->need_child(host, "backing", BG_ROLE_COW, q->header.backing_file, q->header.backing_format,
                                    &backing, error);
}

bool qcow2_check_version(const Qcow2Options *opts, unsigned version, GError **error)
{
  if (version >= 3 || (opts->lazy_refcounts != QCOW2_LAZY_ON && !opts->discard_no_unref))
    return true;
  bg_set_error(error, EINVAL, "%s needs an image of version 3 (compat=1.1), this one is of version 2",
               opts->discard_no_unref ? "discard-no-unref" : "lazy-refcounts");
  return false;
}

static void *qcow2_open(BgHost *host, const void *opts, const BgMode *mode, GError **error)
{
  (void)mode; /* read-only, as always at first */
  BgChild *file;
  Qcow2Header header = {0};
  if (!host->need_child(host, "file", BG_ROLE_DATA | BG_ROLE_METADATA | BG_ROLE_PRIMARY, NULL, NULL, &file, error) ||
      !qcow2_header_read(file, &header, error))
    return NULL;
  unsigned overlap;
  if (!qcow2_overlap_classes(opts, &overlap, error) || !qcow2_check_version(opts, header.version, error)) {
    qcow2_header_clear(&header);
    return NULL;
  }
  g_autoptr(Qcow2) q = new_instance(host, file, opts, &header);
  if (!qcow2_snapshots_read(file, &q->header, &q->snapshots, error) ||
      !qcow2_bitmaps_read(file, &q->header, &q->bitmaps, error) ||
      !qcow2_l1_read(file, q->header.l1_offset, q->header.l1_entries, &q->active.l1, error))
    return NULL;
  q->active.entries = q->header.l1_entries;
  q->l1_offset = q->header.l1_offset;
  q->snapshots_offset = q->header.snapshots_offset;
  return qcow2_crypto_open(q, error) && open_children(q, error) ? g_steal_pointer(&q) : NULL;
}

static int64_t qcow2_size(void *instance)
{
  Qcow2 *q = instance;
  return (int64_t)atomic_load(&q->size);
}

void qcow2_limits(void *instance, BgLimits *limits)
{
  Qcow2 *q = instance;
  *limits = (BgLimits){.request_alignment = 1, .granularity = q->sub_size, .special_granularity = q->cluster_size};
  if (q->crypto) { /* compressed clusters would not be encrypted */
    limits->request_alignment = QCOW2_CRYPT_SECTOR;
    limits->special_granularity = 0;
  }
}

const BgDriver bg_driver_qcow2 = {
    .name = "qcow2",
    .summary = "QEMU's copy-on-write format, versions 2 and 3",
    .kind = BG_KIND_FORMAT,
    .options = options,
    .options_size = sizeof(Qcow2Options),
    .children = children,
    .probe = qcow2_probe,
    .open = qcow2_open,
    .close = qcow2_close,
    .change_open = qcow2_change_open,
    .change_settle = qcow2_change_settle,
    .change_commit = qcow2_change_commit,
    .change_abort = qcow2_change_abort,
    .can_change = qcow2_can_change,
    .info = qcow2_info,
    .kept_bitmaps = qcow2_kept_bitmaps,
    .bitmap_keep = qcow2_bitmap_keep,
    .bitmap_touch = qcow2_bitmap_touch,
    .bitmap_forget = qcow2_bitmap_forget,
    .create_options = qcow2_create_options,
    .create_options_size = sizeof(Qcow2CreateOptions),
    .create = qcow2_create,
    .create_data_file = qcow2_create_data_file,
    .check = qcow2_check,
    .change_backing = qcow2_change_backing,
    .backing = qcow2_backing,
    .snapshots = qcow2_snapshots,
    .snapshot_create = qcow2_snapshot_create,
    .snapshot_apply = qcow2_snapshot_apply,
    .snapshot_delete = qcow2_snapshot_delete,
    .view = &qcow2_view,
    .view_open = qcow2_view_open,
    .limits = qcow2_limits,
    .size = qcow2_size,
    .map = qcow2_map,
    .preadv_special = qcow2_preadv_special,
    .pwritev_special = qcow2_pwritev_special,
    .reserve = qcow2_reserve,
    .commit = qcow2_commit,
    .abort = qcow2_abort,
    .decode = qcow2_decode,
    .encode = qcow2_encode,
    .zero = qcow2_zero,
    .discard = qcow2_discard,
    .write_back = qcow2_write_back,
    .resize = qcow2_resize,
};

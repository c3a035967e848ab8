#include "tests/graph/fake-drivers.h"

#include "drivers/iov.h"
#include "graph/blockdev.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#define CAPACITY (8u << 20)

/* ── journal ── */

static pthread_mutex_t journal_lock = PTHREAD_MUTEX_INITIALIZER;
static GString *journal;

static void G_GNUC_PRINTF(2, 3) note(const BgHost *host, const char *format, ...)
{
  va_list args;
  pthread_mutex_lock(&journal_lock);
  if (!journal)
    journal = g_string_new(NULL);
  if (journal->len)
    g_string_append_c(journal, ' ');
  g_string_append_printf(journal, "%s:", host->node_name);
  va_start(args, format);
  g_string_append_vprintf(journal, format, args);
  va_end(args);
  pthread_mutex_unlock(&journal_lock);
}

char *journal_take(void)
{
  pthread_mutex_lock(&journal_lock);
  char *text = journal ? g_string_free(journal, FALSE) : g_strdup("");
  journal = NULL;
  pthread_mutex_unlock(&journal_lock);
  return text;
}

/* ── changes, the same for all ── */

typedef struct Pending {
  BgMode mode;
  char direction; /* '+', '-' or '=' */
} Pending;

static Pending *pending_new(bool writable, const BgMode *mode)
{
  Pending *pending = g_new(Pending, 1);
  *pending = (Pending){*mode, mode->writable == writable ? '=' : mode->writable ? '+' : '-'};
  return pending;
}

/* ── mem ── */

static GHashTable *disks;

MemDisk *mem_disk(const char *name)
{
  if (!disks)
    disks = g_hash_table_new(g_str_hash, g_str_equal);
  MemDisk *disk = g_hash_table_lookup(disks, name);
  if (disk)
    return disk;
  disk = g_new0(MemDisk, 1);
  disk->name = g_strdup(name);
  disk->size = 1u << 20;
  disk->capacity = CAPACITY;
  disk->data = g_malloc0(CAPACITY);
  pthread_rwlock_init(&disk->lock, NULL);
  g_hash_table_insert(disks, disk->name, disk);
  return disk;
}

void fake_drivers_reset(void)
{
  GHashTableIter iter;
  gpointer value;
  g_free(journal_take());
  cow_fail_settle(NULL);
  cow_set_delay(0);
  if (!disks)
    return;
  g_hash_table_iter_init(&iter, disks);
  while (g_hash_table_iter_next(&iter, NULL, &value)) {
    MemDisk *disk = value;
    pthread_rwlock_destroy(&disk->lock);
    g_free(disk->name);
    g_free(disk->data);
    g_free(disk);
  }
  g_clear_pointer(&disks, g_hash_table_destroy);
}

typedef struct MemOptions {
  char *disk;
  uint64_t tag;
} MemOptions;

static const BgOption mem_options[] = {
    {"disk", BG_OPTION_STRING, offsetof(MemOptions, disk), .required = true, .help = "name of the disk"},
    {"tag", BG_OPTION_UINT, offsetof(MemOptions, tag), .changeable = true, .help = "a number without meaning"},
    {NULL}};

typedef struct Mem {
  BgHost *host;
  MemDisk *disk;
  BgMode mode;
} Mem;

static void *mem_open(BgHost *host, const void *options, const BgMode *mode, GError **error)
{
  MemDisk *disk = mem_disk(((const MemOptions *)options)->disk);
  if (disk->fail_read) {
    bg_set_error_errno(error, disk->fail_read, "cannot open '%s'", disk->name);
    return NULL;
  }
  Mem *mem = g_new0(Mem, 1);
  *mem = (Mem){host, disk, *mode};
  note(host, "open");
  return mem;
}

static void mem_close(void *instance)
{
  Mem *mem = instance;
  cr_assert(!mem->mode.writable, "closed while it is writable");
  note(mem->host, "close");
  g_free(mem);
}

static bool mem_can_change(void *instance, const BgMode *mode, GError **error)
{
  MemDisk *disk = ((Mem *)instance)->disk;
  int refused = disk->refuse_writable;
  if (mode->writable && refused)
    bg_set_error_errno(error, refused, "cannot write '%s'", disk->name);
  return !mode->writable || !refused;
}

static bool mem_change_open(void *instance, const BgMode *mode, const void *options, void **pending, GError **error)
{
  Mem *mem = instance;
  (void)options;
  if (!mem_can_change(instance, mode, error))
    return false;
  g_usleep(mem->disk->open_delay_us);
  Pending *made = pending_new(mem->mode.writable, mode);
  note(mem->host, "open%c", made->direction);
  *pending = made;
  return true;
}

static bool mem_change_settle(void *instance, void *pending, GError **error)
{
  Mem *mem = instance;
  int err = mem->disk->fail_settle;
  note(mem->host, "settle%c", ((Pending *)pending)->direction);
  if (!err) {
    mem->disk->writable = ((Pending *)pending)->mode.writable;
    return true;
  }
  bg_set_error_errno(error, err, "cannot settle '%s'", mem->disk->name);
  return false;
}

static void mem_change_commit(void *instance, void *pending)
{
  Mem *mem = instance;
  note(mem->host, "commit%c", ((Pending *)pending)->direction);
  mem->mode = ((Pending *)pending)->mode;
  g_free(pending);
}

static void mem_change_abort(void *instance, void *pending)
{
  Mem *mem = instance;
  note(mem->host, "abort%c", ((Pending *)pending)->direction);
  mem->disk->writable = mem->mode.writable;
  g_free(pending);
}

static const char *mem_filename(void *instance)
{
  return ((Mem *)instance)->disk->name;
}

static void mem_limits(void *instance, BgLimits *limits)
{
  MemDisk *disk = ((Mem *)instance)->disk;
  *limits = (BgLimits){MAX(disk->alignment, 1), 1, disk->grows};
}

static int64_t mem_size(void *instance)
{
  return (int64_t)((Mem *)instance)->disk->size;
}

static void check_alignment(const MemDisk *disk, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  if (disk->alignment > 1)
    cr_assert(offset % disk->alignment == 0 && bg_iov_is_aligned(iov, iovcnt, disk->alignment));
}

static int mem_preadv(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  MemDisk *disk = ((Mem *)instance)->disk;
  uint64_t length = bg_iov_length(iov, iovcnt);
  check_alignment(disk, iov, iovcnt, offset);
  if (disk->delay_us)
    g_usleep(disk->delay_us);
  if (disk->fail_read)
    return -disk->fail_read;
  bg_iov_zero(iov, iovcnt, 0, length);
  pthread_rwlock_rdlock(&disk->lock);
  if (offset < disk->size)
    bg_iov_from_buffer(iov, iovcnt, 0, disk->data + offset, MIN(length, disk->size - offset));
  pthread_rwlock_unlock(&disk->lock);
  return 0;
}

/* With the lock held. */
static void tell_watcher(MemDisk *disk, MemCall call)
{
  call.disk = disk;
  if (disk->watch)
    disk->watch(&call, disk->watch_data);
}

static int mem_pwritev(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  MemDisk *disk = ((Mem *)instance)->disk;
  uint64_t end = offset + bg_iov_length(iov, iovcnt);
  check_alignment(disk, iov, iovcnt, offset);
  if (disk->delay_us)
    g_usleep(disk->delay_us);
  if (disk->fail_write)
    return -disk->fail_write;
  if (!disk->writable)
    return -EBADF;
  if (end > disk->capacity)
    return -ENOSPC;
  pthread_rwlock_wrlock(&disk->lock);
  bg_iov_to_buffer(iov, iovcnt, 0, disk->data + offset, end - offset);
  if (end > disk->size)
    disk->size = end;
  tell_watcher(disk, (MemCall){MEM_WRITE, .offset = offset, .length = end - offset, .bytes = disk->data + offset});
  pthread_rwlock_unlock(&disk->lock);
  return 0;
}

static int mem_flush(void *instance)
{
  MemDisk *disk = ((Mem *)instance)->disk;
  int err = disk->fail_flush;
  if (err)
    return -err;
  disk->flushes++;
  pthread_rwlock_wrlock(&disk->lock);
  tell_watcher(disk, (MemCall){MEM_FLUSH});
  pthread_rwlock_unlock(&disk->lock);
  return 0;
}

static int mem_resize(void *instance, uint64_t size)
{
  MemDisk *disk = ((Mem *)instance)->disk;
  if (size > disk->capacity)
    return -ENOSPC;
  pthread_rwlock_wrlock(&disk->lock);
  if (size < disk->size)
    memset(disk->data + size, 0, disk->size - size);
  disk->size = size;
  tell_watcher(disk, (MemCall){MEM_RESIZE, .length = size});
  pthread_rwlock_unlock(&disk->lock);
  return 0;
}

static void mem_info(void *instance, BgInfo *info)
{
  info->add(info, "capacity", g_variant_new_uint64(((Mem *)instance)->disk->capacity));
}

const BgDriver bg_driver_mem = {
    .name = "mem",
    .summary = "memory, for tests",
    .kind = BG_KIND_PROTOCOL,
    .options = mem_options,
    .options_size = sizeof(MemOptions),
    .open = mem_open,
    .close = mem_close,
    .change_open = mem_change_open,
    .change_settle = mem_change_settle,
    .change_commit = mem_change_commit,
    .change_abort = mem_change_abort,
    .can_change = mem_can_change,
    .info = mem_info,
    .filename = mem_filename,
    .limits = mem_limits,
    .size = mem_size,
    .preadv = mem_preadv,
    .pwritev = mem_pwritev,
    .flush = mem_flush,
    .resize = mem_resize,
};

/* ── cow ── */

static char *settle_to_fail; /* under journal_lock */

void cow_fail_settle(const char *node)
{
  pthread_mutex_lock(&journal_lock);
  g_free(settle_to_fail);
  settle_to_fail = g_strdup(node);
  pthread_mutex_unlock(&journal_lock);
}

static bool settle_is_to_fail(const char *node)
{
  pthread_mutex_lock(&journal_lock);
  bool fail = g_strcmp0(settle_to_fail, node) == 0;
  pthread_mutex_unlock(&journal_lock);
  return fail;
}

static unsigned cow_delay;           /* atomic */
static _Atomic unsigned cow_special; /* special writes that were taken */

void cow_set_delay(unsigned delay_us)
{
  __atomic_store_n(&cow_delay, delay_us, __ATOMIC_SEQ_CST);
}

static const BgChildSpec cow_children[] = {
    {"file", "the storage", true}, {"backing", "what it stands on", false}, {NULL}};

typedef struct Cow {
  BgHost *host;
  BgChild *file;
  int64_t size; /* of the file when it was opened */
  BgMode mode;
  pthread_mutex_t lock;
  GHashTable *clusters; /* numbers + 1 of those allocated */
  bool coded;           /* see coded_open() */
} Cow;

static void *cow_open(BgHost *host, const void *options, const BgMode *mode, GError **error)
{
  (void)options;
  BgChild *file, *backing;
  if (!host->need_child(host, "file", BG_ROLE_PRIMARY | BG_ROLE_DATA | BG_ROLE_METADATA, NULL, NULL, &file, error) ||
      !host->need_child(host, "backing", BG_ROLE_COW, NULL, NULL, &backing, error))
    return NULL;
  Cow *cow = g_new0(Cow, 1);
  cow->host = host;
  cow->file = file;
  cow->size = file->ops->size(file);
  cow->mode = *mode;
  cow->clusters = g_hash_table_new(NULL, NULL);
  pthread_mutex_init(&cow->lock, NULL);
  note(host, "open");
  return cow;
}

static void cow_close(void *instance)
{
  Cow *cow = instance;
  cr_assert(!cow->mode.writable, "closed while it is writable");
  note(cow->host, "close");
  g_hash_table_unref(cow->clusters);
  pthread_mutex_destroy(&cow->lock);
  g_free(cow);
}

static bool cow_change_open(void *instance, const BgMode *mode, const void *options, void **pending, GError **error)
{
  Cow *cow = instance;
  (void)options, (void)error;
  Pending *made = pending_new(cow->mode.writable, mode);
  g_usleep(__atomic_load_n(&cow_delay, __ATOMIC_SEQ_CST));
  note(cow->host, "open%c", made->direction);
  *pending = made;
  return true;
}

/* Like a format with a dirty bit: what settles must reach the file. */
static bool cow_change_settle(void *instance, void *pending, GError **error)
{
  Cow *cow = instance;
  char direction = ((Pending *)pending)->direction;
  char mark;
  note(cow->host, "settle%c", direction);
  if (settle_is_to_fail(cow->host->node_name)) {
    bg_set_error(error, EIO, "cannot settle");
    return false;
  }
  if (direction == '=')
    return true;
  int result = bg_child_pread(cow->file, &mark, 1, 0);
  result = result ? result : bg_child_pwrite(cow->file, &mark, 1, 0);
  if (result)
    bg_set_error_errno(error, -result, "cannot mark the image");
  return result == 0;
}

static void cow_change_commit(void *instance, void *pending)
{
  Cow *cow = instance;
  note(cow->host, "commit%c", ((Pending *)pending)->direction);
  cow->mode = ((Pending *)pending)->mode;
  g_free(pending);
}

static void cow_change_abort(void *instance, void *pending)
{
  note(((Cow *)instance)->host, "abort%c", ((Pending *)pending)->direction);
  g_free(pending);
}

static void cow_limits(void *instance, BgLimits *limits)
{
  bool coded = ((Cow *)instance)->coded;
  *limits = (BgLimits){coded ? CODED_UNIT : 1, COW_CLUSTER, false, coded ? 0 : COW_SPECIAL};
}

static int64_t cow_size(void *instance)
{
  return ((Cow *)instance)->size;
}

static bool has_cluster(Cow *cow, uint64_t offset)
{
  pthread_mutex_lock(&cow->lock);
  bool has = g_hash_table_contains(cow->clusters, GSIZE_TO_POINTER(offset / COW_CLUSTER + 1));
  pthread_mutex_unlock(&cow->lock);
  return has;
}

static int cow_map(void *instance, uint64_t offset, uint64_t length, BgExtent *extent)
{
  Cow *cow = instance;
  uint64_t here = MIN(length, COW_CLUSTER - offset % COW_CLUSTER);
  if (has_cluster(cow, offset))
    *extent = (BgExtent){BG_EXTENT_DATA, BG_EXTENT_IN_PLACE, here, cow->file, offset};
  else
    *extent = (BgExtent){.kind = BG_EXTENT_BACKING, .length = here};
  if (cow->coded && extent->child)
    extent->flags |= BG_EXTENT_ENCODED;
  return 0;
}

/* Its special form is no other, but refuses granules that begin with '!'. */
static int cow_pwritev_special(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  Cow *cow = instance;
  uint64_t length = bg_iov_length(iov, iovcnt);
  cr_assert(offset % COW_SPECIAL == 0 && length == MIN(COW_SPECIAL, (uint64_t)cow->size - offset));
  char first;
  bg_iov_to_buffer(iov, iovcnt, 0, &first, 1);
  if (first == '!')
    return -ENOTSUP;
  int result = cow->file->ops->pwritev(cow->file, iov, iovcnt, offset);
  pthread_mutex_lock(&cow->lock);
  for (uint64_t at = offset; result == 0 && at < offset + length; at += COW_CLUSTER)
    g_hash_table_add(cow->clusters, GSIZE_TO_POINTER(at / COW_CLUSTER + 1));
  cow_special += result == 0;
  pthread_mutex_unlock(&cow->lock);
  return result;
}

unsigned cow_special_writes(void)
{
  return cow_special;
}

static int cow_reserve(void *instance, uint64_t offset, uint64_t length, BgReservation *reservation)
{
  (void)length;
  uint64_t start = offset - offset % COW_CLUSTER;
  *reservation =
      (BgReservation){.offset = start, .length = COW_CLUSTER, .child = ((Cow *)instance)->file, .child_offset = start};
  reservation->flags = ((Cow *)instance)->coded ? BG_EXTENT_ENCODED : 0;
  return 0;
}

static int cow_commit(void *instance, const BgReservation *reservation)
{
  Cow *cow = instance;
  pthread_mutex_lock(&cow->lock);
  g_hash_table_add(cow->clusters, GSIZE_TO_POINTER(reservation->offset / COW_CLUSTER + 1));
  pthread_mutex_unlock(&cow->lock);
  return 0;
}

static void cow_abort(void *instance, const BgReservation *reservation)
{
  (void)instance, (void)reservation;
}

/* What cow and coded do alike. */
#define COW_CALLS                                                                                                      \
  .kind = BG_KIND_FORMAT, .children = cow_children, .close = cow_close, .change_open = cow_change_open,                \
  .change_settle = cow_change_settle, .change_commit = cow_change_commit, .change_abort = cow_change_abort,            \
  .limits = cow_limits, .size = cow_size, .map = cow_map, .reserve = cow_reserve, .commit = cow_commit,                \
  .abort = cow_abort

const BgDriver bg_driver_cow = {
    .name = "cow",
    .summary = "copy on write, for tests",
    .open = cow_open,
    .pwritev_special = cow_pwritev_special,
    COW_CALLS,
};

/* ── coded: cow, whose storage holds each unit so that every byte depends on all before it in the unit, and on the place ── */

static void *coded_open(BgHost *host, const void *options, const BgMode *mode, GError **error)
{
  Cow *cow = cow_open(host, options, mode, error);
  if (cow)
    cow->coded = true;
  return cow;
}

static uint8_t first_mask(uint64_t node_offset, uint64_t child_offset)
{
  cr_assert(node_offset % CODED_UNIT == 0 && child_offset % CODED_UNIT == 0);
  return (uint8_t)(0x5a + node_offset / CODED_UNIT);
}

static int coded_encode(void *instance, void *buffer, size_t length, uint64_t node_offset, uint64_t child_offset)
{
  (void)instance;
  uint8_t *bytes = buffer, mask = 0;
  cr_assert(length % CODED_UNIT == 0);
  for (size_t i = 0; i < length; i++) {
    if (i % CODED_UNIT == 0)
      mask = first_mask(node_offset + i, child_offset + i);
    mask = bytes[i] = bytes[i] ^ mask;
  }
  return 0;
}

static int coded_decode(void *instance, void *buffer, size_t length, uint64_t node_offset, uint64_t child_offset)
{
  (void)instance;
  uint8_t *bytes = buffer, mask = 0;
  cr_assert(length % CODED_UNIT == 0);
  for (size_t i = 0; i < length; i++) {
    if (i % CODED_UNIT == 0)
      mask = first_mask(node_offset + i, child_offset + i);
    uint8_t coded = bytes[i];
    bytes[i] ^= mask;
    mask = coded;
  }
  return 0;
}

const BgDriver bg_driver_coded = {
    .name = "coded",
    .summary = "copy on write, encoded, for tests",
    .open = coded_open,
    .decode = coded_decode,
    .encode = coded_encode,
    COW_CALLS,
};

/* ── pass ── */

static const BgChildSpec pass_children[] = {{"file", "what is shown", true}, {NULL}};

static void *pass_open(BgHost *host, const void *options, const BgMode *mode, GError **error)
{
  (void)options, (void)mode;
  BgChild *file;
  if (!host->need_child(host, "file", BG_ROLE_FILTERED | BG_ROLE_PRIMARY, NULL, NULL, &file, error))
    return NULL;
  note(host, "open");
  return host;
}

static void pass_close(void *instance)
{
  note(instance, "close");
}

const BgDriver bg_driver_pass = {
    .name = "pass",
    .summary = "a filter that changes nothing, for tests",
    .kind = BG_KIND_FILTER,
    .children = pass_children,
    .open = pass_open,
    .close = pass_close,
};

/* ── building graphs ── */

BgNode *add_node(BgGraph *graph, const char *options)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(BgDict) dict = bg_blockdev_parse(options, &error);
  cr_assert_not_null(dict, "%s: %s", options, error ? error->message : "");
  BgNode *node = bg_graph_add(graph, dict, &error);
  cr_assert_not_null(node, "%s: %s", options, error ? error->message : "");
  return node;
}

BgNode *find_node(BgGraph *graph, const char *name)
{
  BgNode *found = bg_graph_find(graph, name);
  cr_assert_not_null(found, "%s", name);
  return found;
}

void add_chain(BgGraph *graph)
{
  add_node(graph, "node-name=base,driver=cow,auto-read-only=on,file.driver=mem,file.disk=b");
  add_node(graph, "node-name=disk,driver=cow,auto-read-only=on,file.driver=mem,file.disk=d,backing=base");
  g_free(journal_take());
}

GError *add_fails(BgGraph *graph, const char *options)
{
  GError *error = NULL;
  g_autoptr(BgDict) dict = bg_blockdev_parse(options, &error);
  cr_assert_not_null(dict);
  cr_assert_null(bg_graph_add(graph, dict, &error), "%s", options);
  cr_assert_not_null(error);
  return error;
}

void assert_holds(BgUser *user, const uint8_t *shadow, size_t size)
{
  g_autofree uint8_t *data = g_malloc(size + 10);
  struct iovec iov = {data, size + 10};
  cr_assert_eq(bg_user_preadv(user, &iov, 1, 0), (ssize_t)size);
  for (size_t i = 0; i < size; i++)
    cr_assert_eq(data[i], shadow[i], "at %zu: %u, not %u", i, data[i], shadow[i]);
}

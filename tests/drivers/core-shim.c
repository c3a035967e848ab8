#include "tests/drivers/core-shim-internal.h"

#include "drivers/iov.h"

#include <errno.h>
#include <string.h>

/* ── edges ── */

static ShimEdge *edge_of(BgChild *child)
{
  return (ShimEdge *)child;
}

static bool granted(ShimEdge *edge, BgPerm perm)
{
  return __atomic_load_n(&edge->granted, __ATOMIC_ACQUIRE) & perm;
}

static void grant(ShimEdge *edge, BgPerm perm)
{
  __atomic_store_n(&edge->granted, perm, __ATOMIC_RELEASE);
}

static int edge_preadv(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  BgChild *below = edge_of(child)->below;
  return below->ops->preadv(below, iov, iovcnt, offset);
}

/* -errno where the edge may not write up to `end`. */
static int check_write(ShimEdge *edge, uint64_t end)
{
  if (!granted(edge, BG_PERM_WRITE))
    return -EPERM;
  int64_t size = edge->below->ops->size(edge->below);
  if (size < 0)
    return (int)size;
  return end > (uint64_t)size && !granted(edge, BG_PERM_RESIZE) ? -ENOSPC : 0;
}

static int edge_pwritev(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  ShimEdge *edge = edge_of(child);
  int rc = check_write(edge, offset + bg_iov_length(iov, iovcnt));
  return rc < 0 ? rc : edge->below->ops->pwritev(edge->below, iov, iovcnt, offset);
}

static int edge_pwritev_special(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  ShimEdge *edge = edge_of(child);
  int rc = check_write(edge, offset + bg_iov_length(iov, iovcnt));
  return rc < 0 ? rc : edge->below->ops->pwritev_special(edge->below, iov, iovcnt, offset);
}

static int edge_zero(BgChild *child, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  ShimEdge *edge = edge_of(child);
  int rc = check_write(edge, offset + length);
  return rc < 0 ? rc : edge->below->ops->zero(edge->below, offset, length, flags);
}

static int edge_discard(BgChild *child, uint64_t offset, uint64_t length)
{
  ShimEdge *edge = edge_of(child);
  return granted(edge, BG_PERM_WRITE) ? edge->below->ops->discard(edge->below, offset, length) : -EPERM;
}

static int edge_flush(BgChild *child)
{
  BgChild *below = edge_of(child)->below;
  return below->ops->flush(below);
}

static int64_t edge_size(BgChild *child)
{
  BgChild *below = edge_of(child)->below;
  return below->ops->size(below);
}

static int edge_resize(BgChild *child, uint64_t size)
{
  ShimEdge *edge = edge_of(child);
  return granted(edge, BG_PERM_RESIZE) ? edge->below->ops->resize(edge->below, size) : -EPERM;
}

static void edge_limits(BgChild *child, BgLimits *limits)
{
  BgChild *below = edge_of(child)->below;
  below->ops->limits(below, limits);
}

static const BgChildOps edge_ops = {
    .preadv = edge_preadv,
    .pwritev = edge_pwritev,
    .pwritev_special = edge_pwritev_special,
    .zero = edge_zero,
    .discard = edge_discard,
    .flush = edge_flush,
    .size = edge_size,
    .resize = edge_resize,
    .limits = edge_limits,
};

/* ── the host ── */

static Shim *shim_of(BgHost *host)
{
  return (Shim *)host;
}

static bool need_child(BgHost *host, const char *name, BgRole role, const char *reference, const char *format,
                       BgChild **child, GError **error)
{
  (void)format;
  Shim *shim = shim_of(host);
  ShimEdge *edge = role & BG_ROLE_COW               ? &shim->backing
                   : strcmp(name, "file") == 0      ? &shim->file
                   : strcmp(name, "data-file") == 0 ? &shim->data
                                                    : NULL;
  if (role & BG_ROLE_COW) {
    g_free(shim->backing_reference);
    shim->backing_reference = g_strdup(reference);
  }
  if (!edge || !edge->below) {
    *child = NULL;
    if (role & BG_ROLE_COW)
      return true;
    bg_set_error(error, ENOENT, "there is no child '%s'", name);
    return false;
  }
  edge->child = (BgChild){&edge_ops, name, role};
  grant(edge, BG_PERM_CONSISTENT_READ);
  *child = &edge->child;
  return true;
}

static bool has_child(BgHost *host, const char *name)
{
  Shim *shim = shim_of(host);
  ShimEdge *edges[] = {&shim->file, &shim->data, &shim->backing};
  for (size_t i = 0; i < G_N_ELEMENTS(edges); i++)
    if (edges[i]->child.name && strcmp(edges[i]->child.name, name) == 0)
      return true;
  return false;
}

static void event(BgHost *host, BgEvent event, const char *message)
{
  (void)message;
  if (event == BG_EVENT_CORRUPT)
    __atomic_add_fetch(&shim_of(host)->corruptions, 1, __ATOMIC_RELAXED);
  else if (event == BG_EVENT_WARNING)
    __atomic_add_fetch(&shim_of(host)->warnings, 1, __ATOMIC_RELAXED);
}

static uint64_t host_epoch(BgHost *host)
{
  Shim *shim = shim_of(host);
  pthread_mutex_lock(&shim->lock);
  uint64_t epoch = shim->epoch++;
  pthread_mutex_unlock(&shim->lock);
  return epoch;
}

static bool host_epoch_passed(BgHost *host, uint64_t epoch)
{
  Shim *shim = shim_of(host);
  bool passed = true;
  pthread_mutex_lock(&shim->lock);
  for (guint i = 0; i < shim->ranges->len; i++)
    passed = passed && ((ShimRange *)shim->ranges->pdata[i])->epoch > epoch;
  pthread_mutex_unlock(&shim->lock);
  return passed;
}

static bool need_secret(BgHost *host, const char *id, const BgSecret **secret, GError **error)
{
  (void)id, (void)error;
  *secret = shim_of(host)->secret;
  return true;
}

/* ── options ── */

static bool parse(const BgOption *table, const char *const *options, void *out, GError **error)
{
  g_autoptr(BgDict) dict = bg_dict_new();
  for (; options && *options; options += 2)
    bg_dict_set(dict, options[0], options[1]);
  if (!bg_options_parse(table, dict, out, error))
    return false;
  const char *unknown = bg_dict_first_key(dict);
  if (!unknown)
    return true;
  bg_set_error(error, EINVAL, "the driver has no option '%s'", unknown);
  bg_options_clear(table, out);
  return false;
}

/* One byte more than none, since a driver without options must not read them. */
static void *typed_new(size_t size)
{
  return g_malloc0(MAX(size, (size_t)1));
}

static void typed_free(const BgOption *table, void *typed)
{
  bg_options_clear(table, typed);
  g_free(typed);
}

bool shim_create(const BgDriver *driver, const char *const *options, const BgCreate *create, GError **error)
{
  void *typed = typed_new(driver->create_options_size);
  if (!parse(driver->create_options, options, typed, error)) {
    g_free(typed);
    return false;
  }
  BgCreate with_options = *create;
  with_options.options = typed;
  bool made = driver->create(&with_options, error);
  typed_free(driver->create_options, typed);
  return made;
}

/* ── open, change, close ── */

static BgMode mode_for(bool writable, bool direct)
{
  return (BgMode){
      .writable = writable,
      .direct = direct,
      .perm = BG_PERM_CONSISTENT_READ | (writable ? BG_PERM_WRITE | BG_PERM_RESIZE : 0),
      .shared = writable ? BG_PERM_CONSISTENT_READ | BG_PERM_WRITE_UNCHANGED : BG_PERM_ALL,
  };
}

static void grant_for(Shim *shim, bool writable)
{
  BgPerm perm = BG_PERM_CONSISTENT_READ | (writable ? BG_PERM_WRITE | BG_PERM_RESIZE : 0);
  grant(&shim->file, perm);
  grant(&shim->data, perm);
}

static void shim_free(Shim *shim)
{
  typed_free(shim->driver->options, shim->options);
  pthread_mutex_destroy(&shim->lock);
  pthread_cond_destroy(&shim->changed);
  g_ptr_array_unref(shim->ranges);
  g_free(shim->backing_reference);
  bg_bitmaps_free(shim->host.bitmaps);
  g_free(shim);
}

Shim *shim_open(const ShimSetup *setup, GError **error)
{
  Shim *shim = g_new0(Shim, 1);
  shim->host =
      (BgHost){"node", need_child, has_child, event, host_epoch, host_epoch_passed, bg_bitmaps_new(), need_secret};
  shim->driver = setup->driver;
  shim->mode = mode_for(false, setup->direct);
  shim->file.below = setup->file;
  shim->data.below = setup->data;
  shim->backing.below = setup->backing;
  shim->special = setup->special;
  shim->secret = setup->secret;
  shim->options = typed_new(setup->driver->options_size);
  shim->ranges = g_ptr_array_new();
  pthread_mutex_init(&shim->lock, NULL);
  pthread_cond_init(&shim->changed, NULL);
  if (parse(setup->driver->options, setup->options, shim->options, error) &&
      (shim->instance = setup->driver->open(&shim->host, shim->options, &shim->mode, error)))
    return shim;
  shim_free(shim);
  return NULL;
}

static bool run_change(Shim *shim, const BgMode *mode, const void *options, GError **error)
{
  const BgDriver *driver = shim->driver;
  void *pending = NULL;
  if (!driver->change_open)
    return true;
  if (!driver->change_open(shim->instance, mode, options, &pending, error))
    return false;
  bool settled = driver->change_settle(shim->instance, pending, error);
  if (settled)
    driver->change_commit(shim->instance, pending);
  else
    driver->change_abort(shim->instance, pending);
  return settled;
}

bool shim_set_writable(Shim *shim, bool writable, GError **error)
{
  BgMode mode = mode_for(writable, shim->mode.direct);
  grant_for(shim, writable || shim->mode.writable);
  bool changed = run_change(shim, &mode, shim->options, error);
  if (changed)
    shim->mode = mode;
  grant_for(shim, shim->mode.writable);
  return changed;
}

bool shim_set_options(Shim *shim, const char *const *options, GError **error)
{
  const BgOption *table = shim->driver->options;
  void *typed = typed_new(shim->driver->options_size);
  if (!parse(table, options, typed, error)) {
    g_free(typed);
    return false;
  }
  bool changed =
      bg_options_check_change(table, shim->options, typed, error) && run_change(shim, &shim->mode, typed, error);
  typed_free(table, changed ? shim->options : typed);
  if (changed)
    shim->options = typed;
  return changed;
}

static void ignore_finding(BgCheckWatcher *watcher, const char *text)
{
  (void)watcher, (void)text;
}

static bool ignore_progress(BgCheckWatcher *watcher, uint64_t done, uint64_t total)
{
  (void)watcher, (void)done, (void)total;
  return true;
}

bool shim_check(Shim *shim, BgFix fix, BgCheckResult *result, GError **error)
{
  if (!shim->driver->check) {
    bg_set_error(error, ENOTSUP, "the driver has no check");
    return false;
  }
  BgCheckWatcher watcher = {ignore_finding, ignore_progress};
  grant_for(shim, fix != BG_FIX_NONE);
  bool checked = shim->driver->check(shim->instance, fix, &watcher, result, error);
  grant_for(shim, shim->mode.writable);
  return checked;
}

void shim_close(Shim *shim)
{
  if (!shim)
    return;
  if (shim->mode.writable)
    shim_set_writable(shim, false, NULL);
  shim->driver->close(shim->instance);
  shim_free(shim);
}

BgBitmaps *shim_bitmaps(Shim *shim)
{
  return shim->host.bitmaps;
}

bool shim_is_writable(const Shim *shim)
{
  return shim->mode.writable;
}

void shim_set_special(Shim *shim, bool special)
{
  shim->special = special;
}

void *shim_instance(Shim *shim)
{
  return shim->instance;
}

GPtrArray *shim_snapshots(Shim *shim)
{
  return shim->driver->snapshots ? shim->driver->snapshots(shim->instance, SIZE_MAX, NULL) : bg_snapshot_list_new();
}

const char *shim_backing_reference(Shim *shim)
{
  return shim->backing_reference;
}

unsigned shim_corruptions(Shim *shim)
{
  return __atomic_load_n(&shim->corruptions, __ATOMIC_RELAXED);
}

unsigned shim_warnings(Shim *shim)
{
  return __atomic_load_n(&shim->warnings, __ATOMIC_RELAXED);
}

/* ── ranges ── */

static bool is_free(Shim *shim, const ShimRange *range)
{
  for (guint i = 0; i < shim->ranges->len; i++) {
    const ShimRange *other = shim->ranges->pdata[i];
    if (other->start < range->end && range->start < other->end && (other->exclusive || range->exclusive))
      return false;
  }
  return true;
}

void shim_range_enter(Shim *shim, ShimRange *range, uint64_t start, uint64_t end, bool exclusive)
{
  *range = (ShimRange){start, end, exclusive, 0};
  pthread_mutex_lock(&shim->lock);
  while (!is_free(shim, range))
    pthread_cond_wait(&shim->changed, &shim->lock);
  range->epoch = shim->epoch;
  g_ptr_array_add(shim->ranges, range);
  pthread_mutex_unlock(&shim->lock);
}

void shim_range_leave(Shim *shim, ShimRange *range)
{
  pthread_mutex_lock(&shim->lock);
  g_ptr_array_remove_fast(shim->ranges, range);
  pthread_cond_broadcast(&shim->changed);
  pthread_mutex_unlock(&shim->lock);
}

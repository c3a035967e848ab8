#include "graph/check.h"

#include "graph/image.h"
#include "graph/user-child.h"

#include <errno.h>
#include <string.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgUser, bg_user_free)

/* ── the core, as small as a check needs it: the image stands on a user of its storage, its backing disk is not opened ── */

typedef struct Stand {
  BgHost host;
  BgUserChild file;
  BgChild elsewhere; /* data in another file, which a check has no business with */
  BgCheckWatcher *watcher;
} Stand;

static int no_vector(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  (void)child, (void)iov, (void)iovcnt, (void)offset;
  return -ENXIO;
}

static int no_zero(BgChild *child, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  (void)child, (void)offset, (void)length, (void)flags;
  return -ENXIO;
}

static int no_discard(BgChild *child, uint64_t offset, uint64_t length)
{
  (void)child, (void)offset, (void)length;
  return -ENXIO;
}

static int no_flush(BgChild *child)
{
  (void)child;
  return -ENXIO;
}

static int64_t no_size(BgChild *child)
{
  (void)child;
  return -ENXIO;
}

static int no_resize(BgChild *child, uint64_t size)
{
  (void)child, (void)size;
  return -ENXIO;
}

static void no_limits(BgChild *child, BgLimits *limits)
{
  (void)child;
  *limits = (BgLimits){.request_alignment = 1, .granularity = 1};
}

/* Not opened, so that whatever is mended can neither read nor change what it holds. */
static const BgChildOps elsewhere_ops = {
    .preadv = no_vector,
    .pwritev = no_vector,
    .zero = no_zero,
    .discard = no_discard,
    .flush = no_flush,
    .size = no_size,
    .resize = no_resize,
    .limits = no_limits,
};

static bool need_child(BgHost *host, const char *name, BgRole role, const char *reference, const char *format,
                       BgChild **child, GError **error)
{
  (void)reference;
  (void)format;
  Stand *stand = (Stand *)host;
  *child = NULL;
  if (strcmp(name, "file") == 0)
    *child = &stand->file.child;
  else if (role & BG_ROLE_DATA) {
    stand->elsewhere = (BgChild){&elsewhere_ops, name, role};
    *child = &stand->elsewhere;
  } else if (!(role & BG_ROLE_COW))
    bg_set_error(error, ENOTSUP, "Images with a child '%s' cannot be checked", name);
  return *child || role & BG_ROLE_COW;
}

static bool has_child(BgHost *host, const char *name)
{
  (void)host;
  return strcmp(name, "file") == 0;
}

static void event(BgHost *host, BgEvent event, const char *message)
{
  (void)event;
  Stand *stand = (Stand *)host;
  stand->watcher->finding(stand->watcher, message);
}

static uint64_t epoch(BgHost *host)
{
  (void)host;
  return 1;
}

/* There are no requests. */
static bool epoch_passed(BgHost *host, uint64_t epoch)
{
  (void)host;
  (void)epoch;
  return true;
}

static void stand_init(Stand *stand, BgUser *user, BgCheckWatcher *watcher)
{
  *stand = (Stand){.host = {"image", need_child, has_child, event, epoch, epoch_passed, bg_bitmaps_new()},
                   .watcher = watcher};
  bg_user_child_init(&stand->file, "file", BG_ROLE_PRIMARY | BG_ROLE_DATA | BG_ROLE_METADATA, user);
}

/* ── the check ── */

static bool run(const BgDriver *driver, Stand *stand, BgFix fix, BgCheckResult *result, GError **error)
{
  static const BgMode mode = {.shared = BG_PERM_ALL};
  g_autoptr(BgDict) none = bg_dict_new();
  g_autofree void *options = g_malloc0(MAX(driver->options_size, 1));
  if (!bg_options_parse(driver->options, none, options, error))
    return false;
  void *instance = driver->open(&stand->host, options, &mode, error);
  bool checked = instance && driver->check(instance, fix, stand->watcher, result, error);
  if (instance)
    driver->close(instance);
  bg_options_clear(driver->options, options);
  return checked;
}

static BgNode *open_storage(BgGraph *graph, const char *filename, BgFix fix, GError **error)
{
  g_autoptr(BgDict) options = bg_dict_new();
  bg_dict_set(options, "driver", "file");
  bg_dict_set(options, "filename", filename);
  bg_dict_set(options, fix == BG_FIX_NONE ? "read-only" : "auto-read-only", "on");
  return bg_graph_add(graph, options, error);
}

static bool check_storage(BgNode *storage, const char *format, BgFix fix, BgCheckWatcher *watcher,
                          BgCheckResult *result, const BgDriver **driver, GError **error)
{
  BgPerm perm = BG_PERM_CONSISTENT_READ | (fix == BG_FIX_NONE ? 0 : BG_PERM_WRITE | BG_PERM_RESIZE);
  g_autoptr(BgUser) user = bg_user_new(storage, "image check", perm, BG_USER_WRITE_SHARED, error);
  if (!user)
    return false;
  const BgDriver *found = bg_image_driver(user, format, error);
  if (!found)
    return false;
  if (driver)
    *driver = found;
  if (!found->check) {
    bg_set_error(error, ENOTSUP, "Images of the format %s cannot be checked", found->name);
    return false;
  }
  Stand stand;
  stand_init(&stand, user, watcher);
  bool checked = run(found, &stand, fix, result, error);
  bg_bitmaps_free(stand.host.bitmaps);
  return checked;
}

bool bg_check_image(const char *filename, const char *format, BgFix fix, BgCheckWatcher *watcher, BgCheckResult *result,
                    const BgDriver **driver, GError **error)
{
  static const BgPolicy nothing_by_itself;
  BgGraph *graph = bg_graph_new(&nothing_by_itself, NULL, NULL);
  BgNode *storage = open_storage(graph, filename, fix, error);
  bool checked = storage && check_storage(storage, format, fix, watcher, result, driver, error);
  return bg_graph_close(graph, checked ? error : NULL) && checked;
}

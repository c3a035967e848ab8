/* The format `raw`: the bytes of its child as they are, or a window on them. */
#include "drivers/driver.h"

#include <errno.h>

typedef struct RawOptions {
  uint64_t offset;
  uint64_t size; /* 0: to the child's end */
} RawOptions;

static const BgOption raw_options[] = {{"offset", BG_OPTION_SIZE, offsetof(RawOptions, offset), .changeable = true,
                                        .help = "where in the file the disk begins"},
                                       {"size", BG_OPTION_SIZE, offsetof(RawOptions, size), .changeable = true,
                                        .help = "size of the disk; 0: up to the end of the file"},
                                       {NULL}};

static const BgChildSpec raw_children[] = {{"file", "the storage", true}, {NULL}};

/* The part of the child that is shown. Never changed once published, so that data calls need no lock. */
typedef struct Window {
  uint64_t offset;
  uint64_t size; /* 0: to the child's end */
} Window;

typedef struct Raw {
  BgChild *file;
  bool filter;          /* the child was taken as FILTERED */
  const Window *window; /* atomic; in `windows` */
  GPtrArray *windows;   /* of all reopens: a data call may still look at an older one */
} Raw;

static const Window *current_window(const Raw *raw)
{
  return __atomic_load_n(&raw->window, __ATOMIC_ACQUIRE);
}

static bool is_whole(const RawOptions *options)
{
  return options->offset == 0 && options->size == 0;
}

static bool check_window(BgChild *file, const RawOptions *options, GError **error)
{
  int64_t end = file->ops->size(file);
  if (end < 0) {
    bg_set_error_errno(error, (int)-end, "cannot determine the size of the file");
    return false;
  }
  if (options->offset > (uint64_t)end) {
    bg_set_error(error, EINVAL,
                 "offset %" G_GUINT64_FORMAT " is past the end of the file, which has %" G_GINT64_FORMAT " bytes",
                 options->offset, end);
    return false;
  }
  if (options->size > (uint64_t)end - options->offset) {
    bg_set_error(error, EINVAL,
                 "size %" G_GUINT64_FORMAT " at offset %" G_GUINT64_FORMAT
                 " reaches past the end of the file, which has %" G_GINT64_FORMAT " bytes",
                 options->size, options->offset, end);
    return false;
  }
  return true;
}

static Window *window_new(const RawOptions *options)
{
  Window *window = g_new(Window, 1);
  *window = (Window){options->offset, options->size};
  return window;
}

static void publish(Raw *raw, Window *window)
{
  g_ptr_array_add(raw->windows, window);
  __atomic_store_n(&raw->window, window, __ATOMIC_RELEASE);
}

/* ── control calls ── */

static void *raw_open(BgHost *host, const void *options, const BgMode *mode, GError **error)
{
  (void)mode;
  bool filter = is_whole(options);
  BgRole role = (filter ? BG_ROLE_FILTERED : BG_ROLE_DATA) | BG_ROLE_PRIMARY;
  BgChild *file;
  if (!host->need_child(host, "file", role, NULL, NULL, &file, error) || !check_window(file, options, error))
    return NULL;
  Raw *raw = g_new0(Raw, 1);
  raw->file = file;
  raw->filter = filter;
  raw->windows = g_ptr_array_new_with_free_func(g_free);
  publish(raw, window_new(options));
  return raw;
}

static void raw_close(void *instance)
{
  Raw *raw = instance;
  g_ptr_array_unref(raw->windows);
  g_free(raw);
}

static bool raw_change_open(void *instance, const BgMode *mode, const void *options, void **pending, GError **error)
{
  (void)mode;
  Raw *raw = instance;
  const RawOptions *given = options;
  const Window *window = current_window(raw);
  *pending = NULL;
  if (given->offset == window->offset && given->size == window->size)
    return true;
  if (raw->filter) {
    bg_set_error(error, EINVAL, "Cannot change the option '%s' of a node that was opened to show the whole file",
                 given->offset ? "offset" : "size");
    return false;
  }
  if (!check_window(raw->file, given, error))
    return false;
  *pending = window_new(given);
  return true;
}

static bool raw_change_settle(void *instance, void *pending, GError **error)
{
  (void)instance, (void)pending, (void)error;
  return true;
}

static void raw_change_commit(void *instance, void *pending)
{
  if (pending)
    publish(instance, pending);
}

static void raw_change_abort(void *instance, void *pending)
{
  (void)instance;
  g_free(pending);
}

static bool raw_create(const BgCreate *create, GError **error)
{
  if (create->backing_file) {
    bg_set_error(error, ENOTSUP, "raw images have no backing file");
    return false;
  }
  int rc = create->file->ops->resize(create->file, create->size);
  if (rc < 0)
    bg_set_error_errno(error, -rc, "cannot give the image its size");
  return rc == 0;
}

/* ── data calls ── */

static void raw_limits(void *instance, BgLimits *limits)
{
  Raw *raw = instance;
  const Window *window = current_window(raw);
  BgLimits below;
  raw->file->ops->limits(raw->file, &below);
  /* Blocks of the child are blocks here only where the window begins with one; else the edge aligns. */
  bool aligned = window->offset % below.request_alignment == 0, granular = window->offset % below.granularity == 0;
  *limits = (BgLimits){aligned ? below.request_alignment : 1, granular ? below.granularity : 1,
                       below.grows && window->size == 0};
}

static int64_t raw_size(void *instance)
{
  Raw *raw = instance;
  const Window *window = current_window(raw);
  if (window->size > 0)
    return (int64_t)window->size;
  int64_t end = raw->file->ops->size(raw->file);
  if (end < 0)
    return end;
  return (uint64_t)end > window->offset ? end - (int64_t)window->offset : 0;
}

static int raw_map(void *instance, uint64_t offset, uint64_t length, BgExtent *extent)
{
  Raw *raw = instance;
  const Window *window = current_window(raw);
  if (offset > INT64_MAX - window->offset || length > INT64_MAX - window->offset - offset)
    return -EFBIG;
  *extent = (BgExtent){.kind = BG_EXTENT_DATA,
                       .flags = BG_EXTENT_IN_PLACE,
                       .length = length,
                       .child = raw->file,
                       .offset = window->offset + offset};
  return 0;
}

static int raw_resize(void *instance, uint64_t size)
{
  Raw *raw = instance;
  const Window *window = current_window(raw);
  if (window->size > 0 || size > INT64_MAX - window->offset)
    return -EFBIG;
  return raw->file->ops->resize(raw->file, window->offset + size);
}

const BgDriver bg_driver_raw = {
    .name = "raw",
    .summary = "the bytes of a file as they are",
    .kind = BG_KIND_FORMAT,
    .options = raw_options,
    .options_size = sizeof(RawOptions),
    .children = raw_children,
    .open = raw_open,
    .close = raw_close,
    .change_open = raw_change_open,
    .change_settle = raw_change_settle,
    .change_commit = raw_change_commit,
    .change_abort = raw_change_abort,
    .create = raw_create,
    .limits = raw_limits,
    .size = raw_size,
    .map = raw_map,
    .resize = raw_resize,
};

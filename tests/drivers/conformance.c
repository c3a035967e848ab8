#include "tests/drivers/conformance.h"

#include "drivers/iov.h"
#include "drivers/registry.h"
#include "tests/drivers/mem-child.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char *const null_size[] = {"size", "2098688", NULL};
static const char *const raw_tail[] = {"offset", "1000", NULL};
static const char *const raw_window[] = {"offset", "512", "size", "1048576", NULL};
static const char *const preallocated[] = {"preallocation", "falloc", NULL};
static const char *const small_clusters[] = {"cluster_size", "512", NULL};
static const char *const lazy[] = {"lazy_refcounts", "on", NULL};
static const char *const wide_refcounts[] = {"refcount_bits", "64", NULL};
static const char *const old_version[] = {"compat", "0.10", NULL};
static const char *const small_caches[] = {"l2-cache-size", "64K", "refcount-cache-size", "64K", NULL};

static const char *const zstd[] = {"compression_type", "zstd", "cluster_size", "16K", NULL};
static const char *const one_bit_refcounts[] = {"refcount_bits", "1", "cluster_size", "4K", NULL};
static const char *const extended[] = {"extended_l2", "on", NULL};

static const char *const kept[] = {"reconnect-delay", "60", NULL};

static const Variant special[] = {
    {"nbd", "kept", .open_options = kept},
    {"file", "direct", .direct = true},
    {"file", "preallocated", .create_options = preallocated},
    {"raw", "tail", .open_options = raw_tail},
    {"raw", "window", .open_options = raw_window},
    {"qcow2", "small clusters", .create_options = small_clusters},
    {"qcow2", "lazy refcounts", .create_options = lazy},
    {"qcow2", "wide refcounts", .create_options = wide_refcounts},
    {"qcow2", "version 2", .create_options = old_version},
    {"qcow2", "small caches", .open_options = small_caches},
    {"qcow2", "compressed", .compressed = true},
    {"qcow2", "compressed, small clusters", .create_options = small_clusters, .compressed = true},
    {"qcow2", "compressed, zstd", .create_options = zstd, .compressed = true},
    {"qcow2", "compressed, one bit refcounts", .create_options = one_bit_refcounts, .compressed = true},
    {"qcow2", "compressed, extended L2 entries", .create_options = extended, .compressed = true},
};

/* Whose storage is a server's. */
static bool needs_server(const BgDriver *driver)
{
  return driver->schemes;
}

static bool can_be_had(const BgDriver *driver)
{
  return driver && (!needs_server(driver) || nbd_server_installed());
}

GArray *conformance_variants(void)
{
  GArray *variants = g_array_new(FALSE, FALSE, sizeof(Variant));
  for (const BgDriver *const *driver = bg_drivers(); *driver; driver++) {
    Variant plain = {(*driver)->name};
    if (!can_be_had(*driver))
      continue;
    if (strcmp(plain.driver, "null-co") == 0)
      plain.open_options = null_size;
    g_array_append_val(variants, plain);
  }
  for (size_t i = 0; i < G_N_ELEMENTS(special); i++)
    if (can_be_had(bg_driver_find(special[i].driver)))
      g_array_append_val(variants, special[i]);
  return variants;
}

/* ── making and opening ── */

#define NAME(s) (s)->driver->name, (s)->variant->label ? (s)->variant->label : "plain"

/* `options` and, for storage on files, the name, in a list that the caller frees (but not the strings). */
static const char **with_filename(Subject *s, const char *const *options)
{
  GPtrArray *list = g_ptr_array_new();
  for (; options && *options; options++)
    g_ptr_array_add(list, (void *)*options);
  if (s->path) {
    g_ptr_array_add(list, (void *)"filename");
    g_ptr_array_add(list, s->path);
  }
  if (s->server) {
    g_ptr_array_add(list, (void *)"filename");
    g_ptr_array_add(list, s->server->uri);
  }
  g_ptr_array_add(list, NULL);
  return (const char **)g_ptr_array_free(list, FALSE);
}

static void create(Subject *s)
{
  if (!s->driver->create)
    return;
  g_autoptr(GError) error = NULL;
  g_autofree const char **options = with_filename(s, s->variant->create_options);
  BgCreate request = {.size = SUBJECT_SIZE, .file = s->file};
  cr_assert(shim_create(s->driver, options, &request, &error), "%s (%s): %s", NAME(s), error->message);
}

void subject_init(Subject *s, const Variant *variant)
{
  const BgDriver *driver = bg_driver_find(variant->driver);
  *s = (Subject){.variant = variant, .driver = driver, .forgets = strcmp(driver->name, "null-co") == 0};
  if (driver->kind != BG_KIND_PROTOCOL) {
    s->file = mem_child_new(driver->kind == BG_KIND_FILTER ? SUBJECT_SIZE : 0);
    if (driver->kind == BG_KIND_FILTER) /* a disk */
      mem_child_set_limits(s->file, &(BgLimits){1, 512, false, 4096});
  } else if (needs_server(driver)) {
    g_autofree char *memory = g_strdup_printf("memory %" G_GUINT64_FORMAT, SUBJECT_SIZE);
    s->server = g_new(NbdServer, 1);
    nbd_server_init(s->server, 0);
    nbd_server_start(s->server, memory);
  } else if (driver->create) {
    s->directory = g_dir_make_tmp("conformance-XXXXXX", NULL);
    s->path = g_build_filename(s->directory, "storage", NULL);
  }
  create(s);
  s->shadow = g_malloc0(SHADOW_MAX);
  g_autoptr(GError) error = NULL;
  cr_assert(subject_open(s, &error), "%s (%s): %s", NAME(s), error->message);
  int64_t size = shim_size(s->shim);
  cr_assert_gt(size, 0);
  s->size = (uint64_t)size;
  subject_close(s);
}

void subject_clear(Subject *s)
{
  subject_close(s);
  mem_child_free(s->file);
  g_free(s->shadow);
  if (s->server)
    nbd_server_clear(s->server);
  g_free(s->server);
  if (s->path) {
    cr_assert_eq(unlink(s->path), 0);
    cr_assert_eq(rmdir(s->directory), 0);
  }
  g_free(s->path);
  g_free(s->directory);
}

bool subject_open(Subject *s, GError **error)
{
  g_autofree const char **options = with_filename(s, s->variant->open_options);
  ShimSetup setup = {s->driver, options, s->file, NULL, s->variant->direct, s->variant->compressed};
  s->shim = shim_open(&setup, error);
  return s->shim;
}

void subject_close(Subject *s)
{
  g_clear_pointer(&s->shim, shim_close);
}

/* ── what is done to both ── */

/* Threads, which never grow the node, only read the size. */
static void note_size(Subject *s, uint64_t end)
{
  if (end > s->size)
    s->size = end;
}

int subject_write(Subject *s, uint64_t offset, uint64_t length, uint32_t seed)
{
  g_autofree uint8_t *data = g_malloc(length);
  for (uint64_t i = 0; i < length; i++)
    data[i] = (uint8_t)(seed = seed * 1664525 + 1013904223, seed >> 24);
  if (s->variant->compressed && seed % 8) /* now and then it does not get smaller */
    for (uint64_t i = 0; i < length; i++)
      data[i] = data[i - i % 32];
  int rc = shim_write(s->shim, data, length, offset);
  if (rc < 0)
    return rc;
  note_size(s, offset + length);
  if (!s->forgets)
    memcpy(s->shadow + offset, data, length);
  return 0;
}

int subject_zero(Subject *s, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  int rc = shim_zero(s->shim, offset, length, flags);
  if (rc < 0)
    return rc;
  note_size(s, offset + length);
  memset(s->shadow + offset, 0, length);
  return 0;
}

/* What discarded bytes read as is up to the driver, but it stays so. */
int subject_discard(Subject *s, uint64_t offset, uint64_t length)
{
  int rc = shim_discard(s->shim, offset, length);
  return rc < 0 ? rc : shim_read(s->shim, s->shadow + offset, length, offset);
}

int subject_resize(Subject *s, uint64_t size)
{
  int rc = shim_resize(s->shim, size);
  if (rc == -EFBIG || rc == -ENOTSUP) {
    cr_assert_eq((uint64_t)shim_size(s->shim), s->size, "%s (%s): refused, but the size changed", NAME(s));
    return 0;
  }
  if (rc < 0)
    return rc;
  if (size < s->size)
    memset(s->shadow + size, 0, s->size - size);
  s->size = size;
  return 0;
}

/* ── checks ── */

int subject_check(Subject *s, uint64_t offset, uint64_t length)
{
  g_autofree uint8_t *got = g_malloc(length);
  memset(got, '?', length);
  int rc = shim_read(s->shim, got, length, offset);
  bool same = rc < 0 || memcmp(got, s->shadow + offset, length) == 0;
  for (uint64_t i = 0; !same && i < length; i++)
    cr_assert_eq(got[i], s->shadow[offset + i], "%s (%s): byte %" G_GUINT64_FORMAT " is %d, not %d", NAME(s),
                 offset + i, got[i], s->shadow[offset + i]);
  return rc;
}

static void check_map(Subject *s)
{
  for (uint64_t offset = 0; offset < s->size;) {
    BgExtent extent;
    cr_assert_eq(shim_map(s->shim, offset, s->size - offset, &extent), 0, "%s (%s)", NAME(s));
    if (extent.kind == BG_EXTENT_ZERO || extent.kind == BG_EXTENT_BACKING)
      cr_assert(bg_buffer_is_zero(s->shadow + offset, extent.length), "%s (%s): no hole at %" G_GUINT64_FORMAT, NAME(s),
                offset);
    offset += extent.length;
  }
}

void subject_check_all(Subject *s)
{
  cr_assert_eq((uint64_t)shim_size(s->shim), s->size, "%s (%s): size %" G_GINT64_FORMAT, NAME(s), shim_size(s->shim));
  cr_assert_eq(subject_check(s, 0, MIN(s->size + 70000, SHADOW_MAX)), 0, "%s (%s): cannot be read", NAME(s));
  check_map(s);
  cr_assert_eq(shim_corruptions(s->shim), 0, "%s (%s): said to be corrupt", NAME(s));
}

#include "tests/compare/twin.h"

#include "tests/crash/random.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>

int twin_run(const Twin *twin, const char *const *arguments, const char *input, char **output, GError **error)
{
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new(
      G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_MERGE);
  g_subprocess_launcher_set_cwd(launcher, twin->folder);
  g_autoptr(GSubprocess) process = g_subprocess_launcher_spawnv(launcher, arguments, error);
  g_autofree char *said = NULL;
  if (!process || !g_subprocess_communicate_utf8(process, input, NULL, &said, NULL, error))
    return -1;
  if (output)
    *output = g_steal_pointer(&said);
  return g_subprocess_get_if_exited(process) ? g_subprocess_get_exit_status(process) : 255;
}

void twin_noise(uint8_t bytes[NOISE])
{
  uint64_t random = 7;
  for (size_t i = 0; i < NOISE; i++)
    bytes[i] = (uint8_t)random_below(&random, 256);
}

static bool write_noise(const Twin *twin, GError **error)
{
  uint8_t bytes[NOISE];
  g_autofree char *path = g_build_filename(twin->folder, "noise", NULL);
  twin_noise(bytes);
  return g_file_set_contents(path, (const char *)bytes, NOISE, error);
}

/* Bytes that differ from cluster to cluster and hold no zeros. */
static bool write_backing(const char *path, uint64_t size, GError **error)
{
  g_autofree char *bytes = g_malloc(size);
  for (uint64_t i = 0; i < size; i++)
    bytes[i] = (char)(1 + i / 512 % 251);
  return g_file_set_contents(path, bytes, (gssize)size, error);
}

static bool create_image(const Twin *twin, const char *path, const char *data, GError **error)
{
  g_autofree char *data_path = g_build_filename(twin->folder, data, NULL), *output = NULL;
  g_autofree char *options = config_options(twin->config, data_path);
  g_autofree char *size = g_strdup_printf("%" G_GUINT64_FORMAT, twin->config->size);
  const char *with[] = {"qemu-img", "create", "-q", "-f",    "qcow2", "-b", "base.raw",
                        "-F",       "raw",    "-o", options, path,    size, NULL};
  const char *without[] = {"qemu-img", "create", "-q", "-f", "qcow2", "-o", options, path, size, NULL};
  int status = twin_run(twin, twin->config->backing_size ? with : without, NULL, &output, error);
  if (status > 0)
    bg_set_error(error, EIO, "qemu-img create: %s", output);
  return status == 0;
}

/* Some compressed clusters to begin with, where there can be any. */
static bool add_compressed(const Twin *twin, const char *path, GError **error)
{
  g_autofree char *output = NULL;
  g_autoptr(GString) commands = g_string_new(NULL);
  for (uint64_t i = 0; i < 8; i++)
    g_string_append_printf(commands, "write -q -c -P %u %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n",
                           (unsigned)(200 + i), (i * 2 + 1) * twin->config->cluster, twin->config->cluster);
  const char *arguments[] = {"qemu-io", "-f", "qcow2", path, NULL};
  int status = twin->config->data_file ? 0 : twin_run(twin, arguments, commands->str, &output, error);
  if (status > 0)
    bg_set_error(error, EIO, "qemu-io: %s", output);
  return status == 0;
}

static bool make(Twin *twin, GError **error)
{
  g_autofree char *base = g_build_filename(twin->folder, "base.raw", NULL);
  twin->ours = g_build_filename(twin->folder, "ours.qcow2", NULL);
  twin->theirs = g_build_filename(twin->folder, "theirs.qcow2", NULL);
  return (twin->config->backing_size == 0 || write_backing(base, twin->config->backing_size, error)) &&
         write_noise(twin, error) && create_image(twin, twin->ours, "ours.data", error) &&
         create_image(twin, twin->theirs, "theirs.data", error) && add_compressed(twin, twin->ours, error) &&
         add_compressed(twin, twin->theirs, error);
}

Twin *twin_new(const Config *config, GError **error)
{
  g_autofree char *qemu = g_find_program_in_path("qemu-io");
  if (!qemu) {
    bg_set_error(error, ENOPKG, "qemu-io is not installed");
    return NULL;
  }
  g_autoptr(Twin) twin = g_new0(Twin, 1);
  twin->config = config;
  twin->folder = g_dir_make_tmp("compare-XXXXXX", error);
  return twin->folder && make(twin, error) ? g_steal_pointer(&twin) : NULL;
}

void twin_free(Twin *twin)
{
  if (!twin)
    return;
  GDir *dir = twin->folder ? g_dir_open(twin->folder, 0, NULL) : NULL;
  for (const char *name; dir && (name = g_dir_read_name(dir));) {
    g_autofree char *path = g_build_filename(twin->folder, name, NULL);
    g_unlink(path);
  }
  g_clear_pointer(&dir, g_dir_close);
  if (twin->folder)
    g_rmdir(twin->folder);
  g_free(twin->folder);
  g_free(twin->ours);
  g_free(twin->theirs);
  g_free(twin);
}

void map_add(GArray *map, const MapRange *range)
{
  MapRange *last = map->len ? &g_array_index(map, MapRange, map->len - 1) : NULL;
  if (last && last->kind == range->kind && last->depth == range->depth)
    last->length += range->length;
  else
    g_array_append_val(map, *range);
}

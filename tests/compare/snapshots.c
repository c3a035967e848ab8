/* The snapshots of both images, compared. */
#include "tests/compare/twin.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>

/* What a snapshot of the image holds, as QEMU reads it, into a raw file (the caller's name): of the size that the disk has now. */
static char *convert(const Twin *twin, const char *image, const char *name, GError **error)
{
  g_autofree char *output = NULL, *raw = g_strdup_printf("%s.%s.raw", image, name);
  g_autofree char *snapshot = g_strdup_printf("snapshot.name=%s", name);
  const char *arguments[] = {"qemu-img", "convert", "-f", "qcow2", "-l", snapshot, "-O", "raw", image, raw, NULL};
  int status = twin_run(twin, arguments, NULL, &output, error);
  if (status > 0)
    bg_set_error(error, EILSEQ, "qemu-img convert of the snapshot %s of %s: %.200s", name, image, output);
  return status == 0 ? g_steal_pointer(&raw) : NULL;
}

static bool same_files(const char *left, const char *right, uint64_t size, GError **error)
{
  g_autoptr(GMappedFile) a = g_mapped_file_new(left, FALSE, error);
  g_autoptr(GMappedFile) b = a ? g_mapped_file_new(right, FALSE, error) : NULL;
  if (!b)
    return false;
  size_t length = MIN(size, g_mapped_file_get_length(a));
  if (g_mapped_file_get_length(a) == g_mapped_file_get_length(b) &&
      (length == 0 || memcmp(g_mapped_file_get_contents(a), g_mapped_file_get_contents(b), length) == 0))
    return true;
  bg_set_error(error, EILSEQ, "it differs from QEMU's");
  return false;
}

static bool judge_one(const Twin *twin, const char *name, uint64_t size, GError **error)
{
  g_autofree char *ours = convert(twin, twin->ours, name, error);
  g_autofree char *theirs = ours ? convert(twin, twin->theirs, name, error) : NULL;
  bool good = theirs && same_files(ours, theirs, size, error) && ours_compare_snapshot(twin, name, size, ours, error);
  if (ours)
    g_unlink(ours);
  if (theirs)
    g_unlink(theirs);
  return good;
}

bool twin_judge_snapshots(const Twin *twin, const Op *ops, size_t count, GError **error)
{
  Disk disk = {.size = twin->config->size};
  for (size_t i = 0; i < count; i++)
    disk_step(&disk, &ops[i]);
  for (guint i = 0; i < disk.count; i++) {
    g_autofree char *name = op_snapshot_name(&(Op){.offset = disk.snapshots[i].number});
    if (!judge_one(twin, name, disk.snapshots[i].size, error)) {
      g_prefix_error(error, "snapshot %s: ", name);
      return false;
    }
  }
  return true;
}

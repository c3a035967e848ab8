/* qcow2 in the laboratory. */
#include "tests/crash/format.h"

#include "drivers/qcow2/layout.h"
#include "tests/crash/qcow2-bitmaps.h"
#include "tests/drivers/mem-child.h"
#include "tests/drivers/qcow2/references.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <sys/wait.h>

/* ── qemu-img ── */

static bool have_qemu(void)
{
  g_autofree char *found = g_find_program_in_path("qemu-img");
  return found;
}

/* Runs qemu-img on a file with the image's bytes; its exit status, or -1. *said is what it complained of. With `take_back` the image
 * gets the file's bytes afterwards. `name` (NULL: none) stands behind the file. */
static int run_qemu(BgChild *image, const char *verb, const char *option, const char *value, const char *name,
                    bool take_back, char **said, GError **error)
{
  g_autofree char *path = NULL;
  int fd = g_file_open_tmp("crash-XXXXXX.qcow2", &path, error), status = -1;
  if (fd < 0)
    return -1;
  close(fd);
  g_autofree char *output = NULL;
  char *bytes = NULL;
  size_t length = (size_t)image->ops->size(image);
  const char *arguments[] = {"qemu-img", verb, option, value, path, name, NULL};
  if (g_file_set_contents_full(path, (char *)mem_child_data(image), (gssize)length, G_FILE_SET_CONTENTS_NONE, 0600,
                               error) &&
      g_spawn_sync(NULL, (char **)arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, said, &status, error) &&
      take_back && g_file_get_contents(path, &bytes, &length, error)) {
    image->ops->resize(image, length);
    memcpy(mem_child_data(image), bytes, length);
    g_free(bytes);
  }
  g_unlink(path);
  return status != -1 && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool take_snapshot(const CrashFormat *format, BgChild *image, GError **error)
{
  (void)format;
  g_autofree char *said = NULL;
  if (!have_qemu()) {
    bg_set_error(error, ENOPKG, "qemu-img is not installed");
    return false;
  }
  if (run_qemu(image, "snapshot", "-c", "before", NULL, true, &said, error) == 0)
    return true;
  if (error && !*error)
    bg_set_error(error, EIO, "qemu-img snapshot fails: %.300s", said ? said : "");
  return false;
}

/* Two that record, and one that does not. */
static bool add_bitmaps(const CrashFormat *format, BgChild *image, GError **error)
{
  (void)format;
  static const char *const options[][2] = {{"--add", "-g512"}, {"--add", "-g4096"}, {"--add", "--disable"}};
  static const char *const names[] = {"fine", "middle", "off"};
  if (!have_qemu()) {
    bg_set_error(error, ENOPKG, "qemu-img is not installed");
    return false;
  }
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
    g_autofree char *said = NULL;
    if (run_qemu(image, "bitmap", options[i][0], options[i][1], names[i], true, &said, error) == 0)
      continue;
    if (error && !*error)
      bg_set_error(error, EIO, "qemu-img bitmap fails: %.300s", said ? said : "");
    return false;
  }
  return true;
}

static bool judge_by_qemu(const CrashFormat *format, BgChild *image, GError **error)
{
  (void)format;
  g_autofree char *said = NULL;
  if (!have_qemu())
    return true;
  int status = run_qemu(image, "check", "-f", "qcow2", NULL, false, &said, error);
  if (status == 0 || status == 3)
    return true;
  if (error && !*error)
    bg_set_error(error, EILSEQ, "qemu-img check ends with %d: %.300s", status, said ? said : "");
  return false;
}

/* ── our own judge ── */

static bool judge(const CrashFormat *format, BgChild *image, GError **error)
{
  const uint8_t *bytes = mem_child_data(image);
  ImageCheck check;
  references_check(bytes, (uint64_t)image->ops->size(image), &check);
  uint64_t marks = qcow2_get32(bytes + QCOW2_H_VERSION) > 2 ? qcow2_get64(bytes + QCOW2_H_INCOMPATIBLE) : 0;
  if (check.corruptions)
    bg_set_error(error, EILSEQ, "%u corruptions, first: %s", check.corruptions, check.first);
  else if (marks & QCOW2_INCOMPAT_CORRUPT)
    bg_set_error(error, EILSEQ, "the image is marked as corrupt");
  else if (marks & QCOW2_INCOMPAT_DIRTY && !format->dirty_mark)
    bg_set_error(error, EILSEQ, "the image is marked as dirty");
  else
    return true;
  return false;
}

/* ── configurations ── */

#define OPTIONS(...)                                                                                                   \
  (const char *const[])                                                                                                \
  {                                                                                                                    \
    __VA_ARGS__, NULL                                                                                                  \
  }
#define QCOW2 .driver = "qcow2", .judge = judge, .judge_foreign = judge_by_qemu
/* The smallest caches, so that tables come and go. */
#define SMALL_CACHES OPTIONS("l2-cache-size", "1", "refcount-cache-size", "1")
#define BACKING      "null-co://"
#define KiB          *UINT64_C(1024)
#define MiB          *UINT64_C(1048576)

const CrashFormat crash_qcow2[] = {
    {QCOW2, .name = "512", .create_options = OPTIONS("cluster_size", "512"), .open_options = SMALL_CACHES,
     .size = 1 MiB, .reach = 256 KiB, .step = 2 KiB, .operations = 150},
    {QCOW2, .name = "512-backing", .create_options = OPTIONS("cluster_size", "512"), .open_options = SMALL_CACHES,
     .size = 768 KiB, .reach = 192 KiB, .step = 1 KiB, .operations = 150, .backing = BACKING},
    {QCOW2, .name = "512-refcount64", .create_options = OPTIONS("cluster_size", "512", "refcount_bits", "64"),
     .open_options = SMALL_CACHES, .size = 1 MiB, .reach = 256 KiB, .step = 2 KiB, .operations = 150},
    {QCOW2, .name = "512-refcount1", .create_options = OPTIONS("cluster_size", "512", "refcount_bits", "1"),
     .open_options = SMALL_CACHES, .size = 1 MiB, .reach = 256 KiB, .step = 2 KiB, .operations = 150},
    {QCOW2, .name = "512-snapshot", .create_options = OPTIONS("cluster_size", "512"), .open_options = SMALL_CACHES,
     .size = 1 MiB, .reach = 256 KiB, .step = 2 KiB, .operations = 150, .prepare = take_snapshot, .snapshots = true},
    {QCOW2, .name = "512-bitmaps", .create_options = OPTIONS("cluster_size", "512"), .open_options = SMALL_CACHES,
     .size = 3 MiB, .reach = 128 KiB, .step = 1 KiB, .operations = 150, .prepare = add_bitmaps,
     .judge_changes = qcow2_bitmaps_cover},
    {QCOW2, .name = "4k-bitmaps-backing", .create_options = OPTIONS("cluster_size", "4K"), .size = 2 MiB,
     .reach = 1 MiB, .step = 8 KiB, .operations = 150, .backing = BACKING, .prepare = add_bitmaps, .snapshots = true,
     .judge_changes = qcow2_bitmaps_cover},
    {QCOW2, .name = "4k", .create_options = OPTIONS("cluster_size", "4K"), .size = 2 MiB, .reach = 1 MiB, .step = 8 KiB,
     .operations = 150},
    {QCOW2, .name = "4k-v2", .create_options = OPTIONS("cluster_size", "4K", "compat", "0.10"), .size = 2 MiB,
     .reach = 1 MiB, .step = 8 KiB, .operations = 150},
    {QCOW2, .name = "4k-v2-backing", .create_options = OPTIONS("cluster_size", "4K", "compat", "0.10"), .size = 2 MiB,
     .reach = 1 MiB, .step = 8 KiB, .operations = 150, .backing = BACKING},
    {QCOW2, .name = "4k-lazy", .create_options = OPTIONS("cluster_size", "4K", "lazy_refcounts", "on"), .size = 2 MiB,
     .reach = 1 MiB, .step = 8 KiB, .operations = 150, .dirty_mark = true},
    {QCOW2, .name = "4k-lazy-snapshot", .create_options = OPTIONS("cluster_size", "4K", "lazy_refcounts", "on"),
     .size = 2 MiB, .reach = 1 MiB, .step = 8 KiB, .operations = 150, .dirty_mark = true, .snapshots = true},
    {QCOW2, .name = "4k-snapshot-backing", .create_options = OPTIONS("cluster_size", "4K"), .size = 2 MiB,
     .reach = 1 MiB, .step = 8 KiB, .operations = 150, .backing = BACKING, .prepare = take_snapshot, .snapshots = true},
    {QCOW2, .name = "64k-backing", .create_options = OPTIONS("cluster_size", "64K"), .size = 4 MiB, .reach = 2 MiB,
     .step = 48 KiB, .operations = 120, .backing = BACKING},
    {QCOW2, .name = "16k-subclusters-backing", .create_options = OPTIONS("cluster_size", "16K", "extended_l2", "on"),
     .size = 2 MiB, .reach = 512 KiB, .step = 3 KiB, .operations = 150, .backing = BACKING},
    {QCOW2, .name = "16k-subclusters-snapshot", .create_options = OPTIONS("cluster_size", "16K", "extended_l2", "on"),
     .size = 2 MiB, .reach = 512 KiB, .step = 3 KiB, .operations = 150, .prepare = take_snapshot, .snapshots = true},
    {QCOW2, .name = "64k-refcount8", .create_options = OPTIONS("cluster_size", "64K", "refcount_bits", "8"),
     .size = 4 MiB, .reach = 2 MiB, .step = 48 KiB, .operations = 120},
    {QCOW2, .name = "2m", .create_options = OPTIONS("cluster_size", "2M"), .size = 6 MiB, .reach = 6 MiB,
     .step = 256 KiB, .operations = 60},
    {QCOW2, .name = "2m-snapshot", .create_options = OPTIONS("cluster_size", "2M"), .size = 6 MiB, .reach = 6 MiB,
     .step = 256 KiB, .operations = 60, .prepare = take_snapshot, .snapshots = true},
    {QCOW2, .name = "512-compressed", .create_options = OPTIONS("cluster_size", "512"), .open_options = SMALL_CACHES,
     .size = 1 MiB, .reach = 256 KiB, .step = 2 KiB, .operations = 150, .special = true},
    {QCOW2, .name = "4k-compressed-snapshot", .create_options = OPTIONS("cluster_size", "4K"), .size = 2 MiB,
     .reach = 1 MiB, .step = 8 KiB, .operations = 150, .prepare = take_snapshot, .snapshots = true, .special = true},
    {QCOW2, .name = "16k-compressed-zstd-backing",
     .create_options = OPTIONS("cluster_size", "16K", "compression_type", "zstd"), .size = 2 MiB, .reach = 1 MiB,
     .step = 12 KiB, .operations = 150, .backing = BACKING, .special = true},
    {QCOW2, .name = "16k-compressed-subclusters", .create_options = OPTIONS("cluster_size", "16K", "extended_l2", "on"),
     .size = 2 MiB, .reach = 512 KiB, .step = 3 KiB, .operations = 150, .special = true},
    {0},
};

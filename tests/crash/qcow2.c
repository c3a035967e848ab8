/* qcow2 in the laboratory. */
#include "tests/crash/qcow2-bitmaps.h"
#include "tests/crash/qcow2-damages.h"
#include "tests/crash/qemu-img.h"

#include "drivers/qcow2/layout.h"
#include "tests/drivers/mem-child.h"
#include "tests/drivers/qcow2/references.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* ── qemu-img ── */

/* Has qemu-img change the image; `before` and `name` (NULL: nothing) stand before and behind the image's name. */
static bool change_by_qemu(CrashFiles *files, const char *verb, const char *const before[3], const char *name,
                           GError **error)
{
  g_auto(QemuImg) qemu = {0};
  g_autofree char *said = NULL;
  if (!qemu_img_begin(&qemu, files, error))
    return false;
  const char *arguments[] = {before[0], before[1], before[2], qemu.node, name, NULL};
  int status = qemu_img_run(verb, arguments, NULL, &said, error);
  if (status > 0)
    bg_set_error(error, EIO, "qemu-img %s fails: %.300s", verb, said ? said : "");
  return status == 0 && qemu_img_take_back(&qemu, files, error);
}

static bool take_snapshot(const CrashFormat *format, CrashFiles *files, GError **error)
{
  (void)format;
  static const char *const options[] = {"-q", "-c", "before"};
  return change_by_qemu(files, "snapshot", options, NULL, error);
}

/* Two that record, and one that does not. */
static bool add_bitmaps(const CrashFormat *format, CrashFiles *files, GError **error)
{
  (void)format;
  static const char *const options[][3] = {
      {"--add", "-g", "512"}, {"--add", "-g", "4096"}, {"--add", "--disable", "-g64K"}};
  static const char *const names[] = {"fine", "middle", "off"};
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
    if (!change_by_qemu(files, "bitmap", options[i], names[i], error))
      return false;
  return true;
}

/* The number behind "key": in what qemu-img printed; 0 where it is missing. */
static uint64_t number_of(const char *printed, const char *key)
{
  g_autofree char *quoted = g_strdup_printf("\"%s\": ", key);
  const char *at = printed ? strstr(printed, quoted) : NULL;
  return at ? g_ascii_strtoull(at + strlen(quoted), NULL, 10) : 0;
}

static bool check_by_qemu(const QemuImg *qemu, CrashCount *count, GError **error)
{
  const char *arguments[] = {"--output=json", qemu->node, NULL};
  g_autofree char *printed = NULL, *said = NULL;
  int status = qemu_img_run("check", arguments, &printed, &said, error);
  if (status < 0)
    return false;
  *count =
      (CrashCount){number_of(printed, "corruptions") + number_of(printed, "check-errors"), number_of(printed, "leaks")};
  if (status == 0 || status == 3)
    return true;
  bg_set_error(error, EILSEQ, "qemu-img check ends with %d: %.300s", status, said ? said : "");
  return false;
}

static bool compare_by_qemu(const QemuImg *qemu, const uint8_t *content, uint64_t size, GError **error)
{
  const char *arguments[] = {"-O", "raw", qemu->node, qemu->output, NULL};
  g_autofree char *said = NULL, *bytes = NULL;
  size_t length;
  int status = qemu_img_run("convert", arguments, NULL, &said, error);
  if (status > 0)
    bg_set_error(error, EILSEQ, "qemu-img cannot read the disk: %.300s", said ? said : "");
  if (status != 0 || !g_file_get_contents(qemu->output, &bytes, &length, error))
    return false;
  if (length == size && memcmp(bytes, content, size) == 0)
    return true;
  bg_set_error(error, EILSEQ, "qemu-img reads the disk as something else");
  return false;
}

/* A backing disk of the laboratory's is not what the image names for qemu-img. */
static bool judge_by_qemu(const CrashFormat *format, const CrashFiles *files, const uint8_t *content, uint64_t size,
                          CrashCount *count, GError **error)
{
  g_auto(QemuImg) qemu = {0};
  return qemu_img_begin(&qemu, files, error) && check_by_qemu(&qemu, count, error) &&
         (!content || format->backing || compare_by_qemu(&qemu, content, size, error));
}

/* ── our own judge ── */

static bool judge(const CrashFormat *format, const CrashFiles *files, CrashCount *count, GError **error)
{
  BgChild *image = files->of[CRASH_IMAGE];
  const uint8_t *bytes = mem_child_data(image);
  ImageCheck check;
  references_check(bytes, (uint64_t)image->ops->size(image), &check);
  *count = (CrashCount){check.corruptions, check.leaks - check.leaks_beyond};
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
#define QCOW2 .driver = "qcow2", .judge = judge, .judge_foreign = judge_by_qemu, .damages = qcow2_damages
/* The smallest caches, so that tables come and go. */
#define SMALL_CACHES OPTIONS("l2-cache-size", "1", "refcount-cache-size", "1")
#define BACKING      "null-co://"
#define DATA_FILE    "data_file", "data"
#define RAW          "data_file_raw", "on"
/* Made cheaply: what it costs to try a passphrase is not in question here. */
#define LUKS                                                                                                           \
  "encrypt.format", "luks", "encrypt.key-secret", ORIGIN_SECRET_ID, "encrypt.cipher-alg", "aes-128",                   \
      "encrypt.iter-time", "1"
#define KEY OPTIONS("encrypt.key-secret", ORIGIN_SECRET_ID)
#define KiB *UINT64_C(1024)
#define MiB *UINT64_C(1048576)

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
    {QCOW2, .name = "2m", .create_options = OPTIONS("cluster_size", "2M"), .size = 4 MiB, .reach = 4 MiB,
     .step = 256 KiB, .operations = 40},
    {QCOW2, .name = "2m-snapshot", .create_options = OPTIONS("cluster_size", "2M"), .size = 4 MiB, .reach = 4 MiB,
     .step = 256 KiB, .operations = 40, .prepare = take_snapshot, .snapshots = true},
    {QCOW2, .name = "512-compressed", .create_options = OPTIONS("cluster_size", "512"), .open_options = SMALL_CACHES,
     .size = 1 MiB, .reach = 256 KiB, .step = 2 KiB, .operations = 150, .special = true},
    {QCOW2, .name = "4k-compressed-snapshot", .create_options = OPTIONS("cluster_size", "4K"), .size = 2 MiB,
     .reach = 1 MiB, .step = 8 KiB, .operations = 150, .prepare = take_snapshot, .snapshots = true, .special = true},
    {QCOW2, .name = "16k-compressed-zstd-backing",
     .create_options = OPTIONS("cluster_size", "16K", "compression_type", "zstd"), .size = 2 MiB, .reach = 1 MiB,
     .step = 12 KiB, .operations = 150, .backing = BACKING, .special = true},
    {QCOW2, .name = "16k-compressed-subclusters", .create_options = OPTIONS("cluster_size", "16K", "extended_l2", "on"),
     .size = 2 MiB, .reach = 512 KiB, .step = 3 KiB, .operations = 150, .special = true},
    {QCOW2, .name = "4k-data-file", .create_options = OPTIONS("cluster_size", "4K", DATA_FILE), .size = 2 MiB,
     .reach = 1 MiB, .step = 8 KiB, .operations = 150, .data_file = true},
    {QCOW2, .name = "512-data-file-backing", .create_options = OPTIONS("cluster_size", "512", DATA_FILE),
     .open_options = SMALL_CACHES, .size = 768 KiB, .reach = 192 KiB, .step = 1 KiB, .operations = 150,
     .backing = BACKING, .data_file = true},
    {QCOW2, .name = "16k-data-file-subclusters-backing",
     .create_options = OPTIONS("cluster_size", "16K", "extended_l2", "on", DATA_FILE), .size = 2 MiB, .reach = 512 KiB,
     .step = 3 KiB, .operations = 150, .backing = BACKING, .data_file = true},
    {QCOW2, .name = "4k-data-file-bitmaps", .create_options = OPTIONS("cluster_size", "4K", DATA_FILE), .size = 2 MiB,
     .reach = 1 MiB, .step = 8 KiB, .operations = 150, .data_file = true, .prepare = add_bitmaps,
     .judge_changes = qcow2_bitmaps_cover},
    {QCOW2, .name = "4k-data-file-raw", .create_options = OPTIONS("cluster_size", "4K", DATA_FILE, RAW), .size = 2 MiB,
     .reach = 1 MiB, .step = 8 KiB, .operations = 150, .data_file = true, .data_raw = true},
    {QCOW2, .name = "64k-data-file-raw-lazy",
     .create_options = OPTIONS("cluster_size", "64K", "lazy_refcounts", "on", DATA_FILE, RAW), .size = 4 MiB,
     .reach = 2 MiB, .step = 48 KiB, .operations = 120, .data_file = true, .data_raw = true, .dirty_mark = true},
    {QCOW2, .name = "4k-luks", .create_options = OPTIONS("cluster_size", "4K", LUKS), .open_options = KEY,
     .size = 2 MiB, .reach = 1 MiB, .step = 8 KiB, .operations = 150},
    {QCOW2, .name = "512-luks-snapshot", .create_options = OPTIONS("cluster_size", "512", LUKS), .open_options = KEY,
     .size = 1 MiB, .reach = 256 KiB, .step = 2 KiB, .operations = 150, .prepare = take_snapshot, .snapshots = true},
    {QCOW2, .name = "16k-luks-subclusters-backing",
     .create_options = OPTIONS("cluster_size", "16K", "extended_l2", "on", LUKS), .open_options = KEY, .size = 2 MiB,
     .reach = 512 KiB, .step = 3 KiB, .operations = 150, .backing = BACKING},
    {QCOW2, .name = "4k-luks-data-file", .create_options = OPTIONS("cluster_size", "4K", LUKS, DATA_FILE),
     .open_options = KEY, .size = 2 MiB, .reach = 1 MiB, .step = 8 KiB, .operations = 150, .data_file = true},
    {0},
};

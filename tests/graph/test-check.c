#include "graph/check.h"

#include "graph/create.h"
#include "tests/graph/scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static Scratch scratch;

static void set_up(void)
{
  scratch_init(&scratch, NULL, NULL);
}

static void tear_down(void)
{
  scratch_clear(&scratch);
}

TestSuite(check, .init = set_up, .fini = tear_down, .timeout = 60);

typedef struct Watcher {
  BgCheckWatcher watcher;
  unsigned findings;
  bool patient;
} Watcher;

static void finding(BgCheckWatcher *watcher, const char *text)
{
  cr_assert_not_null(text);
  ((Watcher *)watcher)->findings++;
}

static bool progress(BgCheckWatcher *watcher, uint64_t done, uint64_t total)
{
  (void)done, (void)total;
  return ((Watcher *)watcher)->patient;
}

static Watcher watcher = {{finding, progress}, 0, true};

static char *make_image(void)
{
  g_autoptr(GError) error = NULL;
  char *path = scratch_path(&scratch, "disk.qcow2");
  cr_assert(bg_create_image("qcow2", path, 1 << 20, NULL, NULL, NULL, NULL, &error), "%s", error ? error->message : "");
  return path;
}

/* A refcount of the cluster behind the file's end: a leak. */
static void add_leak(const char *path)
{
  uint64_t table, block;
  int fd = open(path, O_RDWR);
  cr_assert(pread(fd, &table, 8, 48) == 8 && pread(fd, &block, 8, (off_t)be64toh(table)) == 8);
  cr_assert_eq(pwrite(fd, "\0\1", 2, (off_t)be64toh(block) + 2 * 20), 2);
  cr_assert_eq(ftruncate(fd, 21 * 65536), 0);
  close(fd);
}

Test(check, a_sound_image_and_a_leak_that_is_mended)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = make_image();
  const BgDriver *driver = NULL;
  BgCheckResult result;
  cr_assert(bg_check_image(path, NULL, BG_FIX_NONE, &watcher.watcher, &result, &driver, &error), "%s",
            error ? error->message : "");
  cr_assert_str_eq(driver->name, "qcow2");
  cr_assert_eq(result.corruptions + result.leaks + result.check_errors + watcher.findings, 0);
  add_leak(path);
  cr_assert(bg_check_image(path, "qcow2", BG_FIX_NONE, &watcher.watcher, &result, NULL, &error));
  cr_assert_eq(result.leaks, 1);
  cr_assert_eq(watcher.findings, 1);
  cr_assert(bg_check_image(path, "qcow2", BG_FIX_LEAKS, &watcher.watcher, &result, NULL, &error));
  cr_assert_eq(result.leaks, 0);
  cr_assert_eq(result.leaks_fixed, 1);
}

Test(check, what_cannot_be_checked_is_refused)
{
  BgCheckResult result = {.leaks = 77};
  g_autofree char *raw = scratch_path(&scratch, "raw"), *none = scratch_path(&scratch, "none");
  scratch_file(&scratch, "raw", 4096, 'r');
  struct {
    const char *path, *format;
    int err;
  } cases[] = {{raw, NULL, ENOTSUP}, {raw, "qcow2", EINVAL}, {raw, "nonsense", EINVAL}, {none, NULL, ENOENT}};
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GError) error = NULL;
    cr_assert(!bg_check_image(cases[i].path, cases[i].format, BG_FIX_NONE, &watcher.watcher, &result, NULL, &error));
    cr_assert_eq(bg_error_errno(error), cases[i].err, "%zu: %s", i, error->message);
    cr_assert_eq(result.leaks, 77);
  }
}

Test(check, an_image_that_is_written_is_busy_and_a_watcher_can_give_up)
{
  g_autofree char *path = make_image();
  g_autoptr(GError) busy = NULL, error = NULL;
  BgCheckResult result;
  BgNode *disk = scratch_add(&scratch, "driver=qcow2,node-name=disk,auto-read-only=on,file.driver=file,"
                                       "file.filename=@/disk.qcow2");
  BgUser *user = scratch_writer(disk);
  cr_assert(!bg_check_image(path, NULL, BG_FIX_ALL, &watcher.watcher, &result, NULL, &busy));
  cr_assert_eq(bg_error_errno(busy), EBUSY, "%s", busy->message);
  bg_user_free(user);
  cr_assert(bg_graph_settle(scratch.graph, NULL));
  watcher.patient = false;
  cr_assert(!bg_check_image(path, NULL, BG_FIX_NONE, &watcher.watcher, &result, NULL, &error));
  cr_assert_eq(bg_error_errno(error), ECANCELED);
  watcher.patient = true;
}

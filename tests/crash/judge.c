#include "tests/crash/judge.h"

#include "drivers/registry.h"
#include "tests/crash/random.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

enum { WRITES = 8 };

/* ── does the image hold together? ── */

/* Keeps the first of what a check finds. */
typedef struct First {
  BgCheckWatcher watcher;
  char text[160];
} First;

static void keep_first(BgCheckWatcher *watcher, const char *text)
{
  First *first = (First *)watcher;
  if (!*first->text)
    g_strlcpy(first->text, text, sizeof first->text);
}

static bool go_on(BgCheckWatcher *watcher, uint64_t done, uint64_t total)
{
  (void)watcher, (void)done, (void)total;
  return true;
}

bool judge_by_driver(const Session *s, Shim *shim, CrashCount *count, GError **error)
{
  const BgDriver *driver = bg_driver_find(s->origin->format->driver);
  First first = {.watcher = {keep_first, go_on}};
  BgCheckResult result;
  if (!driver->check(shim_instance(shim), BG_FIX_NONE, &first.watcher, &result, error)) {
    g_prefix_error(error, "cannot be checked: ");
    return false;
  }
  *count = (CrashCount){result.corruptions + result.check_errors, result.leaks};
  if (count->corruptions)
    bg_set_error(error, EILSEQ, "the driver's check counts %" PRIu64 " corruptions, first: %s", count->corruptions,
                 first.text);
  return !count->corruptions;
}

bool judge_agree(const char *what, const CrashCount *one, const CrashCount *other, GError **error)
{
  if (one->corruptions == other->corruptions && one->leaks == other->leaks)
    return true;
  bg_set_error(error, EILSEQ,
               "the judges disagree: %s counts %" PRIu64 " corruptions and %" PRIu64 " leaks, ours %" PRIu64
               " and %" PRIu64,
               what, one->corruptions, one->leaks, other->corruptions, other->leaks);
  return false;
}

bool judge_image(const Session *s, Shim *shim, const CrashFiles *files, CrashCount *count, GError **error)
{
  const CrashFormat *format = s->origin->format;
  CrashCount drivers;
  return format->judge(format, files, count, error) && judge_by_driver(s, shim, &drivers, error) &&
         judge_agree("the driver's check", &drivers, count, error);
}

static bool judge_foreign(const Session *s, const CrashFiles *files, const JudgeTask *task, const uint8_t *content,
                          uint64_t size, const CrashCount *count, GError **error)
{
  const CrashFormat *format = s->origin->format;
  g_autoptr(GError) failure = NULL;
  CrashCount foreign;
  if (!task->foreign)
    return true;
  if (format->judge_foreign(format, files, task->compare ? content : NULL, size, &foreign, &failure))
    return judge_agree("the foreign judge", &foreign, count, error);
  bool missing = bg_error_errno(failure) == ENOPKG;
  if (!missing)
    g_propagate_error(error, g_steal_pointer(&failure));
  return missing;
}

/* ── does it show what it must? ── */

static bool judge_changes(const Session *s, const CrashFiles *files, const uint8_t *content, uint64_t size,
                          GError **error)
{
  const CrashFormat *format = s->origin->format;
  return !format->judge_changes ||
         format->judge_changes(format, files->of[CRASH_IMAGE], s->origin->content, content, size, error);
}

/* A data file that shows the disk by itself keeps the same promises by itself. */
static bool judge_raw(const Session *s, const CrashFiles *files, size_t cut, uint64_t size, GError **error)
{
  if (!s->origin->format->data_raw)
    return true;
  g_autofree uint8_t *bytes = g_malloc(MAX(size, (uint64_t)1));
  bg_child_pread(files->of[CRASH_DATA], bytes, size, 0);
  if (shadow_allows(s->shadow, cut, bytes, size, error))
    return true;
  g_prefix_error(error, "the data file by itself: ");
  return false;
}

/* Opened read-only, is it sound, and does it read as it may? *content as it was read. */
static bool judge_reading(const Session *s, const CrashFiles *files, const JudgeTask *task, uint8_t **content,
                          uint64_t *size, GError **error)
{
  CrashCount count;
  g_autoptr(Shim) shim = session_open(s, files, error);
  if (!shim)
    return false;
  *content = session_read_all(s, shim, error);
  *size = (uint64_t)shim_size(shim);
  return *content && shadow_allows(s->shadow, task->cut, *content, *size, error) &&
         judge_raw(s, files, task->cut, *size, error) && session_allows_snapshots(s, task->cut, shim, error) &&
         judge_image(s, shim, files, &count, error) && judge_changes(s, files, *content, *size, error) &&
         judge_foreign(s, files, task, *content, *size, &count, error);
}

/* ── can it be used again? ── */

static bool write_here_and_there(const Session *s, Shim *shim, uint8_t *content, uint64_t size, uint64_t seed,
                                 GError **error)
{
  uint64_t step = s->origin->format->step;
  for (int i = 0; i < WRITES && size > step; i++) {
    uint64_t offset = random_below(&seed, size - step);
    memset(content + offset, (int)random_below(&seed, 256), step);
    int rc = shim_write(shim, content + offset, step, offset);
    if (rc < 0) {
      bg_set_error_errno(error, -rc, "cannot be written any more");
      return false;
    }
  }
  return true;
}

/* Writes to the disk, closes it, and judges it again. */
static bool judge_writing(const Session *s, const CrashFiles *files, const JudgeTask *task, uint8_t *content,
                          uint64_t size, GError **error)
{
  CrashCount count;
  g_autoptr(Shim) shim = session_open(s, files, error);
  if (!shim || !shim_set_writable(shim, true, error)) {
    g_prefix_error(error, "cannot be written any more: ");
    return false;
  }
  if (!write_here_and_there(s, shim, content, size, task->seed, error))
    return false;
  g_autofree uint8_t *seen = shim_set_writable(shim, false, error) ? session_read_all(s, shim, error) : NULL;
  if (!seen || !session_allows_snapshots(s, task->cut, shim, error) || !judge_image(s, shim, files, &count, error))
    return false;
  if (memcmp(seen, content, size) != 0)
    bg_set_error(error, EILSEQ, "reads as something else after it was written to");
  return memcmp(seen, content, size) == 0 && judge_changes(s, files, seen, size, error);
}

bool judge_cut(const Session *s, const CrashFiles *files, const JudgeTask *task, GError **error)
{
  g_autofree uint8_t *content = NULL;
  uint64_t size;
  return judge_reading(s, files, task, &content, &size, error) &&
         (!task->write || judge_writing(s, files, task, content, size, error));
}

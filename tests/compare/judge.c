#include "tests/compare/twin.h"

#include "graph/check.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static bool compare_content(const Twin *twin, GError **error)
{
  g_autofree char *output = NULL;
  const char *arguments[] = {"qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", twin->ours, twin->theirs, NULL};
  int status = twin_run(twin, arguments, NULL, &output, error);
  if (status > 0)
    bg_set_error(error, EILSEQ, "qemu-img compare: %s", g_strchomp(output));
  return status == 0;
}

static bool check_with_qemu(const Twin *twin, const char *image, GError **error)
{
  g_autofree char *output = NULL;
  const char *arguments[] = {"qemu-img", "check", "-f", "qcow2", image, NULL};
  int status = twin_run(twin, arguments, NULL, &output, error);
  if (status > 0)
    bg_set_error(error, EILSEQ, "qemu-img check of %s: %.300s", image, output);
  return status == 0;
}

static void ignore_finding(BgCheckWatcher *watcher, const char *text)
{
  (void)watcher, (void)text;
}

static bool go_on(BgCheckWatcher *watcher, uint64_t done, uint64_t total)
{
  (void)watcher, (void)done, (void)total;
  return true;
}

static bool check_ourselves(const char *image, GError **error)
{
  BgCheckWatcher watcher = {ignore_finding, go_on};
  BgCheckResult result;
  g_autoptr(GError) failure = NULL;
  if (!bg_check_image(image, "qcow2", BG_FIX_NONE, &watcher, &result, NULL, &failure)) {
    bool cannot = bg_error_errno(failure) == ENOTSUP; /* with a data file */
    if (!cannot)
      g_propagate_error(error, g_steal_pointer(&failure));
    return cannot;
  }
  if (result.corruptions + result.leaks + result.check_errors)
    bg_set_error(error, EILSEQ, "our check of %s: %" PRIu64 " corruptions, %" PRIu64 " leaks", image,
                 result.corruptions, result.leaks);
  return result.corruptions + result.leaks + result.check_errors == 0;
}

/* ── maps ── */

/* Where zeros were written to a part of a granule, QEMU looks whether the rest reads as zeros already and then makes all of it a zero
 * cluster, while ours writes the zeros: the same content, allocated or not. The same goes for a granule in which the disk once ended. */
static bool is_loose(const Twin *twin, const Op *ops, size_t count, uint64_t at)
{
  uint64_t granule = twin->config->granule, start = at / granule * granule;
  for (size_t i = 0; i < count; i++) {
    const Op *op = &ops[i];
    uint64_t end = op->kind == OP_RESIZE ? op->length : op->offset + op->length;
    if (op->kind != OP_RESIZE && op->kind != OP_ZERO && op->kind != OP_ZERO_UNMAP)
      continue;
    if ((op->offset > start && op->offset < start + granule) || (end > start && end < start + granule))
      return true;
  }
  return false;
}

static bool has_snapshots(const Op *ops, size_t count)
{
  for (size_t i = 0; i < count; i++)
    if (op_is_snapshot(&ops[i]))
      return true;
  return false;
}

static bool same_meaning(const Twin *twin, const Op *ops, size_t count, const MapRange *ours, const MapRange *theirs,
                         uint64_t at)
{
  if (ours->kind == theirs->kind && ours->depth == theirs->depth)
    return true;
  /* Past the end of a backing disk QEMU 7.2 lets that disk answer for the zeros, ours nobody. */
  bool nothing_stored = ours->kind != MAP_DATA && theirs->kind != MAP_DATA;
  if (nothing_stored && (ours->kind == MAP_HOLE || theirs->kind == MAP_HOLE))
    return twin->config->backing_size == 0 || at >= twin->config->backing_size;
  /* Ours copies a shared cluster as a whole, QEMU the subclusters that are in use. */
  if (ours->kind == MAP_DATA && ours->depth == 0 && twin->config->extended && has_snapshots(ops, count))
    return true;
  bool both_here = ours->depth == 0 && theirs->depth == 0;
  /* Ours zeroes and discards a data file's clusters where they lie, so that the file goes on reading as the disk; QEMU's entry tells
   * of zeros. */
  return both_here && (twin->config->data_file || is_loose(twin, ops, count, at));
}

static bool compare_maps(const Twin *twin, const Op *ops, size_t count, const GArray *ours, const GArray *theirs,
                         GError **error)
{
  static const char *const kinds[] = {"a hole", "zeros", "data"};
  for (guint i = 0, j = 0; i < ours->len && j < theirs->len;) {
    const MapRange *left = &g_array_index(ours, MapRange, i), *right = &g_array_index(theirs, MapRange, j);
    uint64_t at = MAX(left->start, right->start);
    uint64_t left_end = left->start + left->length, right_end = right->start + right->length;
    for (; at < MIN(left_end, right_end); at = (at / twin->config->granule + 1) * twin->config->granule)
      if (!same_meaning(twin, ops, count, left, right, at)) {
        bg_set_error(error, EILSEQ, "map at %" PRIu64 ": ours says %s at depth %u, QEMU %s at depth %u", at,
                     kinds[left->kind], left->depth, kinds[right->kind], right->depth);
        return false;
      }
    i += left_end <= right_end;
    j += right_end <= left_end;
  }
  return true;
}

static uint64_t end_of(const GArray *map)
{
  const MapRange *last = &g_array_index(map, MapRange, map->len - 1);
  return map->len ? last->start + last->length : 0;
}

bool twin_judge(const Twin *twin, const Op *ops, size_t count, GError **error)
{
  if (!compare_content(twin, error) || !check_with_qemu(twin, twin->ours, error) ||
      !check_with_qemu(twin, twin->theirs, error) || !check_ourselves(twin->ours, error) ||
      !check_ourselves(twin->theirs, error))
    return false;
  g_autoptr(GArray) ours = ours_map(twin, error), theirs = ours ? theirs_map(twin, error) : NULL;
  if (!theirs)
    return false;
  if (end_of(ours) != end_of(theirs)) {
    bg_set_error(error, EILSEQ, "ours has %" PRIu64 " bytes, QEMU's %" PRIu64, end_of(ours), end_of(theirs));
    return false;
  }
  return compare_maps(twin, ops, count, ours, theirs, error) && twin_judge_snapshots(twin, ops, count, error);
}

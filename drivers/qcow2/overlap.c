/* Where metadata lies. A write that would hit other metadata shows that the image contradicts itself. */
#include "drivers/qcow2/alloc.h"

#include <errno.h>
#include <inttypes.h>

bool qcow2_overlap_classes(const Qcow2Options *options, unsigned *classes, GError **error)
{
  enum {
    CONSTANT = QCOW2_OVERLAP_MAIN_HEADER | QCOW2_OVERLAP_ACTIVE_L1 | QCOW2_OVERLAP_REFCOUNT_TABLE |
               QCOW2_OVERLAP_SNAPSHOT_TABLE | QCOW2_OVERLAP_BITMAP_DIRECTORY,
    CACHED = CONSTANT | QCOW2_OVERLAP_ACTIVE_L2 | QCOW2_OVERLAP_REFCOUNT_BLOCK | QCOW2_OVERLAP_INACTIVE_L1
  };
  static const unsigned templates[] = {
      [QCOW2_OVERLAP_DEFAULT] = CACHED,
      [QCOW2_OVERLAP_NONE] = 0,
      [QCOW2_OVERLAP_CONSTANT] = CONSTANT,
      [QCOW2_OVERLAP_CACHED] = CACHED,
      [QCOW2_OVERLAP_ALL] = CACHED | QCOW2_OVERLAP_INACTIVE_L2,
  };
  int check = options->overlap_check, template = options->overlap_template;
  if (check && template && check != template) {
    bg_set_error(error, EINVAL, "overlap-check and overlap-check.template contradict each other");
    return false;
  }
  unsigned chosen = templates[check ?: template];
  for (unsigned i = 0; i < QCOW2_OVERLAP_CLASSES; i++)
    if (options->overlap[i] != QCOW2_OVERLAP_AS_TEMPLATE)
      chosen = options->overlap[i] == QCOW2_OVERLAP_ON ? chosen | 1u << i : chosen & ~(1u << i);
  *classes = chosen;
  return true;
}

static int compare_ranges(gconstpointer a, gconstpointer b)
{
  const Qcow2Range *left = a, *right = b;
  return left->first < right->first ? -1 : left->first > right->first;
}

static void add_range(const Qcow2 *q, GArray *ranges, unsigned class, uint64_t offset, uint64_t bytes)
{
  Qcow2Range range = {offset >> q->cluster_bits, (offset + bytes + q->cluster_size - 1) >> q->cluster_bits, class};
  if (bytes)
    g_array_append_val(ranges, range);
}

/* The directory of bitmaps and their tables. */
static void add_bitmaps(const Qcow2 *q, GArray *ranges)
{
  add_range(q, ranges, QCOW2_OVERLAP_BITMAP_DIRECTORY, q->bitmaps.offset, q->bitmaps.size);
  for (uint32_t i = 0; i < q->bitmaps.count; i++) {
    const Qcow2Bitmap *bitmap = &q->bitmaps.list[i];
    if (bitmap->placed)
      add_range(q, ranges, QCOW2_OVERLAP_BITMAP_DIRECTORY, bitmap->table_offset, (uint64_t)bitmap->table_entries * 8);
  }
}

static void set_ranges(Qcow2 *q, bool bitmaps)
{
  g_autoptr(GArray) all = g_array_new(FALSE, FALSE, sizeof(Qcow2Range));
  if (bitmaps)
    add_bitmaps(q, all);
  add_range(q, all, QCOW2_OVERLAP_MAIN_HEADER, 0, q->cluster_size);
  add_range(q, all, QCOW2_OVERLAP_ACTIVE_L1, q->l1_offset, q->active.entries * 8);
  add_range(q, all, QCOW2_OVERLAP_REFCOUNT_TABLE, q->reftable_offset, q->reftable_entries * 8);
  add_range(q, all, QCOW2_OVERLAP_SNAPSHOT_TABLE, q->snapshots_offset, q->snapshots.bytes);
  add_range(q, all, QCOW2_OVERLAP_MAIN_HEADER, q->crypto_offset, q->crypto_size);
  for (size_t i = 0; i < q->snapshots.count; i++)
    add_range(q, all, QCOW2_OVERLAP_INACTIVE_L1, q->snapshots.list[i].l1_offset,
              (uint64_t)q->snapshots.list[i].l1_entries * 8);
  g_array_sort(all, compare_ranges);

  g_array_set_size(q->ranges, 0);
  for (guint i = 0; i < all->len; i++) {
    Qcow2Range next = g_array_index(all, Qcow2Range, i);
    Qcow2Range *last = q->ranges->len ? &g_array_index(q->ranges, Qcow2Range, q->ranges->len - 1) : NULL;
    if (last && (next.first < last->end || (next.first == last->end && next.classes == last->classes))) {
      last->end = MAX(last->end, next.end);
      last->classes |= next.classes;
    } else {
      g_array_append_val(q->ranges, next);
    }
  }
}

void qcow2_overlap_ranges(Qcow2 *q)
{
  set_ranges(q, true);
}

/* The one of `ranges`, which are sorted and disjoint, that shares a cluster with the range; NULL: none. */
static const Qcow2Range *find(const GArray *ranges, Qcow2Range range)
{
  guint low = 0, high = ranges->len;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    const Qcow2Range *one = &g_array_index(ranges, Qcow2Range, middle);
    if (range.end <= one->first)
      high = middle;
    else if (range.first >= one->end)
      low = middle + 1;
    else
      return one;
  }
  return NULL;
}

static bool touches(const GArray *ranges, Qcow2Range range)
{
  return find(ranges, range);
}

unsigned qcow2_classes_of(const Qcow2 *q, uint64_t cluster)
{
  const Qcow2Range *range = find(q->ranges, (Qcow2Range){.first = cluster, .end = cluster + 1});
  unsigned classes = range ? range->classes : 0;
  classes |= GPOINTER_TO_UINT(g_hash_table_lookup(q->tables, GSIZE_TO_POINTER(cluster)));
  if (q->inactive && g_hash_table_contains(q->inactive, GSIZE_TO_POINTER(cluster)))
    classes |= QCOW2_OVERLAP_INACTIVE_L2;
  return classes;
}

bool qcow2_is_metadata(const Qcow2 *q, uint64_t cluster)
{
  return qcow2_classes_of(q, cluster) & q->overlap;
}

void qcow2_overlap_add(Qcow2 *q, uint64_t cluster, unsigned class)
{
  g_hash_table_insert(q->tables, GSIZE_TO_POINTER(cluster), GUINT_TO_POINTER(class));
}

static bool add_table(Qcow2 *q, unsigned class, uint64_t offset, uint64_t file_end, GError **error)
{
  const char *what = class == QCOW2_OVERLAP_ACTIVE_L2 ? "L2 table" : "refcount block";
  uint64_t cluster = offset >> q->cluster_bits;
  bool possible = (offset & (q->cluster_size - 1)) == 0 && offset < file_end;
  if (possible && !qcow2_classes_of(q, cluster)) {
    qcow2_overlap_add(q, cluster, class);
    return true;
  }
  if (!possible)
    bg_set_error(error, EROFS, "The image is damaged: a %s lies at the impossible offset 0x%" PRIx64, what, offset);
  else
    bg_set_error(error, EROFS, "The image is damaged: the %s at 0x%" PRIx64 " overlaps other metadata", what, offset);
  return false;
}

/* Whether what bitmaps have is apart from each other and from all other metadata, which is in place already. */
static bool are_bitmaps_apart(const Qcow2 *q)
{
  g_autoptr(GArray) ranges = g_array_new(FALSE, FALSE, sizeof(Qcow2Range));
  add_bitmaps(q, ranges);
  g_array_sort(ranges, compare_ranges);
  uint64_t end = 0;
  for (guint i = 0; i < ranges->len; i++) {
    Qcow2Range range = g_array_index(ranges, Qcow2Range, i);
    if (range.first < end || touches(q->ranges, range))
      return false;
    end = range.end;
  }
  GHashTableIter iter;
  void *key;
  g_hash_table_iter_init(&iter, q->tables);
  while (g_hash_table_iter_next(&iter, &key, NULL))
    if (touches(ranges, (Qcow2Range){.first = GPOINTER_TO_SIZE(key), .end = GPOINTER_TO_SIZE(key) + 1}))
      return false;
  return true;
}

void qcow2_overlap_rebuild(Qcow2 *q)
{
  g_hash_table_remove_all(q->tables);
  qcow2_overlap_ranges(q);
  for (uint64_t i = 0; i < q->reftable_entries; i++)
    if (q->reftable[i])
      qcow2_overlap_add(q, (q->reftable[i] & QCOW2_REFTABLE_MASK) >> q->cluster_bits, QCOW2_OVERLAP_REFCOUNT_BLOCK);
  for (uint64_t i = 0; i < q->active.entries; i++)
    if (qcow2_entry_offset(q->active.l1[i]))
      qcow2_overlap_add(q, qcow2_entry_offset(q->active.l1[i]) >> q->cluster_bits, QCOW2_OVERLAP_ACTIVE_L2);
}

bool qcow2_overlap_build(Qcow2 *q, GError **error)
{
  int64_t file_size = q->file->ops->size(q->file);
  if (file_size < 0) {
    bg_set_error_errno(error, (int)-file_size, "Cannot tell the file's size");
    return false;
  }
  g_hash_table_remove_all(q->tables);
  set_ranges(q, false);
  for (uint64_t i = 0; i < q->reftable_entries; i++)
    if (q->reftable[i] &&
        !add_table(q, QCOW2_OVERLAP_REFCOUNT_BLOCK, q->reftable[i] & QCOW2_REFTABLE_MASK, file_size, error))
      return false;
  for (uint64_t i = 0; i < q->active.entries; i++) {
    uint64_t offset = qcow2_entry_offset(q->active.l1[i]);
    if (offset && !add_table(q, QCOW2_OVERLAP_ACTIVE_L2, offset, file_size, error))
      return false;
  }
  if (!are_bitmaps_apart(q)) {
    bg_set_error(error, EROFS, "The image is damaged: its bitmaps overlap other metadata");
    return false;
  }
  qcow2_overlap_ranges(q);
  return true;
}

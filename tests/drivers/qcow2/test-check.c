#include "tests/drivers/qcow2/image.h"

#include "drivers/qcow2/alloc.h"
#include "drivers/qcow2/header.h"
#include "drivers/registry.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

enum { CLUSTER = 512, SIZE = 256 << 10 };

/* Keeps the last finding; gives up after so many calls. */
typedef struct Watcher {
  BgCheckWatcher watcher;
  char *last;
  unsigned findings;
  uint64_t patience; /* progress calls that are left */
} Watcher;

static void note_finding(BgCheckWatcher *watcher, const char *text)
{
  Watcher *self = (Watcher *)watcher;
  self->findings++;
  g_free(self->last);
  self->last = g_strdup(text);
}

static bool note_progress(BgCheckWatcher *watcher, uint64_t done, uint64_t total)
{
  Watcher *self = (Watcher *)watcher;
  cr_assert(done <= total);
  return self->patience && self->patience--;
}

static Watcher new_watcher(void)
{
  return (Watcher){.watcher = {note_finding, note_progress}, .patience = UINT64_MAX};
}

static bool check(BgChild *file, BgFix fix, BgCheckResult *result, GError **error)
{
  Watcher watcher = new_watcher();
  Image *image = image_open(file, NULL, NULL, 0, error);
  if (!image)
    return false;
  bool checked = bg_driver_find("qcow2")->check(image_instance(image), fix, &watcher.watcher, result, error);
  image_close(image);
  g_free(watcher.last);
  return checked;
}

static BgCheckResult checked(BgChild *file, BgFix fix)
{
  g_autoptr(GError) error = NULL;
  BgCheckResult result;
  cr_assert(check(file, fix, &result, &error), "%s", error ? error->message : "");
  return result;
}

/* A sound image with data all over, zeros and holes. */
static BgChild *make(const char *options)
{
  BgChild *file = image_create(SIZE, options, NULL, NULL);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  uint8_t bytes[3000];
  memset(bytes, 0x5a, sizeof bytes);
  for (uint64_t at = 0; at + sizeof bytes < SIZE; at += 9001)
    cr_assert_eq(image_write(image, bytes, sizeof bytes, at), 0);
  image_close(image);
  return file;
}

static uint8_t *bytes_at(BgChild *file, uint64_t offset)
{
  return mem_child_data(file) + offset;
}

static uint64_t field(BgChild *file, unsigned at)
{
  return qcow2_get64(bytes_at(file, at));
}

static uint8_t *first_block(BgChild *file)
{
  return bytes_at(file, qcow2_get64(bytes_at(file, field(file, QCOW2_H_REFTABLE_OFFSET))));
}

static uint8_t *first_l2(BgChild *file)
{
  return bytes_at(file, qcow2_get64(bytes_at(file, field(file, QCOW2_H_L1_OFFSET))) & QCOW2_OFFSET_MASK);
}

static unsigned order_of(BgChild *file)
{
  return qcow2_get32(bytes_at(file, QCOW2_H_VERSION)) < 3 ? 4 : qcow2_get32(bytes_at(file, QCOW2_H_REFCOUNT_ORDER));
}

/* ── counting ── */

static const char *const shapes[] = {
    "cluster_size=512",
    "cluster_size=512,refcount_bits=1",
    "cluster_size=512,refcount_bits=2",
    "cluster_size=1024,refcount_bits=4",
    "cluster_size=512,refcount_bits=8",
    "cluster_size=4096,refcount_bits=32",
    "cluster_size=512,refcount_bits=64",
    "cluster_size=512,compat=0.10",
    "cluster_size=65536",
    "cluster_size=512,preallocation=metadata",
    "cluster_size=16K,extended_l2=on",
};

Test(qcow2_check, sound_images_of_all_shapes)
{
  for (size_t i = 0; i < G_N_ELEMENTS(shapes); i++) {
    g_autoptr(BgChild) file = make(shapes[i]);
    mem_child_reset_counts(file);
    BgCheckResult result = checked(file, BG_FIX_NONE);
    cr_assert_eq(result.corruptions + result.leaks + result.check_errors, 0, "%s", shapes[i]);
    cr_assert_neq(result.allocated_clusters, 0);
    cr_assert_leq(result.image_end_offset, (uint64_t)file->ops->size(file) + 65535);
    cr_assert_eq(mem_child_count(file, MEM_WRITES | MEM_FLUSH), 0, "looking changes nothing");
    result = checked(file, BG_FIX_ALL);
    cr_assert_eq(mem_child_count(file, MEM_WRITES), 0, "nor does mending what is sound");
  }
}

Test(qcow2_check, leak_and_low_refcount)
{
  for (size_t i = 0; i < G_N_ELEMENTS(shapes); i++) {
    g_autoptr(BgChild) file = make(shapes[i]);
    unsigned order = order_of(file);
    BgCheckResult sound = checked(file, BG_FIX_NONE);
    uint64_t cluster = 1u << qcow2_get32(bytes_at(file, QCOW2_H_CLUSTER_BITS));
    cr_assert_eq(file->ops->resize(file, file->ops->size(file) + 2 * cluster), 0);
    uint64_t free_cluster = sound.image_end_offset / cluster;
    if (free_cluster >= cluster * 8 >> order)
      continue; /* counted by another block */
    qcow2_refcount_set(first_block(file), order, free_cluster, 1);
    BgCheckResult result = checked(file, BG_FIX_NONE);
    cr_assert(result.leaks == 1 && result.corruptions == 0, "%s", shapes[i]);
    cr_assert_eq(result.image_end_offset, sound.image_end_offset + cluster);
    result = checked(file, BG_FIX_LEAKS);
    cr_assert(result.leaks == 0 && result.leaks_fixed == 1);

    /* the header's own */
    qcow2_refcount_set(first_block(file), order, 0, 0);
    result = checked(file, BG_FIX_NONE);
    cr_assert(result.leaks == 0 && result.corruptions == 1, "%s", shapes[i]);
    result = checked(file, BG_FIX_LEAKS);
    cr_assert(result.corruptions == 1 && result.corruptions_fixed == 0, "leaks only");
    result = checked(file, BG_FIX_ALL);
    cr_assert(result.corruptions == 0 && result.corruptions_fixed == 1);
    image_assert_sound(file, false);
  }
}

/* What a false entry counts as, and whether it can be mended. */
typedef struct Damage {
  uint64_t set, clear; /* bits of the first L2 entry */
  unsigned corruptions, left;
} Damage;

Test(qcow2_check, false_l2_entries)
{
  static const Damage damages[] = {
      {0, QCOW2_COPIED, 1, 0},                 /* not marked as one's own */
      {UINT64_C(1) << 60, 0, 1, 1},            /* reserved */
      {UINT64_C(1) << 1, 0, 1, 1},             /* reserved */
      {UINT64_C(1) << 40, 0, 2, 2},            /* beyond the file: marked, and refcount 0 */
      {QCOW2_ZERO | UINT64_C(0x200), 0, 1, 0}, /* unaligned, but zeros */
      {UINT64_C(0x200), 0, 1, 1},              /* unaligned */
  };
  for (size_t i = 0; i < G_N_ELEMENTS(damages); i++) {
    g_autoptr(BgChild) file = make("cluster_size=4096");
    uint8_t *entry = first_l2(file);
    qcow2_put64(entry, (qcow2_get64(entry) & ~damages[i].clear) | damages[i].set);
    BgCheckResult result = checked(file, BG_FIX_NONE);
    uint64_t found = result.corruptions;
    cr_assert_geq(found, damages[i].corruptions, "damage %zu: %zu", i, (size_t)found);
    result = checked(file, BG_FIX_ALL);
    cr_assert_eq(result.corruptions != 0, damages[i].left != 0, "damage %zu", i);
    if (!damages[i].left)
      image_assert_sound(file, false);
    if (image_qemu_check(file) >= 0)
      cr_assert_eq(image_qemu_check(file), damages[i].left ? 2 : 0, "damage %zu", i);
  }
}

Test(qcow2_check, two_entries_name_one_cluster)
{
  g_autoptr(BgChild) file = make("cluster_size=512");
  uint8_t *l2 = first_l2(file);
  memcpy(l2, l2 + 8, 8);
  BgCheckResult result = checked(file, BG_FIX_NONE);
  cr_assert(result.corruptions == 1 && result.leaks == 1);
  result = checked(file, BG_FIX_ALL);
  cr_assert(result.corruptions == 0 && result.leaks == 0);
  cr_assert_eq(qcow2_get64(l2) & QCOW2_COPIED, 0, "a write makes a copy now");
  image_assert_sound(file, false);
}

/* A width of one bit cannot say that: it is told and left. */
Test(qcow2_check, more_references_than_the_width_holds)
{
  g_autoptr(BgChild) file = make("cluster_size=512,refcount_bits=1");
  uint8_t *l2 = first_l2(file);
  memcpy(l2, l2 + 8, 8);
  cr_assert_eq(checked(file, BG_FIX_NONE).corruptions, 1);
  cr_assert_eq(checked(file, BG_FIX_ALL).corruptions, 1);
}

/* Two L1 entries name one L2 table: what refcounts agree to is told all the same. */
Test(qcow2_check, metadata_that_overlaps)
{
  g_autoptr(BgChild) file = make("cluster_size=512");
  uint64_t l1 = field(file, QCOW2_H_L1_OFFSET), table = l1 / CLUSTER;
  qcow2_put64(bytes_at(file, l1), l1);
  qcow2_refcount_set(first_block(file), order_of(file), table, 2);
  BgCheckResult result = checked(file, BG_FIX_ALL);
  cr_assert_neq(result.corruptions, 0);
  cr_assert_neq(result.leaks + result.leaks_fixed, 0);
}

Test(qcow2_check, refcount_structures_that_cannot_be_true)
{
  static const uint64_t entries[] = {
      0,                    /* none at all */
      UINT64_C(1) << 40,    /* past the end */
      UINT64_C(0x10200),    /* unaligned */
      UINT64_C(0x1000) | 1, /* reserved bits */
      UINT64_C(0),          /* the L1 table's own place; see below */
  };
  for (size_t i = 0; i < G_N_ELEMENTS(entries); i++) {
    g_autoptr(BgChild) file = make("cluster_size=4096");
    uint8_t *entry = bytes_at(file, field(file, QCOW2_H_REFTABLE_OFFSET));
    qcow2_put64(entry, i == 4 ? field(file, QCOW2_H_L1_OFFSET) : entries[i]);
    cr_assert_neq(checked(file, BG_FIX_NONE).corruptions, 0, "entry %zu", i);
    BgCheckResult result = checked(file, BG_FIX_ALL);
    cr_assert(result.corruptions == 0 && result.leaks == 0, "entry %zu", i);
    image_assert_sound(file, false);
    Image *image = image_open_writable(file, NULL, NULL, 0);
    cr_assert_eq(image_write(image, "new", 3, SIZE - 3), 0);
    image_close(image);
    image_assert_sound(file, false);
  }
}

/* The table is full: a block for clusters far behind needs a larger one. */
Test(qcow2_check, refcount_table_grows)
{
  g_autoptr(BgChild) file = make("cluster_size=512,refcount_bits=64");
  uint64_t far = 8u << 20;
  cr_assert_eq(file->ops->resize(file, far + CLUSTER), 0);
  qcow2_put64(first_l2(file), far | QCOW2_COPIED);
  uint64_t table = field(file, QCOW2_H_REFTABLE_OFFSET);
  BgCheckResult result = checked(file, BG_FIX_ALL);
  cr_assert(result.corruptions == 0 && result.leaks == 0 && result.corruptions_fixed && result.leaks_fixed);
  cr_assert_neq(field(file, QCOW2_H_REFTABLE_OFFSET), table);
  image_assert_sound(file, false);
}

/* An L2 table that is out of reach may name anything: nothing is given back. */
Test(qcow2_check, leaks_stay_where_metadata_is_out_of_reach)
{
  g_autoptr(BgChild) file = make("cluster_size=512");
  uint64_t l1 = field(file, QCOW2_H_L1_OFFSET);
  qcow2_put64(bytes_at(file, l1), qcow2_get64(bytes_at(file, l1)) | UINT64_C(1) << 45);
  BgCheckResult before = checked(file, BG_FIX_NONE), after = checked(file, BG_FIX_ALL);
  cr_assert(before.leaks && before.corruptions);
  cr_assert_eq(after.leaks, before.leaks);
  cr_assert_neq(after.corruptions, 0);
}

/* ── as qemu-img counts ── */

Test(qcow2_check, snapshots_compression_and_bitmaps)
{
  static const char *const scripts[] = {
      "qemu-img create -q -f qcow2 -o cluster_size=4096 $1/out 1M && for i in 1 2 3; do "
      "qemu-io -c \"write -P $i ${i}0000 70000\" $1/out && qemu-img snapshot -c s$i $1/out; done",
      "head -c 1M /bin/bash >$1/raw && qemu-img convert -c -f raw -O qcow2 -o cluster_size=4096 $1/raw $1/out && "
      "qemu-img snapshot -c s $1/out && qemu-io -c 'write 8k 20k' $1/out",
      "head -c 1M /bin/bash >$1/raw && qemu-img convert -c -f raw -O qcow2 -o compression_type=zstd $1/raw $1/out",
      "qemu-img create -q -f qcow2 -o cluster_size=512 $1/out 1M && qemu-img bitmap --add -g 512 $1/out b && "
      "qemu-img bitmap --add -g 4096 $1/out c && qemu-io -c 'write 8k 200k' $1/out",
  };
  for (size_t i = 0; i < G_N_ELEMENTS(scripts); i++) {
    g_autoptr(BgChild) file = image_require_shell(scripts[i]);
    cr_assert_eq(image_qemu_check(file), 0, "%zu", i);
    BgCheckResult result = checked(file, BG_FIX_NONE);
    cr_assert_eq(result.corruptions + result.leaks + result.check_errors, 0, "%zu", i);
    cr_assert_eq(result.compressed_clusters != 0, i == 1 || i == 2);
    mem_child_reset_counts(file);
    checked(file, BG_FIX_ALL);
    cr_assert_eq(mem_child_count(file, MEM_WRITES), 0);
  }
}

/* Without the bit that vouches for them, the clusters of bitmaps belong to nobody. */
Test(qcow2_check, bitmaps_that_nobody_vouches_for)
{
  g_autoptr(BgChild) file =
      image_require_shell("qemu-img create -q -f qcow2 $1/out 1M && qemu-img bitmap --add $1/out b && "
                          "qemu-io -c 'write 8k 200k' $1/out");
  qcow2_put64(bytes_at(file, QCOW2_H_AUTOCLEAR), 0);
  cr_assert_neq(checked(file, BG_FIX_NONE).leaks, 0);
  cr_assert_eq(image_qemu_check(file), 3);
  cr_assert_eq(checked(file, BG_FIX_LEAKS).leaks, 0);
  cr_assert_eq(image_qemu_check(file), 0);
}

/* ── failures ── */

Test(qcow2_check, cancelled_at_each_step)
{
  for (uint64_t patience = 0;; patience++) {
    g_autoptr(BgChild) file = make("cluster_size=512");
    g_autoptr(GError) error = NULL;
    qcow2_refcount_set(first_block(file), 4, 0, 0);
    first_l2(file)[0] &= 0x7f;
    Watcher watcher = new_watcher();
    watcher.patience = patience;
    Image *image = image_open(file, NULL, NULL, 0, NULL);
    BgCheckResult result = {.leaks = 77};
    bool done = bg_driver_find("qcow2")->check(image_instance(image), BG_FIX_ALL, &watcher.watcher, &result, &error);
    image_close(image);
    g_free(watcher.last);
    cr_assert_leq(checked(file, BG_FIX_NONE).corruptions, 2);
    if (done)
      break;
    cr_assert(error->code == ECANCELED && result.leaks == 77, "outputs are untouched");
  }
}

/* Damage of every kind that can be mended, in one image. */
static BgChild *make_damaged(const char *options)
{
  BgChild *file = make(options);
  unsigned order = order_of(file);
  uint8_t *l2 = first_l2(file), *block = first_block(file);
  uint64_t end = checked(file, BG_FIX_NONE).image_end_offset;
  cr_assert_eq(file->ops->resize(file, end + 40 * CLUSTER), 0);
  if (end / CLUSTER + 1 < CLUSTER * 8u >> order)
    qcow2_refcount_set(block, order, end / CLUSTER + 1, 1); /* a leak */
  qcow2_refcount_set(block, order, 0, 0);
  memcpy(l2, l2 + 8, 8); /* one cluster named twice, another not at all */
  l2[16] &= 0x7f;        /* a mark is missing */
  if (qcow2_get32(bytes_at(file, QCOW2_H_VERSION)) > 2)
    qcow2_put64(bytes_at(file, QCOW2_H_INCOMPATIBLE), QCOW2_INCOMPAT_CORRUPT);
  return file;
}

static const char *const damaged_shapes[] = {"cluster_size=512", "cluster_size=512,refcount_bits=64",
                                             "cluster_size=512,refcount_bits=2", "cluster_size=512,compat=0.10"};

Test(qcow2_check, each_call_fails_once)
{
  for (unsigned nth = 1;; nth++) {
    g_autoptr(BgChild) file = make_damaged("cluster_size=512,refcount_bits=64");
    g_autoptr(GError) error = NULL;
    BgCheckResult before = checked(file, BG_FIX_NONE), result;
    Image *image = image_open(file, NULL, NULL, 0, NULL);
    Watcher watcher = new_watcher();
    mem_child_fail(file, MEM_ALL, nth, ENOLINK, false);
    bool done = bg_driver_find("qcow2")->check(image_instance(image), BG_FIX_ALL, &watcher.watcher, &result, &error);
    bool came = mem_child_has_failed(file);
    mem_child_fail(file, 0, 0, 0, false);
    image_close(image);
    g_free(watcher.last);
    if (came && done)
      cr_assert_neq(result.check_errors, 0, "call %u", nth);
    else if (came)
      cr_assert_eq(error->code, ENOLINK, "call %u: %s", nth, error->message);
    cr_assert_leq(checked(file, BG_FIX_NONE).corruptions, before.corruptions, "call %u", nth);
    BgCheckResult mended = checked(file, BG_FIX_ALL);
    cr_assert_eq(mended.corruptions + mended.leaks, 0, "call %u", nth);
    if (!came)
      break;
  }
}

typedef struct Luck {
  size_t last_flush;
  GRand *random;
} Luck;

static bool keep(size_t index, void *data)
{
  Luck *luck = data;
  return index < luck->last_flush || g_rand_boolean(luck->random);
}

/* Wherever the power goes, nothing is worse than before, and the next one mends it. */
Test(qcow2_check, power_cut_while_mending, .timeout = 120)
{
  g_autoptr(GRand) random = g_rand_new_with_seed(7);
  for (size_t i = 0; i < G_N_ELEMENTS(damaged_shapes); i++) {
    g_autoptr(BgChild) file = make_damaged(damaged_shapes[i]);
    BgCheckResult before = checked(file, BG_FIX_NONE);
    mem_child_record(file);
    BgCheckResult mended = checked(file, BG_FIX_ALL);
    cr_assert(mended.corruptions == 0 && mended.leaks == 0, "%s", damaged_shapes[i]);
    Luck luck = {0, random};
    for (size_t cut = 0; cut <= mem_child_record_length(file); cut++) {
      g_autoptr(BgChild) after = mem_child_replay(file, cut, keep, &luck);
      BgCheckResult found = checked(after, BG_FIX_NONE);
      cr_assert_leq(found.corruptions, before.corruptions, "%s, cut at %zu", damaged_shapes[i], cut);
      if (!(field(after, QCOW2_H_INCOMPATIBLE) & QCOW2_INCOMPAT_CORRUPT))
        cr_assert(found.corruptions == 0 || order_of(file) == 4, "the mark goes last");
      found = checked(after, BG_FIX_ALL);
      cr_assert(found.corruptions == 0 && found.leaks == 0);
      image_assert_sound(after, false);
      if (cut < mem_child_record_length(file) && mem_child_record_is_flush(file, cut))
        luck.last_flush = cut + 1;
    }
  }
}

Test(qcow2_check, marks_go_when_nothing_is_wrong)
{
  g_autoptr(BgChild) file = make("cluster_size=512");
  qcow2_put64(bytes_at(file, QCOW2_H_INCOMPATIBLE), QCOW2_INCOMPAT_CORRUPT | QCOW2_INCOMPAT_DIRTY);
  checked(file, BG_FIX_NONE);
  cr_assert_neq(field(file, QCOW2_H_INCOMPATIBLE), 0);
  uint64_t entry = qcow2_get64(first_l2(file));
  qcow2_put64(first_l2(file), entry | UINT64_C(1) << 60);
  cr_assert_eq(checked(file, BG_FIX_ALL).corruptions, 1);
  cr_assert_eq(field(file, QCOW2_H_INCOMPATIBLE), QCOW2_INCOMPAT_CORRUPT | QCOW2_INCOMPAT_DIRTY);
  qcow2_put64(first_l2(file), entry);
  cr_assert_eq(checked(file, BG_FIX_ALL).corruptions, 0);
  cr_assert_eq(field(file, QCOW2_H_INCOMPATIBLE), 0);
}

/* ── hostile images ── */

/* Every L1 entry names one table, every entry of it one cluster: small, but a walk of each path would never end. */
Test(qcow2_check, many_paths_to_one_table, .timeout = 20)
{
  g_autoptr(BgChild) file = image_create(UINT64_C(128) << 30, "cluster_size=2M", NULL, NULL);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_eq(image_write(image, "x", 1, 0), 0);
  image_close(image);
  uint64_t l1 = 4u << 20, table = qcow2_get64(bytes_at(file, field(file, QCOW2_H_L1_OFFSET)));
  uint64_t end = (uint64_t)file->ops->size(file);
  end = (end + (2u << 20) - 1) & ~((UINT64_C(2) << 20) - 1);
  cr_assert_eq(file->ops->resize(file, end + l1 * 8), 0);
  for (uint64_t i = 0; i < l1; i++)
    qcow2_put64(bytes_at(file, end + i * 8), table);
  uint8_t *l2 = bytes_at(file, table & QCOW2_OFFSET_MASK);
  for (uint64_t i = 0; i < (2u << 20) / 8; i++)
    memcpy(l2 + i * 8, l2, 8);
  qcow2_put64(bytes_at(file, QCOW2_H_L1_OFFSET), end);
  qcow2_put32(bytes_at(file, QCOW2_H_L1_ENTRIES), l1);
  BgCheckResult result = checked(file, BG_FIX_NONE);
  cr_assert_neq(result.corruptions, 0);
}

/* 65536 snapshots that say that they have the largest L1 table, all in the same place. */
Test(qcow2_check, snapshots_that_share_a_huge_table, .timeout = 20)
{
  g_autoptr(BgChild) file = image_create(1 << 20, "cluster_size=65536", NULL, NULL);
  uint64_t count = 65536, table = 1u << 20, l1 = 8u << 20;
  cr_assert_eq(file->ops->resize(file, l1 + (32u << 20)), 0);
  for (uint64_t i = 0; i < count; i++) {
    qcow2_put64(bytes_at(file, table + i * 56), l1);
    qcow2_put32(bytes_at(file, table + i * 56 + 8), 4u << 20);
    qcow2_put32(bytes_at(file, table + i * 56 + 36), 16);
  }
  qcow2_put32(bytes_at(file, QCOW2_H_SNAPSHOT_COUNT), count);
  qcow2_put64(bytes_at(file, QCOW2_H_SNAPSHOTS_OFFSET), table);
  cr_assert_neq(checked(file, BG_FIX_NONE).corruptions, 0);
}

/* ── the first writer of a dirty image ── */

Test(qcow2_check, dirty_image_is_mended_by_its_first_writer)
{
  g_autoptr(BgChild) file = image_create(SIZE, "cluster_size=512,lazy_refcounts=on", NULL, NULL);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_eq(image_write(image, "kept", 4, 70000), 0);
  cr_assert_eq(image_flush(image), 0);
  image_kill(image);
  cr_assert_eq(field(file, QCOW2_H_INCOMPATIBLE), QCOW2_INCOMPAT_DIRTY);
  memset(first_block(file), 0, CLUSTER); /* as if no refcount had ever been written */

  mem_child_reset_counts(file);
  image = image_open(file, NULL, NULL, 0, NULL);
  char bytes[4];
  cr_assert_eq(image_read(image, bytes, 4, 70000), 0);
  cr_assert_eq(mem_child_count(file, MEM_WRITES), 0, "readers change nothing");
  g_autoptr(GError) error = NULL;
  BgMode mode = {.writable = true};
  cr_assert(bg_driver_find("qcow2")->can_change(image_instance(image), &mode, NULL));
  cr_assert(image_set_writable(image, true, &error), "%s", error ? error->message : "");
  cr_assert_eq(image_write(image, "new", 3, 0), 0);
  cr_assert_eq(image_read(image, bytes, 4, 70000), 0);
  cr_assert_eq(memcmp(bytes, "kept", 4), 0);
  image_close(image);
  cr_assert_eq(field(file, QCOW2_H_INCOMPATIBLE), 0);
  cr_assert_eq(field(file, QCOW2_H_COMPATIBLE), QCOW2_COMPAT_LAZY);
  image_assert_sound(file, false);
}

Test(qcow2_check, dirty_image_that_is_damaged_takes_no_writer)
{
  g_autoptr(BgChild) file = make("cluster_size=512");
  qcow2_put64(bytes_at(file, QCOW2_H_INCOMPATIBLE), QCOW2_INCOMPAT_DIRTY);
  first_l2(file)[0] |= 0x20;
  mem_child_reset_counts(file);
  Image *image = image_open(file, NULL, NULL, 0, NULL);
  g_autoptr(GError) error = NULL;
  cr_assert_not(image_set_writable(image, true, &error));
  cr_assert_eq(error->code, EROFS);
  cr_assert_not_null(strstr(error->message, "reserved bits"), "%s", error->message);
  image_close(image);
  cr_assert_eq(mem_child_count(file, MEM_WRITES), 0);
}

/* ── extended L2 entries, data files ── */

Test(qcow2_check, subclusters)
{
  g_autoptr(BgChild) file = make("cluster_size=16K,extended_l2=on");
  uint8_t *entry = first_l2(file);
  uint64_t word = qcow2_get64(entry), bitmap = qcow2_get64(entry + 8);
  uint64_t used = bitmap & (~bitmap + 1);
  cr_assert_neq((uint32_t)bitmap, 0);
  qcow2_put64(entry + 8, bitmap | used << 32);
  cr_assert_eq(checked(file, BG_FIX_NONE).corruptions, 1, "allocated and zeros");
  qcow2_put64(entry + 8, bitmap);
  qcow2_put64(entry, word | QCOW2_ZERO);
  cr_assert_eq(checked(file, BG_FIX_NONE).corruptions, 1, "the zero flag");
  qcow2_put64(entry, 0);
  BgCheckResult result = checked(file, BG_FIX_NONE);
  cr_assert_eq(result.corruptions, 1, "nowhere");
  cr_assert_eq(result.leaks, 1);

  qcow2_put64(entry, word & ~QCOW2_COPIED);
  result = checked(file, BG_FIX_ALL);
  cr_assert_eq(result.corruptions_fixed, 1);
  cr_assert_eq(result.corruptions + result.leaks, 0);
  cr_assert_eq(qcow2_get64(first_l2(file)), word);
  cr_assert_eq(qcow2_get64(first_l2(file) + 8), bitmap);
  image_assert_sound(file, false);
}

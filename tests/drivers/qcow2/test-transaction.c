#include "drivers/qcow2/transaction.h"

#include "tests/drivers/qcow2/image.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

enum { CLUSTER = 4096 };
#define SIZE ((uint64_t)1 << 20)

/* A writable image with some data, clean, and what a transaction has to hold. */
typedef struct Fixture {
  BgChild *file;
  Image *image;
  Qcow2 *q;
  uint8_t *shadow;
  Qcow2State state; /* as it is */
} Fixture;

static Fixture begin(const char *options)
{
  Fixture f = {.file = image_create(SIZE, options, NULL, NULL), .shadow = g_malloc0(SIZE)};
  f.image = image_open_writable(f.file, NULL, NULL, 0);
  f.q = image_instance(f.image);
  memset(f.shadow, 0x31, SIZE / 2);
  cr_assert_eq(image_write(f.image, f.shadow, SIZE / 2, 0), 0);
  for (int i = 0; i < 4; i++)
    cr_assert_eq(image_flush(f.image), 0);
  cr_assert(qcow2_is_clean(f.q));
  f.state = (Qcow2State){SIZE, f.q->header.l1_offset, f.q->header.l1_entries, 0, 0};
  pthread_mutex_lock(&f.q->write_back_lock);
  return f;
}

/* Whatever was done, the image is sound, and its disk what it was. */
static void end(Fixture *f)
{
  pthread_mutex_unlock(&f->q->write_back_lock);
  image_assert_content(f->image, f->shadow, SIZE);
  image_close(f->image);
  image_assert_judged(f->file, f->shadow, SIZE);
  mem_child_free(f->file);
  g_free(f->shadow);
}

static uint64_t refcount(Qcow2Transaction *t, uint64_t cluster)
{
  uint64_t count = UINT64_MAX;
  cr_assert_eq(qcow2_transaction_get(t, cluster, &count), 0);
  return count;
}

/* A cluster of data. */
static uint64_t some_cluster(Fixture *f)
{
  BgExtent extent;
  cr_assert_eq(qcow2_map(f->q, 0, CLUSTER, &extent), 0);
  return extent.offset / CLUSTER;
}

Test(qcow2_transaction, counts_are_its_own_until_the_commit)
{
  Fixture f = begin("cluster_size=4096");
  uint64_t cluster = some_cluster(&f);
  {
    g_auto(Qcow2Transaction) t, other;
    qcow2_transaction_begin(&t, f.q);
    qcow2_transaction_begin(&other, f.q);
    cr_assert_eq(refcount(&t, cluster), 1);
    cr_assert_eq(qcow2_transaction_raise(&t, cluster), 0);
    cr_assert_eq(qcow2_transaction_raise(&t, cluster), 0);
    cr_assert_eq(qcow2_transaction_lower(&t, cluster), 0);
    cr_assert_eq(refcount(&t, cluster), 2);
    cr_assert_eq(refcount(&other, cluster), 1);
  }
  end(&f);
}

Test(qcow2_transaction, what_was_put_is_nowhere_before_the_commit)
{
  Fixture f = begin("cluster_size=4096");
  uint64_t before = mem_child_count(f.file, MEM_PWRITEV), at, other;
  {
    g_auto(Qcow2Transaction) t;
    uint8_t bytes[CLUSTER + 1];
    memset(bytes, 0x77, sizeof bytes);
    qcow2_transaction_begin(&t, f.q);
    cr_assert_eq(qcow2_transaction_put(&t, bytes, sizeof bytes, &at), 0);
    cr_assert_eq(qcow2_transaction_put(&t, bytes, 1, &other), 0);
    cr_assert_eq(at % CLUSTER, 0);
    cr_assert(other < at || other >= at + 2 * CLUSTER);
    cr_assert_eq(refcount(&t, at / CLUSTER + 1), 1);
    cr_assert_eq(refcount(&t, other / CLUSTER), 1);
    uint8_t rest[CLUSTER];
    cr_assert_eq(bg_child_pread(f.file, rest, CLUSTER, at + CLUSTER), 0);
    cr_assert(rest[0] == 0x77 && rest[1] == 0 && memcmp(rest + 1, rest + 2, CLUSTER - 2) == 0, "filled with zeros");
  }
  cr_assert_gt(mem_child_count(f.file, MEM_PWRITEV), before);
  end(&f);
}

/* The commit writes no byte that the old header's tables could see, flushes, and then writes one sector. */
Test(qcow2_transaction, one_write_makes_it_true)
{
  Fixture f = begin("cluster_size=4096");
  uint64_t old_table = f.q->reftable_offset, old_block = f.q->reftable[0];
  {
    g_auto(Qcow2Transaction) t;
    qcow2_transaction_begin(&t, f.q);
    uint64_t cluster;
    cr_assert_eq(qcow2_transaction_take(&t, 1, &cluster), 0);
    cr_assert_eq(qcow2_transaction_lower(&t, cluster), 0);
    mem_child_record(f.file);
    cr_assert_eq(qcow2_transaction_commit(&t, &f.state), 0);
    size_t length = mem_child_record_length(f.file);
    cr_assert_geq(length, 4);
    cr_assert(mem_child_record_is_flush(f.file, length - 1));
    cr_assert(mem_child_record_is_flush(f.file, length - 3));
    for (size_t cut = 0; cut < length; cut++) {
      g_autoptr(BgChild) then = mem_child_replay(f.file, cut, NULL, NULL);
      image_assert_judged(then, f.shadow, SIZE);
    }
  }
  cr_assert_neq(f.q->reftable_offset, old_table);
  cr_assert_neq(f.q->reftable[0], old_block);
  cr_assert_eq(qcow2_get64(mem_child_data(f.file) + QCOW2_H_REFTABLE_OFFSET), f.q->reftable_offset);
  end(&f);
}

/* More blocks than the table has entries: both grow, each for the other. */
Test(qcow2_transaction, the_refcount_table_grows, .timeout = 60)
{
  Fixture f = begin("cluster_size=512,refcount_bits=64");
  uint64_t entries = f.q->reftable_entries, count = entries * f.q->block_clusters, first;
  {
    g_auto(Qcow2Transaction) t;
    qcow2_transaction_begin(&t, f.q);
    cr_assert_eq(qcow2_transaction_take(&t, count, &first), 0);
    for (uint64_t i = 0; i < count; i++)
      cr_assert_eq(qcow2_transaction_lower(&t, first + i), 0);
    cr_assert_eq(qcow2_transaction_commit(&t, &f.state), 0);
  }
  cr_assert_gt(f.q->reftable_entries, entries);
  end(&f);
}

Test(qcow2_transaction, counts_that_cannot_be)
{
  Fixture f = begin("cluster_size=4096,refcount_bits=2");
  uint64_t cluster = some_cluster(&f);
  {
    g_auto(Qcow2Transaction) t;
    qcow2_transaction_begin(&t, f.q);
    cr_assert_eq(qcow2_transaction_raise(&t, cluster), 0);
    cr_assert_eq(qcow2_transaction_raise(&t, cluster), 0);
    cr_assert_eq(qcow2_transaction_raise(&t, cluster), -EOVERFLOW);
    cr_assert_eq(refcount(&t, cluster), 3);
    cr_assert_eq(image_corruptions(f.image), 0);
  }
  end(&f);
}

/* A header that could not be written may be on disk or not: nothing that either names is given to anybody else. */
Test(qcow2_transaction, a_header_that_fails)
{
  Fixture f = begin("cluster_size=4096");
  {
    g_auto(Qcow2Transaction) t;
    uint64_t at, cluster;
    qcow2_transaction_begin(&t, f.q);
    cr_assert_eq(qcow2_transaction_put(&t, "x", 1, &at), 0);
    cr_assert_eq(qcow2_transaction_lower(&t, at / CLUSTER), 0);
    mem_child_fail(f.file, MEM_FLUSH, 2, EIO, true);
    cr_assert_eq(qcow2_transaction_commit(&t, &f.state), -EIO);
    cr_assert(mem_child_has_failed(f.file));
    mem_child_fail(f.file, 0, 0, 0, false);
    for (guint i = 0; i < t.taken->len; i++) {
      cluster = g_array_index(t.taken, uint64_t, i);
      cr_assert(g_hash_table_contains(f.q->quarantined, GSIZE_TO_POINTER(cluster)));
    }
    cr_assert(f.q->header_pending);
  }
  pthread_mutex_unlock(&f.q->write_back_lock);
  cr_assert_eq(image_flush(f.image), 0);
  pthread_mutex_lock(&f.q->write_back_lock);
  end(&f);
}

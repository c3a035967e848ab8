/* What every driver of the registry must do, whatever it is. */
#include "drivers/error.h"
#include "tests/drivers/conformance.h"
#include "tests/drivers/mem-child.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>

TestSuite(conformance, .timeout = 240);

#define MAX_LENGTH 150000

#define NAME(s) (s)->driver->name, (s)->variant->label ? (s)->variant->label : "plain"

static void for_each_variant(void (*test)(Subject *s))
{
  GArray *variants = conformance_variants();
  cr_assert_geq(variants->len, 3);
  for (guint i = 0; i < variants->len; i++) {
    Subject subject;
    subject_init(&subject, &g_array_index(variants, Variant, i));
    test(&subject);
    subject_clear(&subject);
  }
  g_array_unref(variants);
}

static void must_open(Subject *s)
{
  g_autoptr(GError) error = NULL;
  cr_assert(subject_open(s, &error), "%s (%s): %s", NAME(s), error ? error->message : "");
}

static void must_be_writable(Subject *s, bool writable)
{
  g_autoptr(GError) error = NULL;
  cr_assert(shim_set_writable(s->shim, writable, &error), "%s (%s): %s", NAME(s), error ? error->message : "");
}

/* ── facts of the table itself ── */

Test(conformance, tables)
{
  GArray *variants = conformance_variants();
  for (guint i = 0; i < variants->len; i++) {
    Subject s;
    subject_init(&s, &g_array_index(variants, Variant, i));
    const BgDriver *driver = s.driver;
    cr_assert_eq(!driver->options, driver->options_size == 0, "%s", driver->name);
    if (driver->preadv || driver->kind != BG_KIND_FILTER)
      cr_assert_eq(!driver->preadv, !driver->pwritev, "%s", driver->name);
    cr_assert_eq(!driver->reserve, !driver->commit || !driver->abort, "%s", driver->name);
    bool changes = driver->change_open;
    cr_assert(changes == !!driver->change_settle && changes == !!driver->change_commit &&
                  changes == !!driver->change_abort,
              "%s", driver->name);
    cr_assert_neq(driver->summary[strlen(driver->summary) - 1], '.', "%s", driver->name);
    for (const BgOption *option = driver->options; option && option->name; option++) {
      cr_assert(option->help && !g_str_has_suffix(option->help, "."), "%s: %s", driver->name, option->name);
      cr_assert(!option->changeable || changes, "%s: %s", driver->name, option->name);
      cr_assert_lt(option->offset, driver->options_size, "%s: %s", driver->name, option->name);
    }
    subject_clear(&s);
  }
  g_array_unref(variants);
}

/* ── random operations ── */

static void random_range(Subject *s, GRand *rand, bool may_grow, uint64_t *offset, uint64_t *length)
{
  uint64_t end = may_grow ? MIN(s->size + 70000, SHADOW_MAX) : s->size;
  *offset = (uint64_t)g_rand_int_range(rand, 0, (gint32)end);
  gint32 wanted = g_rand_int_range(rand, 1, g_rand_boolean(rand) ? MAX_LENGTH : 3000);
  *length = MIN((uint64_t)wanted, end - *offset);
  if (g_rand_int_range(rand, 0, 3) == 0) { /* aligned, as file systems ask */
    *offset &= ~(uint64_t)4095;
    *length = MIN((*length + 4095) & ~(uint64_t)4095, end - *offset);
  }
}

static int random_operation(Subject *s, GRand *rand)
{
  BgLimits limits;
  shim_limits(s->shim, &limits);
  /* Direct requests write whole blocks, so a node of theirs grows in blocks: not what a shadow of bytes can follow. */
  bool may_grow = limits.grows && limits.request_alignment == 1 && g_rand_int_range(rand, 0, 20) == 0;
  uint64_t offset, length;
  random_range(s, rand, may_grow, &offset, &length);
  switch (g_rand_int_range(rand, 0, 16)) {
  default:
    return subject_write(s, offset, length, g_rand_int(rand));
  case 6:
  case 7:
    return subject_zero(s, offset, length, g_rand_boolean(rand) ? BG_ZERO_MAY_UNMAP : BG_ZERO_NONE);
  case 8:
    return may_grow ? 0 : subject_discard(s, offset, length);
  case 9:
  case 10:
    return subject_check(s, offset, length);
  case 11:
    return shim_flush(s->shim);
  case 12:
    return shim_write_back(s->shim);
  case 13:
    return s->variant->direct ? 0 : subject_resize(s, MAX(s->size / 2, offset) + 4096);
  }
}

static void random_operations(Subject *s)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed(4711);
  must_open(s);
  subject_check_all(s);
  if (s->variant->direct) { /* so that its size is one of whole blocks */
    must_be_writable(s, true);
    cr_assert_eq(subject_resize(s, s->size & ~(uint64_t)4095), 0);
  }
  for (int round = 0; round < 4; round++) {
    must_be_writable(s, true);
    for (int i = 0; i < 120; i++) {
      int rc = random_operation(s, rand);
      cr_assert_eq(rc, 0, "%s (%s): round %d, operation %d gave %d", NAME(s), round, i, rc);
    }
    subject_check_all(s);
    must_be_writable(s, false);
    subject_check_all(s);
    if (round % 2) {
      subject_close(s);
      must_open(s);
      subject_check_all(s);
    }
  }
}

Test(conformance, random_operations)
{
  for_each_variant(random_operations);
}

/* ── a child that fails ── */

/* The steps of one run, chosen to meet every kind of call: first and second writes of the same place, parts of granules, zeros, holes,
 * growth. */
static int step(Subject *s, int number, GError **error)
{
  switch (number) {
  case 0:
  case 12:
    return shim_set_writable(s->shim, true, error) ? 0 : -bg_error_errno(*error);
  case 1:
    return subject_write(s, 1000, 5000, 1);
  case 2:
    return subject_write(s, 700000, 140000, 2);
  case 3:
    return subject_write(s, 2000, 1000, 3);
  case 4:
    return subject_zero(s, 65536, 65536, BG_ZERO_NONE);
  case 5:
    return subject_zero(s, 700000, 70000, BG_ZERO_MAY_UNMAP);
  case 6:
    return shim_flush(s->shim);
  case 7:
    return subject_discard(s, 786432, 32768);
  case 8:
    return subject_write(s, 780000, 40000, 4);
  case 9:
    return subject_resize(s, s->size + 100 * 1024);
  case 10:
    return subject_check(s, 0, s->size);
  case 11:
    return shim_set_writable(s->shim, false, error) ? 0 : -bg_error_errno(*error);
  case 13:
    return subject_write(s, 100, 200000, 5);
  case 14:
    return shim_write_back(s->shim);
  case 15:
    return subject_write(s, s->size - 100, 100, 6);
  default:
    return shim_flush(s->shim);
  }
}

#define STEPS 17

/* Fails the nth call of a kind, tells whether it came, and asserts that its errno came up, and that trying again works. */
static bool fail_nth(const Variant *variant, unsigned kinds, uint64_t nth, int err, bool from_then_on)
{
  Subject subject, *s = &subject;
  subject_init(s, variant);
  mem_child_fail(s->file, kinds, nth, err, from_then_on);
  g_autoptr(GError) open_error = NULL;
  if (!subject_open(s, &open_error)) {
    cr_assert_eq(bg_error_errno(open_error), err, "%s (%s): %s", NAME(s), open_error->message);
    mem_child_fail(s->file, 0, 0, 0, false);
    must_open(s);
  }
  bool failed = false;
  for (int i = 0; i < STEPS; i++) {
    g_autoptr(GError) error = NULL, second_error = NULL;
    int rc = step(s, i, &error);
    if (rc == 0)
      continue;
    cr_assert_eq(rc, -err, "%s (%s): step %d gave %d when call %d failed", NAME(s), i, rc, (int)nth);
    mem_child_fail(s->file, 0, 0, 0, false);
    failed = true;
    rc = step(s, i, &second_error);
    /* A mark that was written just before the child died could not be taken back: then it may keep writers out. */
    if (rc == -EROFS && from_then_on && second_error)
      break;
    cr_assert_eq(rc, 0, "%s (%s): step %d gave %d again after call %d failed: %s", NAME(s), i, rc, (int)nth,
                 second_error ? second_error->message : "");
  }
  failed = failed || open_error || mem_child_has_failed(s->file);
  mem_child_fail(s->file, 0, 0, 0, false);
  subject_check_all(s);
  subject_close(s);
  must_open(s);
  subject_check_all(s);
  subject_clear(s);
  return failed;
}

/* One thread tells ThreadSanitizer little, and takes it long. */
#ifdef __SANITIZE_THREAD__
#define STRIDE 9
#else
#define STRIDE 1
#endif

static void fail_every_call(unsigned kinds, int err, bool from_then_on)
{
  GArray *variants = conformance_variants();
  for (guint i = 0; i < variants->len; i++) {
    const Variant *variant = &g_array_index(variants, Variant, i);
    Subject probe;
    subject_init(&probe, variant);
    bool has_child = probe.file;
    subject_clear(&probe);
    uint64_t nth = 1;
    while (has_child && fail_nth(variant, kinds, nth, err, from_then_on))
      nth += nth < 60 ? STRIDE : STRIDE + nth / 20;
  }
  g_array_unref(variants);
}

Test(conformance, a_failing_read)
{
  fail_every_call(MEM_PREADV, EIO, false);
}

Test(conformance, a_failing_write)
{
  fail_every_call(MEM_WRITES, ENOSPC, false);
}

Test(conformance, a_failing_flush)
{
  fail_every_call(MEM_FLUSH, EIO, false);
}

Test(conformance, a_dying_child)
{
  fail_every_call(MEM_ALL, EIO, true);
}

/* ── threads ── */

#define THREADS 4
#define PIECE   3000

typedef struct Worker {
  Subject *s;
  int number;
  int error;
} Worker;

/* Every fourth piece of the node is this worker's; they share clusters, tables and caches with those of others. */
static void *work(void *data)
{
  Worker *worker = data;
  Subject *s = worker->s;
  g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)worker->number);
  int pieces = (int)(s->size / PIECE / THREADS);
  for (int i = 0; i < 200 && worker->error == 0; i++) {
    uint64_t offset = (uint64_t)(g_rand_int_range(rand, 0, pieces) * THREADS + worker->number) * PIECE;
    switch (g_rand_int_range(rand, 0, 8)) {
    case 0:
      worker->error = subject_zero(s, offset, PIECE, g_rand_boolean(rand) ? BG_ZERO_MAY_UNMAP : BG_ZERO_NONE);
      break;
    case 1:
      worker->error = i % 8 == 0 ? shim_flush(s->shim) : shim_write_back(s->shim);
      break;
    case 2:
    case 3:
      worker->error = subject_check(s, offset, PIECE);
      break;
    default:
      worker->error = subject_write(s, offset, PIECE, g_rand_int(rand));
    }
  }
  return NULL;
}

static void threads(Subject *s)
{
  must_open(s);
  must_be_writable(s, true);
  Worker workers[THREADS];
  pthread_t ids[THREADS];
  for (int i = 0; i < THREADS; i++) {
    workers[i] = (Worker){s, i, 0};
    cr_assert_eq(pthread_create(&ids[i], NULL, work, &workers[i]), 0);
  }
  for (int i = 0; i < THREADS; i++)
    pthread_join(ids[i], NULL);
  for (int i = 0; i < THREADS; i++)
    cr_assert_eq(workers[i].error, 0, "%s (%s)", NAME(s));
  subject_check_all(s);
  subject_close(s);
  must_open(s);
  subject_check_all(s);
}

Test(conformance, threads)
{
  for_each_variant(threads);
}

typedef struct Reader {
  Subject *s;
  int stop; /* atomic */
  int error;
} Reader;

static void *read_on(void *data)
{
  Reader *reader = data;
  uint64_t offset = 0;
  while (!__atomic_load_n(&reader->stop, __ATOMIC_RELAXED) && reader->error == 0) {
    reader->error = subject_check(reader->s, offset % (reader->s->size - 10000), 10000);
    offset += 7777;
  }
  return NULL;
}

/* A change of mode alone closes no gate: readers go on meanwhile. */
static void readers_during_changes(Subject *s)
{
  must_open(s);
  must_be_writable(s, true);
  cr_assert_eq(subject_write(s, 5000, 200000, 7), 0);
  Reader readers[2] = {{s}, {s}};
  pthread_t ids[2];
  for (int i = 0; i < 2; i++)
    cr_assert_eq(pthread_create(&ids[i], NULL, read_on, &readers[i]), 0);
  for (int i = 0; i < 20; i++)
    must_be_writable(s, i % 2);
  for (int i = 0; i < 2; i++) {
    __atomic_store_n(&readers[i].stop, 1, __ATOMIC_RELAXED);
    pthread_join(ids[i], NULL);
    cr_assert_eq(readers[i].error, 0, "%s (%s)", NAME(s));
  }
}

Test(conformance, readers_during_changes)
{
  for_each_variant(readers_during_changes);
}

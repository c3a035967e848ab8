#include "tests/crash/self-test.h"

#include "tests/crash/errors.h"
#include "tests/crash/judge.h"
#include "tests/crash/power.h"

#include "drivers/registry.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { ORDER_STATES = 120, SEED = 1 };

static const CrashFormat *find(const CrashFormat *formats, const char *name)
{
  while (formats->name && strcmp(formats->name, name) != 0)
    formats++;
  g_assert(formats->name);
  return formats;
}

static void count(SelfTestResult *result, bool tried, bool noticed, const char *config, const char *what)
{
  result->skipped += !tried;
  result->passed += tried && noticed;
  result->failed += tried && !noticed;
  if (tried && !noticed)
    printf("FAIL self-test, %s: nobody noticed: %s\n", config, what);
}

/* ── wrong drivers ── */

typedef struct Wrong {
  const char *config, *what;
  RecordFault fault;
  unsigned file;
} Wrong;

static const Wrong wrong_orders[] = {
    {"512", "no flush of the image", RECORD_NO_FLUSH, CRASH_IMAGE},
    {"4k", "flushes of the image come late", RECORD_LATE_FLUSH, CRASH_IMAGE},
    {"4k-luks", "no flush of an encrypted image", RECORD_NO_FLUSH, CRASH_IMAGE},
    {"4k-data-file", "no flush of the data file", RECORD_NO_FLUSH, CRASH_DATA},
    {"4k-data-file", "flushes of the data file come late", RECORD_LATE_FLUSH, CRASH_DATA},
    {"4k-data-file", "no flush of the image beside a data file", RECORD_NO_FLUSH, CRASH_IMAGE},
    {"4k-data-file-raw", "no flush of a raw data file", RECORD_NO_FLUSH, CRASH_DATA},
    {"4k-lazy-snapshot", "no flush of an image with snapshots", RECORD_NO_FLUSH, CRASH_IMAGE},
};

static void try_orders(const CrashFormat *formats, SelfTestResult *result)
{
  for (size_t i = 0; i < G_N_ELEMENTS(wrong_orders); i++) {
    const Wrong *wrong = &wrong_orders[i];
    PowerPlan plan = {.seed = SEED, .states = ORDER_STATES, .fault = wrong->fault, .fault_file = wrong->file};
    PowerResult power;
    bool tried = power_run(find(formats, wrong->config), &plan, &power);
    count(result, tried, power.failures, wrong->config, wrong->what);
  }
}

static void try_deafness(const CrashFormat *formats, SelfTestResult *result)
{
  ErrorPlan plan = {.seed = SEED, .operations = 60, .stride = 40, .only = -1, .fault = RECORD_DEAF};
  ErrorResult errors;
  bool tried = errors_run(find(formats, "4k"), &plan, &errors);
  count(result, tried, errors.failures, "4k", "errors are taken for successes");
}

/* ── broken images ── */

/* Files whose disk has what a script wrote, closed. */
typedef struct Patient {
  const char *config;
  Origin *origin;
  Session *session;
  CrashFiles files; /* to be broken */
  Shim *shim;       /* open on them, read-only, from before that */
} Patient;

static void patient_clear(Patient *patient)
{
  shim_close(patient->shim);
  crash_files_clear(&patient->files);
  session_free(patient->session);
  origin_free(patient->origin);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Patient, patient_clear)

/* False: cannot be tried here, or fails, which is counted. */
static bool patient_begin(const CrashFormat *format, Patient *patient, SelfTestResult *result)
{
  g_autoptr(GError) error = NULL;
  *patient = (Patient){.config = format->name, .origin = origin_new(format, SEED, &error)};
  if (patient->origin)
    patient->session = session_new(patient->origin, &error);
  Session *s = patient->session;
  if (s && session_run(s, format->operations / 2, NULL, &error) && session_set_writable(s, false, &error)) {
    patient->files = crash_files_copy(&s->files);
    patient->shim = session_open(s, &patient->files, &error);
  }
  if (patient->shim)
    return true;
  count(result, bg_error_errno(error) != ENOPKG, false, format->name, error->message);
  patient_clear(patient);
  *patient = (Patient){0};
  return false;
}

static JudgeTask task_of(const Patient *patient)
{
  return (JudgeTask){.cut = record_length(patient->session->record)};
}

/* A judge found nothing, or something else: that is a failure. */
static void expect(SelfTestResult *result, const Patient *patient, const char *what, const char *says, bool fine,
                   const GError *error)
{
  bool noticed = !fine && error && strstr(error->message, says);
  count(result, true, noticed, patient->config, what);
  if (!noticed && error)
    printf("  but: %s\n", error->message);
}

static void expect_bad_cut(SelfTestResult *result, const Patient *patient, const char *what, const char *says)
{
  g_autoptr(GError) error = NULL;
  JudgeTask task = task_of(patient);
  bool fine = judge_cut(patient->session, &patient->files, &task, &error);
  expect(result, patient, what, says, fine, error);
}

/* The patient is healthy, and all judges say so. */
static void try_health(const CrashFormat *format, SelfTestResult *result)
{
  g_auto(Patient) patient = {0};
  g_autoptr(GError) error = NULL;
  if (!patient_begin(format, &patient, result))
    return;
  JudgeTask task = task_of(&patient);
  task.foreign = task.compare = task.write = true;
  bool fine = judge_cut(patient.session, &patient.files, &task, &error);
  count(result, true, fine, format->name, fine ? "" : error->message);
}

/* One kind of damage, before each judge by itself. */
static void try_damage(const CrashFormat *format, const CrashDamage *damage, SelfTestResult *result)
{
  g_auto(Patient) patient = {0};
  CrashCount counted;
  if (!patient_begin(format, &patient, result))
    return;
  damage->damage(patient.files.of[CRASH_IMAGE]);
  g_autoptr(GError) ours = NULL, drivers = NULL, foreign = NULL;
  bool fine = format->judge(format, &patient.files, &counted, &ours);
  expect(result, &patient, damage->name, damage->says, fine, ours);
  if (!damage->foreign)
    return;
  fine = judge_by_driver(patient.session, patient.shim, &counted, &drivers);
  expect(result, &patient, damage->name, "corruptions", fine, drivers);
  fine = format->judge_foreign(format, &patient.files, NULL, 0, &counted, &foreign);
  if (bg_error_errno(foreign) == ENOPKG)
    count(result, false, false, format->name, damage->name);
  else
    expect(result, &patient, damage->name, "qemu-img check ends with 2", fine, foreign);
}

static void try_damages(const CrashFormat *format, SelfTestResult *result)
{
  for (const CrashDamage *damage = format->damages; damage->name; damage++)
    try_damage(format, damage, result);
}

/* ── wrong content ── */

typedef struct Place {
  BgChild *child;
  uint64_t offset;
} Place;

/* Where the sector at `at` of the disk lies, or (`view`) of a snapshot; child NULL: nowhere. */
static Place find_sector(const Patient *patient, void *view, uint64_t at)
{
  const BgDriver *driver = bg_driver_find(patient->origin->format->driver);
  BgExtent extent;
  int rc = view ? driver->view->map(view, at, SHADOW_SECTOR, &extent)
                : driver->map(shim_instance(patient->shim), at, SHADOW_SECTOR, &extent);
  g_assert(rc == 0);
  if (extent.kind != BG_EXTENT_DATA)
    return (Place){NULL, 0};
  bool image = strcmp(extent.child->name, "file") == 0;
  return (Place){patient->files.of[image ? CRASH_IMAGE : CRASH_DATA], extent.offset};
}

static uint8_t *bytes_at(Place place)
{
  return mem_child_data(place.child) + place.offset;
}

/* The first sector of data from *at on. */
static Place find_data(const Patient *patient, uint64_t *at)
{
  Place place = find_sector(patient, NULL, *at);
  while (!place.child && *at < patient->origin->format->size)
    place = find_sector(patient, NULL, *at += SHADOW_SECTOR);
  g_assert(place.child);
  return place;
}

static void lose_byte(Patient *patient)
{
  uint64_t at = 0;
  *bytes_at(find_data(patient, &at)) ^= 1;
}

/* As if space had been used again too early. */
static void show_stale(Patient *patient)
{
  uint64_t at = 0;
  Place from = find_data(patient, &at), to = from;
  while (memcmp(bytes_at(from), bytes_at(to), SHADOW_SECTOR) == 0) {
    at += SHADOW_SECTOR;
    to = find_data(patient, &at);
  }
  memcpy(bytes_at(to), bytes_at(from), SHADOW_SECTOR);
}

/* A sector that the snapshot shows and the disk does not, or no longer; child NULL: there is none. */
static Place find_kept(const Patient *patient, const char *id)
{
  const BgDriver *driver = bg_driver_find(patient->origin->format->driver);
  void *view = driver->view_open(shim_instance(patient->shim), id);
  Place place = {NULL, 0};
  for (uint64_t at = 0; !place.child && at < patient->origin->format->size / 2; at += SHADOW_SECTOR) {
    Place disk = find_sector(patient, NULL, at);
    place = find_sector(patient, view, at);
    if (place.offset == disk.offset)
      place.child = NULL;
  }
  driver->view->close(view);
  return place;
}

/* All that the snapshots show stays theirs alone: the disk is written over, with what it reads as. */
static void leave_snapshots(Patient *patient)
{
  uint64_t length = patient->origin->format->reach;
  g_autofree uint8_t *bytes = g_malloc(length);
  g_assert(shim_set_writable(patient->shim, true, NULL));
  g_assert(shim_read(patient->shim, bytes, length, 0) == 0 && shim_write(patient->shim, bytes, length, 0) == 0);
  g_assert(shim_set_writable(patient->shim, false, NULL));
}

static void change_snapshot(Patient *patient)
{
  leave_snapshots(patient);
  g_autoptr(GPtrArray) list = shim_snapshots(patient->shim);
  Place place = {NULL, 0};
  for (guint i = 0; i < list->len && !place.child; i++)
    place = find_kept(patient, ((BgSnapshot *)list->pdata[i])->id);
  g_assert(place.child);
  *bytes_at(place) ^= 1;
}

static void take_another(Patient *patient)
{
  const BgDriver *driver = bg_driver_find(patient->origin->format->driver);
  g_assert(shim_set_writable(patient->shim, true, NULL));
  g_assert(driver->snapshot_create(shim_instance(patient->shim), "another", NULL));
  g_assert(shim_set_writable(patient->shim, false, NULL));
}

static void delete_one(Patient *patient)
{
  const BgDriver *driver = bg_driver_find(patient->origin->format->driver);
  g_autoptr(GPtrArray) list = shim_snapshots(patient->shim);
  g_assert(shim_set_writable(patient->shim, true, NULL));
  g_assert(driver->snapshot_delete(shim_instance(patient->shim), ((BgSnapshot *)list->pdata[0])->id, NULL));
  g_assert(shim_set_writable(patient->shim, false, NULL));
}

static void resize_disk(Patient *patient)
{
  g_assert(shim_set_writable(patient->shim, true, NULL));
  g_assert(shim_resize(patient->shim, patient->origin->size + 512 * 9) == 0);
  g_assert(shim_set_writable(patient->shim, false, NULL));
}

/* The disk changes by a writer that forgets to mark what it does: in place, under the driver. */
static void change_unmarked(Patient *patient)
{
  session_fill(patient->origin->content, patient->origin->size, SEED);
}

typedef struct Change {
  const char *config, *what;
  void (*change)(Patient *patient);
  const char *says;
} Change;

static const Change changes[] = {
    {"4k", "a byte of the disk is another", lose_byte, "holds what was never written"},
    {"4k", "a sector shows what another got", show_stale, "holds what sector"},
    {"4k", "the disk has another size", resize_disk, "which it never had"},
    {"4k-luks", "a byte of the ciphertext is another", lose_byte, "holds what was never written"},
    {"4k-luks", "ciphertext of another place", show_stale, "holds what was never written"},
    {"4k-data-file", "a byte of the data file is another", lose_byte, "holds what was never written"},
    {"4k-data-file", "a sector of the data file shows what another got", show_stale, "holds what sector"},
    {"512-snapshot", "a snapshot shows something else", change_snapshot, "shows something else"},
    {"512-snapshot", "a snapshot that nobody took", take_another, "which nobody took"},
    {"512-snapshot", "a snapshot is gone", delete_one, "is not there"},
    {"512-bitmaps", "changes that a bitmap misses", change_unmarked, "misses the change"},
};

static void try_changes(const CrashFormat *formats, SelfTestResult *result)
{
  for (size_t i = 0; i < G_N_ELEMENTS(changes); i++) {
    const Change *change = &changes[i];
    g_auto(Patient) patient = {0};
    if (!patient_begin(find(formats, change->config), &patient, result))
      continue;
    change->change(&patient);
    expect_bad_cut(result, &patient, change->what, change->says);
  }
}

/* ── judges that differ ── */

static void try_disagreement(SelfTestResult *result)
{
  static const CrashCount counts[] = {{0, 0}, {0, 1}, {1, 0}};
  for (size_t i = 0; i < G_N_ELEMENTS(counts); i++) {
    g_autoptr(GError) error = NULL;
    bool agreed = judge_agree("another", &counts[i], &counts[0], &error);
    count(result, true, agreed == (i == 0), "any", "two judges count differently");
  }
}

void self_test_run(const CrashFormat *formats, SelfTestResult *result)
{
  *result = (SelfTestResult){0};
  try_health(find(formats, "512-snapshot"), result);
  try_health(find(formats, "4k-luks-data-file"), result);
  try_damages(find(formats, "4k"), result);
  try_changes(formats, result);
  try_disagreement(result);
  try_orders(formats, result);
  try_deafness(formats, result);
}

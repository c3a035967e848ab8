#include "tests/crash/origin.h"

#include "drivers/registry.h"
#include "tests/crash/random.h"
#include "tests/crash/session.h"

#include <string.h>

enum { WARM_UP = 60 };

static const uint8_t passphrase[] = "passphrase";
const BgSecret origin_secret = {ORIGIN_SECRET_ID, passphrase, sizeof passphrase - 1};

Shim *origin_open(const Origin *origin, const CrashFiles *files, GError **error)
{
  ShimSetup setup = {.driver = bg_driver_find(origin->format->driver),
                     .options = origin->format->open_options,
                     .file = files->of[CRASH_IMAGE],
                     .backing = origin->backing,
                     .special = origin->format->special,
                     .data = files->of[CRASH_DATA],
                     .secret = &origin_secret};
  return shim_open(&setup, error);
}

void origin_free(Origin *origin)
{
  if (!origin)
    return;
  crash_files_clear(&origin->files);
  mem_child_free(origin->backing);
  g_free(origin->content);
  snapshots_free(origin->snapshots);
  g_free(origin);
}

/* ── an empty image ── */

static BgChild *make_backing(const CrashFormat *format, uint64_t seed)
{
  uint64_t size = format->size - format->size / 8; /* shorter than the disk */
  BgChild *backing = mem_child_new(size);
  session_fill(mem_child_data(backing), size, seed);
  return backing;
}

static bool need_secret(const BgCreate *create, const char *id, const BgSecret **secret, GError **error)
{
  (void)create;
  (void)id;
  (void)error;
  *secret = &origin_secret;
  return true;
}

static bool create_image(Origin *origin, GError **error)
{
  const CrashFormat *format = origin->format;
  origin->files.of[CRASH_IMAGE] = mem_child_new(0);
  origin->files.of[CRASH_DATA] = format->data_file ? mem_child_new(0) : NULL;
  BgCreate create = {.size = format->size,
                     .file = origin->files.of[CRASH_IMAGE],
                     .backing_file = format->backing,
                     .backing_format = format->backing ? "raw" : NULL,
                     .need_secret = need_secret,
                     .data_file = origin->files.of[CRASH_DATA]};
  return shim_create(bg_driver_find(format->driver), format->create_options, &create, error);
}

static Origin *origin_empty(const CrashFormat *format, uint64_t seed, GError **error)
{
  g_autoptr(Origin) origin = g_new0(Origin, 1);
  origin->format = format;
  origin->random = seed;
  origin->size = format->size;
  origin->capacity = format->size * 2;
  origin->content = g_malloc0(origin->capacity);
  origin->snapshots = snapshots_new();
  if (format->backing) {
    origin->backing = make_backing(format, random_next(&origin->random));
    bg_child_pread(origin->backing, origin->content, origin->size, 0);
  }
  return create_image(origin, error) ? g_steal_pointer(&origin) : NULL;
}

/* ── a used one ── */

/* Takes over where the session stands, read-only. */
static Origin *capture(Origin *empty, Session *s)
{
  Origin *origin = g_new0(Origin, 1);
  origin->format = empty->format;
  origin->files = crash_files_copy(&s->files);
  origin->backing = g_steal_pointer(&empty->backing);
  origin->content = g_memdup2(shadow_content(s->shadow), empty->capacity);
  origin->size = shadow_size(s->shadow);
  origin->capacity = empty->capacity;
  origin->snapshots = snapshots_copy(s->snapshots);
  origin->taken = s->taken;
  origin->random = s->random;
  return origin;
}

/* What the format wants beside, and what others have put into the image so. */
static bool prepare(Origin *origin, GError **error)
{
  const CrashFormat *format = origin->format;
  if (format->prepare && !format->prepare(format, &origin->files, error))
    return false;
  g_autoptr(Shim) shim = origin_open(origin, &origin->files, error);
  if (shim)
    snapshots_restart(origin->snapshots, shim, (SnapshotContent){origin->content, origin->size});
  return shim;
}

Origin *origin_new(const CrashFormat *format, uint64_t seed, GError **error)
{
  g_autoptr(Origin) empty = origin_empty(format, seed, error);
  g_autoptr(Session) s = empty ? session_new(empty, error) : NULL;
  if (!s || !session_run(s, WARM_UP, NULL, error) || !session_set_writable(s, false, error))
    return NULL;
  g_autoptr(Origin) origin = capture(empty, s);
  return prepare(origin, error) ? g_steal_pointer(&origin) : NULL;
}

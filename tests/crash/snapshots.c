#include "tests/crash/snapshots.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* Whether it is there, from a moment on. */
typedef struct Version {
  bool there;
  size_t begin, flushed; /* flushed: SIZE_MAX: not yet */
} Version;

typedef struct Kept {
  char *name;
  uint8_t *bytes; /* NULL: whatever it shows */
  uint64_t size;
  GArray *versions; /* of Version, in order, at least one, the first flushed */
} Kept;

struct Snapshots {
  GPtrArray *all; /* Kept *, also those that are gone */
};

static void kept_free(void *data)
{
  Kept *kept = data;
  g_free(kept->name);
  g_free(kept->bytes);
  g_array_unref(kept->versions);
  g_free(kept);
}

Snapshots *snapshots_new(void)
{
  Snapshots *snapshots = g_new(Snapshots, 1);
  snapshots->all = g_ptr_array_new_with_free_func(kept_free);
  return snapshots;
}

void snapshots_free(Snapshots *snapshots)
{
  if (snapshots)
    g_ptr_array_unref(snapshots->all);
  g_free(snapshots);
}

Snapshots *snapshots_copy(const Snapshots *snapshots)
{
  Snapshots *copy = snapshots_new();
  for (guint i = 0; i < snapshots->all->len; i++) {
    const Kept *kept = snapshots->all->pdata[i];
    Kept *new = g_new(Kept, 1);
    *new = (Kept){g_strdup(kept->name), g_memdup2(kept->bytes, kept->size), kept->size, g_array_copy(kept->versions)};
    g_ptr_array_add(copy->all, new);
  }
  return copy;
}

/* ── what happens ── */

static const Version *last_version(const Kept *kept)
{
  return &g_array_index(kept->versions, Version, kept->versions->len - 1);
}

static void add_version(Kept *kept, bool there, size_t begin, size_t flushed)
{
  Version version = {there, begin, flushed};
  g_array_append_val(kept->versions, version);
}

static Kept *add(Snapshots *snapshots, const char *name, SnapshotContent content, bool there)
{
  Kept *kept = g_new(Kept, 1);
  *kept = (Kept){g_strdup(name), g_memdup2(content.bytes, content.size), content.size,
                 g_array_new(FALSE, FALSE, sizeof(Version))};
  add_version(kept, there, 0, 0);
  g_ptr_array_add(snapshots->all, kept);
  return kept;
}

static Kept *find(const Snapshots *snapshots, const char *name)
{
  for (guint i = 0; i < snapshots->all->len; i++) {
    Kept *kept = snapshots->all->pdata[i];
    if (strcmp(kept->name, name) == 0)
      return kept;
  }
  return NULL;
}

guint snapshots_count(const Snapshots *snapshots)
{
  guint count = 0;
  for (guint i = 0; i < snapshots->all->len; i++)
    count += last_version(snapshots->all->pdata[i])->there;
  return count;
}

const char *snapshots_name(const Snapshots *snapshots, guint index)
{
  for (guint i = 0; i < snapshots->all->len; i++) {
    const Kept *kept = snapshots->all->pdata[i];
    if (last_version(kept)->there && index-- == 0)
      return kept->name;
  }
  return NULL;
}

SnapshotContent snapshots_content(const Snapshots *snapshots, const char *name)
{
  const Kept *kept = find(snapshots, name);
  return (SnapshotContent){kept->bytes, kept->size};
}

void snapshots_take(Snapshots *snapshots, const char *name, size_t begin, SnapshotContent content, bool done)
{
  Kept *kept = add(snapshots, name, done ? content : (SnapshotContent){NULL, content.size}, false);
  add_version(kept, true, begin, SIZE_MAX);
  if (!done)
    add_version(kept, false, begin, SIZE_MAX);
}

void snapshots_delete(Snapshots *snapshots, const char *name, size_t begin, bool done)
{
  Kept *kept = find(snapshots, name);
  add_version(kept, false, begin, SIZE_MAX);
  if (!done)
    add_version(kept, true, begin, SIZE_MAX);
}

void snapshots_flushed(Snapshots *snapshots, size_t end)
{
  for (guint i = 0; i < snapshots->all->len; i++) {
    GArray *versions = ((Kept *)snapshots->all->pdata[i])->versions;
    for (guint j = 0; j < versions->len; j++) {
      Version *version = &g_array_index(versions, Version, j);
      version->flushed = MIN(version->flushed, end);
    }
  }
}

void snapshots_restart(Snapshots *snapshots, Shim *shim, SnapshotContent content)
{
  for (guint i = snapshots->all->len; i-- > 0;) {
    Kept *kept = snapshots->all->pdata[i];
    bool there = last_version(kept)->there;
    g_array_set_size(kept->versions, 0);
    add_version(kept, true, 0, 0);
    if (!there)
      g_ptr_array_remove_index(snapshots->all, i);
  }
  g_autoptr(GPtrArray) list = shim_snapshots(shim);
  for (guint i = 0; i < list->len; i++) {
    const char *name = ((BgSnapshot *)list->pdata[i])->name;
    if (!find(snapshots, name))
      add(snapshots, name, content, true);
  }
}

/* ── judging ── */

static const BgSnapshot *find_listed(const GPtrArray *list, const char *name)
{
  for (guint i = 0; i < list->len; i++) {
    const BgSnapshot *one = list->pdata[i];
    if (strcmp(one->name, name) == 0)
      return one;
  }
  return NULL;
}

static bool judge_content(const Kept *kept, const BgSnapshot *listed, Shim *shim, GError **error)
{
  if (!kept->bytes)
    return true;
  if (listed->size != kept->size) {
    bg_set_error(error, EILSEQ, "the snapshot %s has %" PRIu64 " bytes instead of %" PRIu64, kept->name, listed->size,
                 kept->size);
    return false;
  }
  g_autofree uint8_t *seen = g_malloc(kept->size);
  int rc = shim_read_snapshot(shim, listed->id, seen, kept->size);
  if (rc < 0)
    bg_set_error_errno(error, -rc, "the snapshot %s cannot be read", kept->name);
  if (rc < 0 || memcmp(seen, kept->bytes, kept->size) == 0)
    return rc == 0;
  uint64_t at = 0;
  while (seen[at] == kept->bytes[at])
    at++;
  bg_set_error(error, EILSEQ, "the snapshot %s shows something else from byte %" PRIu64 " on", kept->name, at);
  return false;
}

static bool allows(const Kept *kept, bool there, size_t cut)
{
  for (guint i = kept->versions->len; i-- > 0;) {
    const Version *version = &g_array_index(kept->versions, Version, i);
    if (version->there == there && (version->flushed <= cut || version->begin < cut))
      return true;
    if (version->flushed <= cut)
      return false;
  }
  return false;
}

/* `now`: as it is now; else as it may be after the cut. */
static bool judge(const Snapshots *snapshots, bool now, size_t cut, Shim *shim, GError **error)
{
  g_autoptr(GPtrArray) list = shim_snapshots(shim);
  for (guint i = 0; i < list->len; i++) {
    const BgSnapshot *listed = list->pdata[i];
    if (find(snapshots, listed->name))
      continue;
    bg_set_error(error, EILSEQ, "there is a snapshot %s, which nobody took", listed->name);
    return false;
  }
  for (guint i = 0; i < snapshots->all->len; i++) {
    const Kept *kept = snapshots->all->pdata[i];
    const BgSnapshot *listed = find_listed(list, kept->name);
    if (now ? last_version(kept)->there != !!listed : !allows(kept, listed, cut)) {
      bg_set_error(error, EILSEQ, "the snapshot %s is %s", kept->name, listed ? "there" : "not there");
      return false;
    }
    if (listed && !judge_content(kept, listed, shim, error))
      return false;
  }
  return true;
}

bool snapshots_allow(const Snapshots *snapshots, size_t cut, Shim *shim, GError **error)
{
  return judge(snapshots, false, cut, shim, error);
}

bool snapshots_equal(const Snapshots *snapshots, Shim *shim, GError **error)
{
  return judge(snapshots, true, 0, shim, error);
}

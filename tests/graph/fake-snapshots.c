#include "tests/graph/fake-snapshots.h"

#include <errno.h>
#include <string.h>

typedef struct Shots {
  BgChild *file;
  uint64_t size; /* 0: the file's */
} Shots;

static GPtrArray *shots; /* BgSnapshot * */
static int next_error;

static BgSnapshot *shot_new(const char *id, const char *name, uint64_t size)
{
  BgSnapshot *shot = g_new0(BgSnapshot, 1);
  shot->id = g_strdup(id);
  shot->name = g_strdup(name);
  shot->size = size;
  return shot;
}

void shots_set(unsigned count, uint64_t size)
{
  g_clear_pointer(&shots, g_ptr_array_unref);
  shots = bg_snapshot_list_new();
  for (unsigned i = 1; i <= count; i++) {
    g_autofree char *id = g_strdup_printf("%u", i), *name = g_strdup_printf("s%u", i);
    g_ptr_array_add(shots, shot_new(id, name, size));
  }
}

void shots_fail(int err)
{
  next_error = err;
}

static bool fails(GError **error)
{
  if (next_error)
    bg_set_error_errno(error, next_error, "as the test says");
  return next_error;
}

static int find(const char *id)
{
  for (guint i = 0; i < shots->len; i++)
    if (strcmp(((BgSnapshot *)shots->pdata[i])->id, id) == 0)
      return (int)i;
  return -1;
}

/* ── the disk ── */

static const BgChildSpec shots_children[] = {{"file", "the storage", true}, {NULL}};

static void *shots_open(BgHost *host, const void *options, const BgMode *mode, GError **error)
{
  (void)options, (void)mode;
  BgChild *file;
  if (!host->need_child(host, "file", BG_ROLE_PRIMARY | BG_ROLE_DATA | BG_ROLE_METADATA, NULL, NULL, &file, error))
    return NULL;
  Shots *instance = g_new(Shots, 1);
  *instance = (Shots){file, 0};
  return instance;
}

static int64_t shots_size(void *instance)
{
  const Shots *s = instance;
  return s->size ? (int64_t)s->size : s->file->ops->size(s->file);
}

static int shots_map(void *instance, uint64_t offset, uint64_t length, BgExtent *extent)
{
  const Shots *s = instance;
  *extent = (BgExtent){BG_EXTENT_DATA, BG_EXTENT_IN_PLACE, length, s->file, offset};
  return 0;
}

/* ── snapshots ── */

static GPtrArray *shots_list(void *instance, size_t most, size_t *count)
{
  (void)instance;
  if (count)
    *count = shots->len;
  GPtrArray *list = bg_snapshot_list_new();
  for (guint i = 0; i < MIN(shots->len, most); i++) {
    const BgSnapshot *one = shots->pdata[i];
    g_ptr_array_add(list, shot_new(one->id, one->name, one->size));
  }
  return list;
}

static bool shots_create(void *instance, const char *name, GError **error)
{
  g_autofree char *id = g_strdup_printf("%u", shots->len + 1);
  if (fails(error))
    return false;
  g_ptr_array_add(shots, shot_new(id, name, (uint64_t)shots_size(instance)));
  return true;
}

static bool shots_apply(void *instance, const char *id, GError **error)
{
  int index = find(id);
  if (fails(error))
    return false;
  ((Shots *)instance)->size = ((BgSnapshot *)shots->pdata[index])->size;
  return true;
}

static bool shots_delete(void *instance, const char *id, GError **error)
{
  (void)instance;
  if (fails(error))
    return false;
  g_ptr_array_remove_index(shots, (guint)find(id));
  return true;
}

/* ── views ── */

typedef struct View {
  char *id;
  uint64_t size;
} View;

static int64_t view_size(void *instance)
{
  return (int64_t)((View *)instance)->size;
}

static void view_close(void *instance)
{
  g_free(((View *)instance)->id);
  g_free(instance);
}

static int view_map(void *instance, uint64_t offset, uint64_t length, BgExtent *extent)
{
  const View *v = instance;
  int index = find(v->id);
  (void)offset;
  *extent = (BgExtent){.kind = BG_EXTENT_ZERO, .length = length};
  return index < 0 || ((BgSnapshot *)shots->pdata[index])->size != v->size ? -ESTALE : 0;
}

static const BgDriver view = {
    .name = "shots-view",
    .summary = "a snapshot, for tests",
    .kind = BG_KIND_FORMAT,
    .close = view_close,
    .size = view_size,
    .map = view_map,
};

static void *shots_view_open(void *instance, const char *id)
{
  (void)instance;
  int index = find(id);
  if (index < 0)
    return NULL;
  View *v = g_new(View, 1);
  *v = (View){g_strdup(id), ((BgSnapshot *)shots->pdata[index])->size};
  return v;
}

const BgDriver bg_driver_shots = {
    .name = "shots",
    .summary = "snapshots, for tests",
    .kind = BG_KIND_FORMAT,
    .children = shots_children,
    .open = shots_open,
    .close = g_free,
    .size = shots_size,
    .map = shots_map,
    .snapshots = shots_list,
    .snapshot_create = shots_create,
    .snapshot_apply = shots_apply,
    .snapshot_delete = shots_delete,
    .view = &view,
    .view_open = shots_view_open,
};

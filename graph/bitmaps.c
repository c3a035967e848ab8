#include "graph/bitmaps.h"

#include "graph/alone.h"
#include "graph/escape.h"

#include <errno.h>

enum { MIN_DEFAULT_GRANULARITY = 4096, MAX_DEFAULT_GRANULARITY = 65536 };

/* How to take one step back. */
typedef struct Undo {
  BgBitmapVerb verb;
  BgNode *node;
  BgBitmap *bitmap;
  uint8_t *bits; /* CLEAR, MERGE: as they were */
  bool recording;
} Undo;

static void undo_free(gpointer data)
{
  Undo *undo = data;
  g_free(undo->bits);
  g_free(undo);
}

/* ── one action, alone with its nodes ── */

static BgBitmap *find(BgNode *node, const char *name, GError **error)
{
  BgBitmap *bitmap = bg_bitmaps_find(node->host.bitmaps, name);
  if (bitmap)
    return bitmap;
  g_autofree char *shown = bg_escape(name);
  bg_set_error(error, ENOENT, "Dirty bitmap '%s' not found", shown);
  return NULL;
}

/* One that can be worked with. */
static BgBitmap *find_sound(BgNode *node, const char *name, GError **error)
{
  BgBitmap *bitmap = find(node, name, error);
  if (!bitmap || !bg_bitmap_is_inconsistent(bitmap))
    return bitmap;
  g_autofree char *shown = bg_escape(name);
  bg_set_error(error, EINVAL, "Bitmap '%s' is inconsistent and cannot be used", shown);
  return NULL;
}

static bool refuse_persistent(const BgBitmap *bitmap, const char *what, GError **error)
{
  BgBitmapSpec spec;
  bg_bitmap_look(bitmap, &spec);
  if (!spec.persistent)
    return true;
  g_autofree char *shown = bg_escape(spec.name);
  bg_set_error(error, ENOTSUP, "Bitmap '%s' is kept in the image, where it cannot be %s", shown, what);
  return false;
}

static bool choose_granularity(const BgBitmapAction *action, unsigned *bits, GError **error)
{
  uint64_t granularity = action->granularity;
  if (!granularity)
    granularity = CLAMP(action->node->limits.granularity, MIN_DEFAULT_GRANULARITY, MAX_DEFAULT_GRANULARITY);
  if (granularity < 512 || granularity & (granularity - 1) ||
      granularity > UINT64_C(1) << BG_BITMAP_MAX_GRANULARITY_BITS) {
    bg_set_error(error, EINVAL, "Granularity must be power of 2 and at least 512");
    return false;
  }
  *bits = (unsigned)__builtin_ctzll(granularity);
  return true;
}

static bool check_addable(const BgBitmapAction *action, GError **error)
{
  g_autofree char *shown = bg_escape(action->name);
  if (!*action->name)
    bg_set_error(error, EINVAL, "Bitmap name cannot be empty");
  else if (bg_bitmaps_find(action->node->host.bitmaps, action->name))
    bg_set_error(error, EEXIST, "Bitmap already exists: %s", shown);
  else if (action->persistent)
    bg_set_error(error, ENOTSUP, "Can't store persistent bitmaps to %s: Operation not supported", action->node->name);
  else
    return true;
  return false;
}

static bool add(const BgBitmapAction *action, Undo *undo, GError **error)
{
  int64_t size = bg_node_size_inside(action->node);
  BgBitmapSpec spec = {.name = action->name, .size = (uint64_t)MAX(size, 0), .recording = !action->disabled};
  if (size < 0) {
    bg_set_error_errno(error, (int)-size, "node '%s'", action->node->name);
    return false;
  }
  if (!check_addable(action, error) || !choose_granularity(action, &spec.granularity_bits, error))
    return false;
  undo->bitmap = bg_bitmaps_add(action->node->host.bitmaps, &spec, error);
  return undo->bitmap;
}

static uint8_t *save_bits(const BgBitmap *bitmap, GError **error)
{
  uint8_t *bits = g_try_malloc(MAX(bg_bitmap_bytes(bitmap), 1));
  if (bits)
    bg_bitmap_export(bitmap, 0, bits, bg_bitmap_bytes(bitmap));
  else
    bg_set_error_errno(error, ENOMEM, "Bitmap '%s'", bg_bitmap_name(bitmap));
  return bits;
}

static bool clear(const BgBitmapAction *action, Undo *undo, GError **error)
{
  undo->bitmap = find_sound(action->node, action->name, error);
  undo->bits = undo->bitmap ? save_bits(undo->bitmap, error) : NULL;
  if (undo->bits)
    bg_bitmap_clear(undo->bitmap, 0, bg_bitmap_size(undo->bitmap));
  return undo->bits;
}

static bool set_recording(const BgBitmapAction *action, Undo *undo, GError **error)
{
  BgBitmapSpec spec;
  undo->bitmap = find_sound(action->node, action->name, error);
  if (!undo->bitmap || !refuse_persistent(undo->bitmap, "told whether to record", error))
    return false;
  bg_bitmap_look(undo->bitmap, &spec);
  undo->recording = spec.recording;
  bg_bitmap_set_recording(action->node->host.bitmaps, undo->bitmap, action->verb == BG_BITMAP_ENABLE);
  return true;
}

static bool check_sources(const BgBitmapAction *action, const BgBitmap *target, GError **error)
{
  for (size_t i = 0; i < action->source_count; i++) {
    const BgBitmap *source = find_sound(action->sources[i].node, action->sources[i].name, error);
    if (!source)
      return false;
    if (bg_bitmap_size(source) != bg_bitmap_size(target)) {
      bg_set_error(error, EINVAL,
                   "Bitmaps are of different sizes (destination size is %" G_GUINT64_FORMAT
                   " and source size is %" G_GUINT64_FORMAT ") and can't be merged",
                   bg_bitmap_size(target), bg_bitmap_size(source));
      return false;
    }
  }
  return true;
}

static bool merge(const BgBitmapAction *action, Undo *undo, GError **error)
{
  undo->bitmap = find_sound(action->node, action->name, error);
  if (!undo->bitmap || !check_sources(action, undo->bitmap, error))
    return false;
  undo->bits = save_bits(undo->bitmap, error);
  for (size_t i = 0; undo->bits && i < action->source_count; i++)
    bg_bitmap_merge(undo->bitmap, bg_bitmaps_find(action->sources[i].node->host.bitmaps, action->sources[i].name));
  return undo->bits;
}

static bool check_removable(const BgBitmapAction *action, GError **error)
{
  const BgBitmap *bitmap = find(action->node, action->name, error);
  return bitmap && refuse_persistent(bitmap, "removed", error);
}

static bool act(const BgBitmapAction *action, Undo *undo, GError **error)
{
  switch (action->verb) {
  case BG_BITMAP_ADD:
    return add(action, undo, error);
  case BG_BITMAP_REMOVE:
    return check_removable(action, error);
  case BG_BITMAP_CLEAR:
    return clear(action, undo, error);
  case BG_BITMAP_MERGE:
    return merge(action, undo, error);
  default:
    return set_recording(action, undo, error);
  }
}

/* ── all of them ── */

static void take_back(const Undo *undo)
{
  BgBitmaps *bitmaps = undo->node->host.bitmaps;
  switch (undo->verb) {
  case BG_BITMAP_ADD:
    bg_bitmaps_remove(bitmaps, undo->bitmap);
    return;
  case BG_BITMAP_REMOVE:
    return;
  case BG_BITMAP_CLEAR:
  case BG_BITMAP_MERGE:
    bg_bitmap_clear(undo->bitmap, 0, bg_bitmap_size(undo->bitmap));
    bg_bitmap_import(undo->bitmap, 0, undo->bits, bg_bitmap_bytes(undo->bitmap));
    return;
  default:
    bg_bitmap_set_recording(bitmaps, undo->bitmap, undo->recording);
  }
}

static void remove_all(const BgBitmapAction *actions, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    BgBitmaps *bitmaps = actions[i].node->host.bitmaps;
    BgBitmap *bitmap = actions[i].verb == BG_BITMAP_REMOVE ? bg_bitmaps_find(bitmaps, actions[i].name) : NULL;
    if (bitmap)
      bg_bitmaps_remove(bitmaps, bitmap);
  }
}

static bool act_alone(const BgBitmapAction *actions, size_t count, GError **error)
{
  g_autoptr(GPtrArray) undos = g_ptr_array_new_with_free_func(undo_free);
  for (size_t i = 0; i < count; i++) {
    Undo *undo = g_new0(Undo, 1);
    *undo = (Undo){.verb = actions[i].verb, .node = actions[i].node};
    if (!act(&actions[i], undo, error)) {
      undo_free(undo);
      for (guint done = undos->len; done-- > 0;)
        take_back(undos->pdata[done]);
      return false;
    }
    g_ptr_array_add(undos, undo);
  }
  remove_all(actions, count);
  return true;
}

static bool is_writable(const BgNode *node)
{
  bg_graph_lock(node->graph);
  bool writable = node->mode.writable;
  bg_graph_unlock(node->graph);
  return writable;
}

/* Where a bitmap is not there now, its image may have it: those come with a writer. Users (BgUser *) that are one; where a node takes none, the
 * bitmap is not to be had. */
static GPtrArray *wake_images(const BgBitmapAction *actions, size_t count)
{
  GPtrArray *users = g_ptr_array_new_with_free_func((GDestroyNotify)bg_user_free);
  for (size_t i = 0; i < count; i++) {
    BgNode *node = actions[i].node;
    if (is_writable(node) || bg_bitmaps_find(node->host.bitmaps, actions[i].name))
      continue;
    g_autofree char *shown = bg_escape(actions[i].name), *what = g_strdup_printf("bitmap '%s'", shown);
    BgUser *user = bg_user_new(node, what, BG_PERM_WRITE_UNCHANGED, BG_PERM_ALL, NULL);
    if (user)
      g_ptr_array_add(users, user);
  }
  return users;
}

static GPtrArray *nodes_of(const BgBitmapAction *actions, size_t count)
{
  GPtrArray *nodes = g_ptr_array_new();
  for (size_t i = 0; i < count; i++) {
    g_ptr_array_add(nodes, actions[i].node);
    for (size_t j = 0; j < actions[i].source_count; j++)
      g_ptr_array_add(nodes, actions[i].sources[j].node);
  }
  return nodes;
}

bool bg_bitmaps_change(BgGraph *graph, const BgBitmapAction *actions, size_t count, GError **error)
{
  g_autoptr(GPtrArray) nodes = nodes_of(actions, count);
  GPtrArray *users = wake_images(actions, count);
  BgAlone alone;
  bool done = false;
  if (bg_alone_begin(&alone, graph, (BgNode *const *)nodes->pdata, nodes->len, error)) {
    done = act_alone(actions, count, error);
    bg_alone_end(&alone);
  }
  g_ptr_array_unref(users);
  return done;
}

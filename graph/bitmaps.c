#include "graph/bitmaps.h"

#include "graph/escape.h"
#include "graph/step.h"

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

/* One that no job works with. */
static BgBitmap *find_free(BgNode *node, const char *name, GError **error)
{
  BgBitmap *bitmap = find(node, name, error);
  const char *user = bitmap ? bg_bitmap_user(node->host.bitmaps, bitmap) : NULL;
  if (!user)
    return bitmap;
  g_autofree char *shown = bg_escape(name);
  bg_set_error(error, EBUSY, "Bitmap '%s' is currently in use by %s and cannot be used", shown, user);
  return NULL;
}

/* One that can be worked with. */
static BgBitmap *find_sound(BgNode *node, const char *name, GError **error)
{
  BgBitmap *bitmap = find_free(node, name, error);
  if (!bitmap || !bg_bitmap_is_inconsistent(bitmap))
    return bitmap;
  g_autofree char *shown = bg_escape(name);
  bg_set_error(error, EINVAL, "Bitmap '%s' is inconsistent and cannot be used", shown);
  return NULL;
}

bool bg_bitmap_touch(BgNode *node, const BgBitmap *bitmap, GError **error)
{
  BgBitmapSpec spec;
  bg_bitmap_look(bitmap, &spec);
  if (!spec.persistent)
    return true;
  if (node->driver->bitmap_touch && node->mode.writable)
    return node->driver->bitmap_touch(node->instance, spec.name, error);
  g_autofree char *shown = bg_escape(spec.name);
  bg_set_error(error, EROFS, "Bitmap '%s' is kept in the image of node '%s', which cannot be written", shown,
               node->name);
  return false;
}

/* One that can be changed other than by being marked. */
static BgBitmap *find_changeable(BgNode *node, const char *name, GError **error)
{
  BgBitmap *bitmap = find_sound(node, name, error);
  return bitmap && bg_bitmap_touch(node, bitmap, error) ? bitmap : NULL;
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
  else if (action->persistent && !action->node->driver->bitmap_keep)
    bg_set_error(error, ENOTSUP, "Can't store persistent bitmaps to %s: Operation not supported", action->node->name);
  else if (action->persistent && !action->node->mode.writable)
    bg_set_error(error, EROFS, "Can't store persistent bitmaps to %s: it cannot be written", action->node->name);
  else
    return true;
  return false;
}

static bool keep(BgNode *node, BgBitmap *bitmap, GError **error)
{
  if (node->driver->bitmap_keep(node->instance, bitmap, error))
    return true;
  bg_bitmaps_remove(node->host.bitmaps, bitmap);
  return false;
}

static bool add(const BgBitmapAction *action, Undo *undo, GError **error)
{
  int64_t size = bg_node_size_inside(action->node);
  BgBitmapSpec spec = {.name = action->name,
                       .size = (uint64_t)MAX(size, 0),
                       .recording = !action->disabled,
                       .persistent = action->persistent};
  if (size < 0) {
    bg_set_error_errno(error, (int)-size, "node '%s'", action->node->name);
    return false;
  }
  if (!check_addable(action, error) || !choose_granularity(action, &spec.granularity_bits, error))
    return false;
  undo->bitmap = bg_bitmaps_add(action->node->host.bitmaps, &spec, error);
  return undo->bitmap && (!action->persistent || keep(action->node, undo->bitmap, error));
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
  undo->bitmap = find_changeable(action->node, action->name, error);
  undo->bits = undo->bitmap ? save_bits(undo->bitmap, error) : NULL;
  if (undo->bits)
    bg_bitmap_clear(undo->bitmap, 0, bg_bitmap_size(undo->bitmap));
  return undo->bits;
}

static bool set_recording(const BgBitmapAction *action, Undo *undo, GError **error)
{
  BgBitmapSpec spec;
  undo->bitmap = find_changeable(action->node, action->name, error);
  if (!undo->bitmap)
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
  undo->bitmap = find_changeable(action->node, action->name, error);
  if (!undo->bitmap || !check_sources(action, undo->bitmap, error))
    return false;
  undo->bits = save_bits(undo->bitmap, error);
  for (size_t i = 0; undo->bits && i < action->source_count; i++)
    bg_bitmap_merge(undo->bitmap, bg_bitmaps_find(action->sources[i].node->host.bitmaps, action->sources[i].name));
  return undo->bits;
}

/* It goes when nothing can fail any more. */
static bool prepare_removal(const BgBitmapAction *action, GError **error)
{
  const BgBitmap *bitmap = find_free(action->node, action->name, error);
  return bitmap && bg_bitmap_touch(action->node, bitmap, error);
}

static bool act(const BgBitmapAction *action, Undo *undo, GError **error)
{
  switch (action->verb) {
  case BG_BITMAP_ADD:
    return add(action, undo, error);
  case BG_BITMAP_REMOVE:
    return prepare_removal(action, error);
  case BG_BITMAP_CLEAR:
    return clear(action, undo, error);
  case BG_BITMAP_MERGE:
    return merge(action, undo, error);
  default:
    return set_recording(action, undo, error);
  }
}

static void forget(BgNode *node, BgBitmap *bitmap)
{
  BgBitmapSpec spec;
  bg_bitmap_look(bitmap, &spec);
  if (spec.persistent && node->driver->bitmap_forget)
    node->driver->bitmap_forget(node->instance, spec.name);
  bg_bitmaps_remove(node->host.bitmaps, bitmap);
}

static void take_back(const Undo *undo)
{
  switch (undo->verb) {
  case BG_BITMAP_ADD:
    forget(undo->node, undo->bitmap);
    return;
  case BG_BITMAP_REMOVE:
    return;
  case BG_BITMAP_CLEAR:
  case BG_BITMAP_MERGE:
    bg_bitmap_clear(undo->bitmap, 0, bg_bitmap_size(undo->bitmap));
    bg_bitmap_import(undo->bitmap, 0, undo->bits, bg_bitmap_bytes(undo->bitmap));
    return;
  default:
    bg_bitmap_set_recording(undo->node->host.bitmaps, undo->bitmap, undo->recording);
  }
}

/* ── as a step of a transaction ── */

typedef struct BitmapStep {
  BgStep step;
  BgBitmapAction action;
  BgUser *user;            /* what makes the image writable, for its bitmaps come with a writer; NULL: nothing does */
  BgBitmapSource *sources; /* the action's */
  Undo *undo;              /* NULL: not done */
} BitmapStep;

static bool step_propose(BgStep *base, BgProposal *proposal, GError **error)
{
  const BgBitmapAction *action = &((BitmapStep *)base)->action;
  (void)error;
  bg_proposal_drain(proposal, action->node);
  for (size_t i = 0; i < action->source_count; i++)
    bg_proposal_drain(proposal, action->sources[i].node);
  return true;
}

static bool step_act(BgStep *base, GError **error)
{
  BitmapStep *step = (BitmapStep *)base;
  Undo *undo = g_new0(Undo, 1);
  *undo = (Undo){.verb = step->action.verb, .node = step->action.node};
  bool done = act(&step->action, undo, error);
  if (done)
    step->undo = undo;
  else
    undo_free(undo);
  return done;
}

static void step_undo(BgStep *base)
{
  BitmapStep *step = (BitmapStep *)base;
  take_back(step->undo);
  g_clear_pointer(&step->undo, undo_free);
}

static void step_seal(BgStep *base)
{
  const BgBitmapAction *action = &((BitmapStep *)base)->action;
  BgBitmap *bitmap =
      action->verb == BG_BITMAP_REMOVE ? bg_bitmaps_find(action->node->host.bitmaps, action->name) : NULL;
  if (bitmap)
    forget(action->node, bitmap);
}

static void step_end(BgStep *base, bool done)
{
  BitmapStep *step = (BitmapStep *)base;
  (void)done;
  bg_user_free(step->user);
  if (step->undo)
    undo_free(step->undo);
  g_free(step->sources);
  g_free(step);
}

/* NULL where the image takes no writer: then what it has of bitmaps is not to be had. */
static BgUser *wake_image(const BgBitmapAction *action)
{
  if (!action->node->driver->kept_bitmaps)
    return NULL;
  g_autofree char *shown = bg_escape(action->name), *what = g_strdup_printf("bitmap '%s'", shown);
  return bg_user_new(action->node, what, BG_PERM_WRITE_UNCHANGED, BG_PERM_ALL, NULL);
}

BgStep *bg_bitmap_step_new(const BgBitmapAction *action)
{
  static const BgStepKind kind = {step_propose, step_act, step_undo, step_seal, step_end};
  BitmapStep *step = g_new0(BitmapStep, 1);
  *step = (BitmapStep){.step.kind = &kind, .action = *action, .user = wake_image(action)};
  step->action.sources = step->sources = g_memdup2(action->sources, action->source_count * sizeof *action->sources);
  return &step->step;
}

#include "fs/qmp/action.h"

#include "fs/qmp/error.h"
#include "fs/qmp/find.h"
#include "fs/qmp/retry.h"
#include "graph/escape.h"
#include "graph/jobs/mirror.h"
#include "graph/jobs/stream.h"

#include <string.h>

static const char *text(JsonObject *arguments, const char *member)
{
  return json_object_get_string_member_with_default(arguments, member, NULL);
}

/* ── what all have ── */

static bool take_settings(JsonObject *arguments, BgJobSettings *settings, GError **error)
{
  gint64 speed = json_object_get_int_member_with_default(arguments, "speed", 0);
  *settings =
      (BgJobSettings){.id = text(arguments, "job-id") ? text(arguments, "job-id") : text(arguments, "device"),
                      .speed = (uint64_t)speed,
                      .manual_finalize = !json_object_get_boolean_member_with_default(arguments, "auto-finalize", TRUE),
                      .manual_dismiss = !json_object_get_boolean_member_with_default(arguments, "auto-dismiss", TRUE)};
  if (speed >= 0)
    return true;
  bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Parameter 'speed' expects a non-negative value");
  return false;
}

/* The index of `word` in the words; 0 where it is NULL. */
static unsigned index_of(const char *const *words, const char *word)
{
  for (unsigned i = 0; word && words[i]; i++)
    if (strcmp(words[i], word) == 0)
      return i;
  return 0;
}

static BgOnError on_error(JsonObject *arguments, const char *member)
{
  return (BgOnError)index_of(bg_on_error_names, text(arguments, member));
}

/* The node that an optional member names, found by what names nodes; else `fallback`. False: there is none. */
static bool take_node(const BgfsQmpMount *mount, JsonObject *arguments, const char *member, BgNode *fallback,
                      BgNode **node, GError **error)
{
  *node = fallback;
  if (text(arguments, member))
    *node = bgfs_qmp_find_device(mount, text(arguments, member), error);
  return *node || !text(arguments, member);
}

static BgNode *backing_of(BgNode *node)
{
  return bg_node_child(node, "backing");
}

/* The lowest disk of the chain. */
static BgNode *bottom_of(BgNode *node)
{
  for (BgNode *below; (below = backing_of(node));)
    node = below;
  return node;
}

/* The disk of the chain whose storage has that name, as QEMU compares them; NULL: none. */
static BgNode *find_by_file(BgNode *node, const char *filename)
{
  for (; node; node = backing_of(node)) {
    g_autofree char *name = bg_node_filename(node);
    if (g_strcmp0(name, filename) == 0)
      return node;
  }
  return NULL;
}

/* By node name, or by the older file name; else `fallback`. */
static bool take_chain_node(const BgfsQmpMount *mount, JsonObject *arguments, BgNode *device, const char *by_file,
                            const char *by_node, BgNode *fallback, BgNode **node, GError **error)
{
  const char *filename = text(arguments, by_file);
  if (filename && text(arguments, by_node)) {
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "'%s' and '%s' are mutually exclusive", by_node, by_file);
    return false;
  }
  if (!filename)
    return take_node(mount, arguments, by_node, fallback, node, error);
  *node = find_by_file(device, filename);
  if (*node)
    return true;
  g_autofree char *shown = bg_escape(filename);
  bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Can't find '%s' in the backing chain", shown);
  return false;
}

typedef BgJob *Starter(BgGraph *graph, const void *options, GError **error);

typedef struct Start {
  Starter *starter;
  const void *options;
} Start;

static bool try_start(const BgfsQmpMount *mount, void *data, GError **error)
{
  const Start *start = data;
  BgJob *job = start->starter(mount->graph, start->options, error);
  bool started = job;
  bg_job_unref(job);
  return started;
}

/* A job that is refused only because of files that were closed already is tried again. */
static JsonNode *start(const BgfsQmpMount *mount, Starter *starter, const void *options, GError **error)
{
  Start start = {starter, options};
  return bgfs_qmp_retry(mount, try_start, &start, error) ? bgfs_qmp_done() : NULL;
}

/* ── block-commit ── */

static BgJob *start_commit(BgGraph *graph, const void *options, GError **error)
{
  return bg_job_commit(graph, options, error);
}

static JsonNode *block_commit(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  BgJobCommit commit = {.backing_file = text(arguments, "backing-file"), .on_error = on_error(arguments, "on-error")};
  commit.device = bgfs_qmp_find_device(mount, text(arguments, "device"), error);
  if (!commit.device || !take_settings(arguments, &commit.settings, error) ||
      !take_chain_node(mount, arguments, commit.device, "top", "top-node", commit.device, &commit.top, error) ||
      !take_chain_node(mount, arguments, commit.device, "base", "base-node", bottom_of(commit.device), &commit.base,
                       error))
    return NULL;
  return start(mount, start_commit, &commit, error);
}

/* ── block-stream ── */

static BgJob *start_stream(BgGraph *graph, const void *options, GError **error)
{
  return bg_job_stream(graph, options, error);
}

/* `bottom` is the last one that is copied: base is what it stands on. */
static bool take_stream_base(const BgfsQmpMount *mount, JsonObject *arguments, BgJobStream *stream, GError **error)
{
  BgNode *bottom;
  if (!take_node(mount, arguments, "bottom", NULL, &bottom, error))
    return false;
  if (!bottom)
    return take_chain_node(mount, arguments, stream->device, "base", "base-node", NULL, &stream->base, error);
  if (!text(arguments, "base") && !text(arguments, "base-node")) {
    stream->base = backing_of(bottom);
    return true;
  }
  bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "'bottom' and 'base' are mutually exclusive");
  return false;
}

static JsonNode *block_stream(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  BgJobStream stream = {.backing_file = text(arguments, "backing-file"), .on_error = on_error(arguments, "on-error")};
  stream.device = bgfs_qmp_find_device(mount, text(arguments, "device"), error);
  if (!stream.device || !take_settings(arguments, &stream.settings, error) ||
      !take_stream_base(mount, arguments, &stream, error))
    return NULL;
  return start(mount, start_stream, &stream, error);
}

/* ── blockdev-mirror ── */

static BgJob *start_mirror(BgGraph *graph, const void *options, GError **error)
{
  return bg_job_mirror(graph, options, error);
}

static const char *const mirror_syncs[] = {
    [BG_SYNC_FULL] = "full", [BG_SYNC_TOP] = "top", [BG_SYNC_NONE] = "none", NULL};

static JsonNode *blockdev_mirror(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  gint64 granularity = json_object_get_int_member_with_default(arguments, "granularity", 0);
  if (granularity < 0 || granularity > UINT32_MAX) {
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Parameter 'granularity' expects a value in range [512B, 64MB]");
    return NULL;
  }
  BgJobMirror mirror = {.sync = (BgSync)index_of(mirror_syncs, text(arguments, "sync")),
                        .granularity = (uint32_t)granularity,
                        .on_source_error = on_error(arguments, "on-source-error"),
                        .on_target_error = on_error(arguments, "on-target-error")};
  mirror.source = bgfs_qmp_find_device(mount, text(arguments, "device"), error);
  mirror.target = mirror.source ? bgfs_qmp_find_device(mount, text(arguments, "target"), error) : NULL;
  if (!mirror.target || !take_settings(arguments, &mirror.settings, error))
    return NULL;
  return start(mount, start_mirror, &mirror, error);
}

/* ── blockdev-backup ── */

static const char *const backup_syncs[] = {[BG_SYNC_FULL] = "full",     [BG_SYNC_TOP] = "top",
                                           [BG_SYNC_NONE] = "none",     [BG_SYNC_INCREMENTAL] = "incremental",
                                           [BG_SYNC_BITMAP] = "bitmap", NULL};
static const char *const bitmap_modes[] = {
    [BG_BITMAP_ON_SUCCESS] = "on-success", [BG_BITMAP_NEVER] = "never", [BG_BITMAP_ALWAYS] = "always", NULL};

static bool check_backup(JsonObject *arguments, const BgJobBackup *backup, GError **error)
{
  bool by_bitmap = backup->sync == BG_SYNC_INCREMENTAL || backup->sync == BG_SYNC_BITMAP;
  if (by_bitmap && !backup->bitmap)
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "must provide a valid bitmap name for '%s' sync mode",
                       backup_syncs[backup->sync]);
  else if (backup->sync == BG_SYNC_BITMAP && !text(arguments, "bitmap-mode"))
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Bitmap sync mode must be given when providing a bitmap");
  else
    return true;
  return false;
}

static bool take_backup(const BgfsQmpMount *mount, JsonObject *arguments, BgJobBackup *backup, GError **error)
{
  *backup = (BgJobBackup){.sync = (BgSync)index_of(backup_syncs, text(arguments, "sync")),
                          .bitmap = text(arguments, "bitmap"),
                          .bitmap_mode = (BgBitmapMode)index_of(bitmap_modes, text(arguments, "bitmap-mode")),
                          .on_source_error = on_error(arguments, "on-source-error"),
                          .on_target_error = on_error(arguments, "on-target-error")};
  backup->source = bgfs_qmp_find_device(mount, text(arguments, "device"), error);
  backup->target = backup->source ? bgfs_qmp_find_device(mount, text(arguments, "target"), error) : NULL;
  return backup->target && check_backup(arguments, backup, error) && take_settings(arguments, &backup->settings, error);
}

bool bgfs_qmp_backup_action(const BgfsQmpMount *mount, const char *command, JsonObject *arguments,
                            BgTransaction *transaction, GError **error)
{
  BgJobBackup backup;
  (void)command;
  return take_backup(mount, arguments, &backup, error) && bg_transaction_add_backup(transaction, &backup, error);
}

static BgJob *start_backup(BgGraph *graph, const void *options, GError **error)
{
  return bg_job_backup(graph, options, error);
}

static JsonNode *blockdev_backup(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  BgJobBackup backup;
  return take_backup(mount, arguments, &backup, error) ? start(mount, start_backup, &backup, error) : NULL;
}

/* ── types ── */

static const BgfsQmpType error_type = {.kind = BGFS_QMP_ENUM, .name = "BlockdevOnError", .values = bg_on_error_names};
static const BgfsQmpType mirror_sync_type = {.kind = BGFS_QMP_ENUM, .name = "MirrorSyncMode", .values = mirror_syncs};

#define SETTINGS                                                                                                       \
  {"job-id", &bgfs_qmp_string, true, "the job's name (default: the device's)"},                                        \
      {"speed", &bgfs_qmp_int, true, "bytes a second at most (default: no limit)"},                                    \
      {"auto-finalize", &bgfs_qmp_bool, true, "whether it needs no job-finalize (default: true)"},                     \
  {                                                                                                                    \
    "auto-dismiss", &bgfs_qmp_bool, true, "whether it needs no job-dismiss (default: true)"                            \
  }

static const BgfsQmpMember commit_members[] = {
    {"device", &bgfs_qmp_string, false, "the node where the chain begins"},
    {"base-node", &bgfs_qmp_string, true, "the disk that takes the others up (default: the lowest)"},
    {"base", &bgfs_qmp_string, true, "the same, by the name of its file"},
    {"top-node", &bgfs_qmp_string, true, "the highest disk that is committed (default: the device)"},
    {"top", &bgfs_qmp_string, true, "the same, by the name of its file"},
    {"backing-file", &bgfs_qmp_string, true, "how the image above top shall name base"},
    {"on-error", &error_type, true, "what follows a failed request (default: report)"},
    SETTINGS,
    {NULL},
};
static const BgfsQmpType commit_type = {.kind = BGFS_QMP_OBJECT, .name = "BlockCommit", .members = commit_members};

static const BgfsQmpMember stream_members[] = {
    {"device", &bgfs_qmp_string, false, "the node that gets the data"},
    {"base-node", &bgfs_qmp_string, true, "the disk on which it stands afterwards (default: none)"},
    {"base", &bgfs_qmp_string, true, "the same, by the name of its file"},
    {"bottom", &bgfs_qmp_string, true, "the lowest disk that is copied, in the place of base"},
    {"backing-file", &bgfs_qmp_string, true, "how its image shall name base"},
    {"on-error", &error_type, true, "what follows a failed request (default: report)"},
    SETTINGS,
    {NULL},
};
static const BgfsQmpType stream_type = {.kind = BGFS_QMP_OBJECT, .name = "BlockStream", .members = stream_members};

static const BgfsQmpMember mirror_members[] = {
    {"device", &bgfs_qmp_string, false, "the node that is copied"},
    {"target", &bgfs_qmp_string, false, "the node to which"},
    {"sync", &mirror_sync_type, false, "all of it, what its own image holds, or what is written from now on"},
    {"granularity", &bgfs_qmp_int, true, "bytes, so finely are changes known (default: 64 KiB)"},
    {"on-source-error", &error_type, true, "what follows a failed read (default: report)"},
    {"on-target-error", &error_type, true, "what follows a failed write (default: report)"},
    SETTINGS,
    {NULL},
};
static const BgfsQmpType mirror_type = {.kind = BGFS_QMP_OBJECT, .name = "BlockdevMirror", .members = mirror_members};

static const BgfsQmpType backup_sync_type = {.kind = BGFS_QMP_ENUM, .name = "BackupSyncMode", .values = backup_syncs};
static const BgfsQmpType bitmap_mode_type = {.kind = BGFS_QMP_ENUM, .name = "BitmapSyncMode", .values = bitmap_modes};
static const BgfsQmpMember backup_members[] = {
    {"device", &bgfs_qmp_string, false, "the node that is copied"},
    {"target", &bgfs_qmp_string, false, "the node to which"},
    {"sync", &backup_sync_type, false,
     "all of it, what its own image holds, what is about to be written over, or what a bitmap marks"},
    {"bitmap", &bgfs_qmp_string, true, "the device's bitmap"},
    {"bitmap-mode", &bitmap_mode_type, true, "when the bitmap is brought forward"},
    {"on-source-error", &error_type, true, "what follows a failed read (default: report)"},
    {"on-target-error", &error_type, true, "what follows a failed write (default: report)"},
    SETTINGS,
    {NULL},
};
const BgfsQmpType bgfs_qmp_backup_type = {.kind = BGFS_QMP_OBJECT, .name = "BlockdevBackup", .members = backup_members};

const BgfsQmpCommand bgfs_qmp_job_start_commands[] = {
    {"block-commit", block_commit, &commit_type, &bgfs_qmp_nothing, 0,
     "Starts a job that writes what disks of a chain hold into one below, and takes them out of the chain. Where top "
     "is the device, the job "
     "becomes ready, and job-complete lets base take its place."},
    {"block-stream", block_stream, &stream_type, &bgfs_qmp_nothing, 0,
     "Starts a job that makes what a disk shows of those below its own."},
    {"blockdev-mirror", blockdev_mirror, &mirror_type, &bgfs_qmp_nothing, 0,
     "Starts a job that copies a disk, becomes ready, and keeps the copy the same; job-complete lets it take the "
     "disk's place."},
    {"blockdev-backup", blockdev_backup, &bgfs_qmp_backup_type, &bgfs_qmp_nothing, 0,
     "Starts a job that makes a node what a disk was when this was answered."},
    {NULL},
};

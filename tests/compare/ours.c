/* The script through the graph, as the mount would do it. */
#include "tests/compare/twin.h"

#include "graph/map.h"
#include "graph/snapshot.h"
#include "graph/user.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgUser, bg_user_free)

typedef struct Ours {
  BgGraph *graph;
  BgNode *node, *packed; /* the second compresses what is written through it; NULL: it is not there */
  BgUser *user, *packer;
} Ours;

/* Both share everything: they are one script. */
static bool take_users(Ours *ours, GError **error)
{
  BgPerm perm = BG_PERM_CONSISTENT_READ | bg_user_write_perm(ours->node);
  ours->user = bg_user_new(ours->node, "script", perm, BG_PERM_ALL, error);
  if (ours->user)
    ours->packer = bg_user_new(ours->packed, "script, compressing", perm, BG_PERM_ALL, error);
  return ours->packer;
}

static void free_users(Ours *ours)
{
  g_clear_pointer(&ours->packer, bg_user_free);
  g_clear_pointer(&ours->user, bg_user_free);
}

static bool add_filter(Ours *ours, GError **error)
{
  g_autoptr(BgDict) options = bg_dict_new();
  bg_dict_set(options, "driver", "compress");
  bg_dict_set(options, "node-name", "packed");
  bg_dict_set(options, "auto-read-only", "on");
  bg_dict_set(options, "file", "disk");
  ours->packed = bg_graph_add(ours->graph, options, error);
  return ours->packed;
}

static bool open_node(Ours *ours, const Twin *twin, GError **error)
{
  static const BgPolicy nothing_by_itself;
  g_autoptr(BgDict) options = bg_dict_new();
  bg_dict_set(options, "driver", "qcow2");
  bg_dict_set(options, "node-name", "disk");
  bg_dict_set(options, "discard", "unmap");
  bg_dict_set(options, "auto-read-only", "on");
  bg_dict_set(options, "file.driver", "file");
  bg_dict_set(options, "file.filename", twin->ours);
  ours->graph = bg_graph_new(&nothing_by_itself, NULL, NULL);
  ours->node = bg_graph_add(ours->graph, options, error);
  return ours->node;
}

static bool close_all(Ours *ours, GError **error)
{
  free_users(ours);
  return !ours->graph || bg_graph_close(ours->graph, error);
}

static void make_noise(uint8_t *data, uint64_t length)
{
  uint8_t noise[NOISE];
  twin_noise(noise);
  for (uint64_t at = 0; at < length; at += NOISE)
    memcpy(data + at, noise, MIN(length - at, (uint64_t)NOISE));
}

static int write_pattern(Ours *ours, const Op *op)
{
  g_autofree uint8_t *data = g_malloc(op->length);
  memset(data, op->pattern, op->length);
  if (!op->pattern)
    make_noise(data, op->length);
  struct iovec iov = {data, op->length};
  ssize_t written = bg_user_pwritev(op->kind == OP_COMPRESS ? ours->packer : ours->user, &iov, 1, op->offset);
  if (written < 0)
    return (int)written;
  return (uint64_t)written == op->length ? 0 : -ENOSPC;
}

static bool reopen(Ours *ours, GError **error)
{
  free_users(ours);
  return bg_graph_settle(ours->graph, error) && take_users(ours, error);
}

/* Applying one suffers nobody beside. */
static bool run_snapshot(Ours *ours, const Op *op, GError **error)
{
  g_autofree char *name = op_snapshot_name(op);
  if (op->kind == OP_SNAPSHOT)
    return bg_node_snapshot_create(ours->node, name, error);
  g_autoptr(GPtrArray) list = bg_node_snapshots(ours->node);
  const BgSnapshot *snapshot = bg_snapshots_find(list, name, error);
  if (!snapshot)
    return false;
  if (op->kind == OP_DELETE)
    return bg_node_snapshot_delete(ours->node, snapshot->id, error);
  free_users(ours);
  return bg_node_snapshot_apply(ours->node, snapshot->id, error) && take_users(ours, error);
}

static bool run(Ours *ours, const Op *op, GError **error)
{
  int rc = 0;
  switch (op->kind) {
  case OP_WRITE:
  case OP_COMPRESS:
    rc = write_pattern(ours, op);
    break;
  case OP_ZERO:
    rc = bg_user_zero(ours->user, op->offset, op->length, BG_USER_ZERO_NONE);
    break;
  case OP_ZERO_UNMAP:
    rc = bg_user_zero(ours->user, op->offset, op->length, BG_USER_ZERO_MAY_UNMAP);
    break;
  case OP_DISCARD:
    rc = bg_user_discard(ours->user, op->offset, op->length);
    break;
  case OP_RESIZE:
    return bg_user_resize(ours->user, op->length, error) == 0;
  case OP_FLUSH:
    rc = bg_user_flush(ours->user);
    break;
  case OP_REOPEN:
    return reopen(ours, error);
  case OP_SNAPSHOT:
  case OP_APPLY:
  case OP_DELETE:
    return run_snapshot(ours, op, error);
  }
  g_autofree char *text = op_text(op);
  if (rc < 0)
    bg_set_error_errno(error, -rc, "%s", text);
  return rc == 0;
}

bool ours_run(const Twin *twin, const Op *ops, size_t count, GError **error)
{
  Ours ours = {0};
  bool good = open_node(&ours, twin, error) && add_filter(&ours, error) && take_users(&ours, error);
  for (size_t i = 0; i < count && good; i++)
    good = run(&ours, &ops[i], error);
  if (!good)
    g_prefix_error(error, "ours: ");
  return close_all(&ours, good ? error : NULL) && good;
}

static bool map_all(Ours *ours, GArray *map, GError **error)
{
  int64_t size = bg_node_size(ours->node);
  for (uint64_t at = 0; at < (uint64_t)size;) {
    BgMapped mapped;
    int rc = bg_user_map(ours->user, at, &mapped);
    if (rc < 0) {
      bg_set_error_errno(error, -rc, "map at %" PRIu64, at);
      return false;
    }
    MapRange range = {at, mapped.length,
                      mapped.data      ? MAP_DATA
                      : mapped.present ? MAP_ZERO
                                       : MAP_HOLE,
                      mapped.present ? mapped.depth : 0};
    map_add(map, &range);
    at += mapped.length;
  }
  return true;
}

GArray *ours_map(const Twin *twin, GError **error)
{
  Ours ours = {0};
  g_autoptr(GArray) map = g_array_new(FALSE, FALSE, sizeof(MapRange));
  bool good = open_node(&ours, twin, error);
  if (good) {
    ours.user = bg_user_new(ours.node, "map", BG_USER_READ_PERM, BG_USER_READ_SHARED, error);
    good = ours.user && map_all(&ours, map, error);
  }
  return close_all(&ours, good ? error : NULL) && good ? g_steal_pointer(&map) : NULL;
}

static bool compare_view(Ours *ours, const char *expected, uint64_t size, GError **error)
{
  enum { PIECE = 1 << 20 };
  g_autofree char *piece = g_malloc(PIECE);
  for (uint64_t at = 0; at < size; at += PIECE) {
    struct iovec iov = {piece, MIN((uint64_t)PIECE, size - at)};
    ssize_t got = bg_user_preadv(ours->user, &iov, 1, at);
    if (got < 0)
      bg_set_error_errno(error, (int)-got, "read at %" PRIu64, at);
    else if ((size_t)got != iov.iov_len || memcmp(piece, expected + at, iov.iov_len) != 0)
      bg_set_error(error, EILSEQ, "its view differs from what QEMU reads, at %" PRIu64 " or behind", at);
    else
      continue;
    return false;
  }
  return true;
}

bool ours_compare_snapshot(const Twin *twin, const char *name, uint64_t size, const char *expected, GError **error)
{
  Ours ours = {0};
  g_autofree char *view_name = g_strdup_printf("disk@%s", name);
  g_autoptr(GMappedFile) file = g_mapped_file_new(expected, FALSE, error);
  bool good = file && open_node(&ours, twin, error);
  BgNode *view = good ? bg_graph_find(ours.graph, view_name) : NULL;
  if (good && !view)
    bg_set_error(error, ENOENT, "there is no node '%s'", view_name);
  else if (view && (uint64_t)bg_node_size(view) != size)
    bg_set_error(error, EILSEQ, "it has not the size of its disk");
  if (view && (uint64_t)bg_node_size(view) == size)
    ours.user = bg_user_new(view, "compare", BG_USER_READ_PERM, BG_USER_READ_SHARED, error);
  if (ours.user)
    size = MIN(size, g_mapped_file_get_length(file));
  good = ours.user && compare_view(&ours, g_mapped_file_get_contents(file), size, error);
  return close_all(&ours, good ? error : NULL) && good;
}

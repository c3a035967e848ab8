/* The script through the graph, as the mount would do it. */
#include "tests/compare/twin.h"

#include "graph/map.h"
#include "graph/user.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgUser, bg_user_free)

typedef struct Ours {
  BgGraph *graph;
  BgNode *node;
  BgUser *user;
} Ours;

static bool take_user(Ours *ours, GError **error)
{
  BgPerm perm = BG_PERM_CONSISTENT_READ | bg_user_write_perm(ours->node);
  ours->user = bg_user_new(ours->node, "script", perm, BG_USER_WRITE_SHARED, error);
  return ours->user;
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
  bg_user_free(ours->user);
  return !ours->graph || bg_graph_close(ours->graph, error);
}

static int write_pattern(Ours *ours, const Op *op)
{
  g_autofree uint8_t *data = g_malloc(op->length);
  memset(data, op->pattern, op->length);
  struct iovec iov = {data, op->length};
  ssize_t written = bg_user_pwritev(ours->user, &iov, 1, op->offset);
  if (written < 0)
    return (int)written;
  return (uint64_t)written == op->length ? 0 : -ENOSPC;
}

static bool reopen(Ours *ours, GError **error)
{
  g_clear_pointer(&ours->user, bg_user_free);
  return bg_graph_settle(ours->graph, error) && take_user(ours, error);
}

static bool run(Ours *ours, const Op *op, GError **error)
{
  int rc = 0;
  switch (op->kind) {
  case OP_WRITE:
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
  }
  g_autofree char *text = op_text(op);
  if (rc < 0)
    bg_set_error_errno(error, -rc, "%s", text);
  return rc == 0;
}

bool ours_run(const Twin *twin, const Op *ops, size_t count, GError **error)
{
  Ours ours = {0};
  bool good = open_node(&ours, twin, error) && take_user(&ours, error);
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

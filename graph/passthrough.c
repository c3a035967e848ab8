#include "graph/passthrough.h"

#include "graph/io.h"

#include <errno.h>

/* ── the way down ── */

/* Whether every byte of the node is the FILTERED child's at the same place, and may be written there. */
static bool shows_child_whole(BgNode *node, BgEdge *edge)
{
  int64_t size = bg_node_size_inside(node);
  BgExtent extent = {.length = 0};
  if (node->driver->pwritev || node->driver->reserve || size <= 0)
    return false;
  if (!node->driver->map)
    return true;
  return node->driver->map(node->instance, 0, (uint64_t)size, &extent) == 0 && extent.kind == BG_EXTENT_DATA &&
         extent.flags == BG_EXTENT_IN_PLACE && extent.child == &edge->child && extent.offset == 0 &&
         extent.length == (uint64_t)size;
}

/* The node at which the host's file is; NULL where a request needs one of those on the way. */
static BgNode *find_storage(BgNode *node)
{
  for (;;) {
    if (node->common.detect_zeroes != BG_DETECT_ZEROES_OFF || atomic_load(&node->host.bitmaps->recording))
      return NULL;
    if (node->driver->host_fd)
      return node;
    BgEdge *edge = bg_node_edge_by_role(node, BG_ROLE_FILTERED);
    if (!edge || !shows_child_whole(node, edge))
      return NULL;
    node = edge->hold.node;
  }
}

int bg_user_host_fd(BgUser *user, GError **error)
{
  bg_gate_enter(&user->gate);
  BgNode *storage = find_storage(user->hold.node);
  int fd = storage ? storage->driver->host_fd(storage->instance) : -ENOTSUP;
  bg_gate_leave(&user->gate);
  if (fd >= 0)
    return fd;
  bg_set_error_errno(error, -fd, "node '%s': its requests cannot go to a file of the host", user->hold.node->name);
  return -1;
}

void bg_passthrough_note(BgUser *user)
{
  if (!atomic_load(&user->passthrough) || !(atomic_load(&user->hold.granted) & BG_PERM_ANY_WRITE))
    return;
  for (BgNode *node = user->hold.node; node;) {
    bg_io_wrote(node);
    BgEdge *edge = bg_node_edge_by_role(node, BG_ROLE_FILTERED);
    node = edge ? edge->hold.node : NULL;
  }
}

/* ── who else sees the bytes: under graph->control ── */

/* Edges that let a writer below change what is above. A snapshot never changes; the others, to metadata and backing disks, keep writers away while they are in
 * use. */
static bool lets_write(const BgEdge *edge)
{
  return edge->hold.node && !(edge->child.role & (BG_ROLE_METADATA | BG_ROLE_COW | BG_ROLE_SNAPSHOT));
}

static void collect_sharers(BgNode *node, GHashTable *sharers)
{
  if (!g_hash_table_add(sharers, node))
    return;
  for (guint i = 0; i < node->children->len; i++) {
    const BgEdge *edge = node->children->pdata[i];
    if (lets_write(edge))
      collect_sharers(edge->hold.node, sharers);
  }
  for (guint i = 0; i < node->holders->len; i++) {
    const BgEdge *edge = bg_hold_edge(node->holders->pdata[i]);
    if (edge && lets_write(edge))
      collect_sharers(edge->parent, sharers);
  }
}

/* A user on a node with the same bytes, other than `except` (NULL: nobody), with or without passthrough; NULL: none. */
static BgUser *find_sharer(BgNode *node, const BgUser *except, bool passthrough)
{
  g_autoptr(GHashTable) sharers = g_hash_table_new(NULL, NULL);
  GHashTableIter iter;
  gpointer key;
  collect_sharers(node, sharers);
  g_hash_table_iter_init(&iter, sharers);
  while (g_hash_table_iter_next(&iter, &key, NULL)) {
    const BgNode *sharer = key;
    for (guint i = 0; i < sharer->holders->len; i++) {
      BgUser *user = bg_hold_user(sharer->holders->pdata[i]);
      if (user && user != except && atomic_load(&user->passthrough) == passthrough)
        return user;
    }
  }
  return NULL;
}

bool bg_user_set_passthrough(BgUser *user, bool passthrough, GError **error)
{
  BgNode *node = user->hold.node;
  bg_graph_lock(node->graph);
  const BgUser *other = passthrough ? find_sharer(node, user, false) : NULL;
  if (other)
    bg_set_error(error, EBUSY, "node '%s': %s shows the same bytes and would not learn of writes", node->name,
                 other->hold.what);
  else
    atomic_store(&user->passthrough, passthrough);
  bg_graph_unlock(node->graph);
  return !other;
}

bool bg_node_beside_passthrough(BgNode *node)
{
  bg_graph_lock(node->graph);
  bool beside = find_sharer(node, NULL, true);
  bg_graph_unlock(node->graph);
  return beside;
}

bool bg_passthrough_check(const BgNode *node, GError **error)
{
  for (guint i = 0; i < node->holders->len; i++) {
    BgHold *hold = node->holders->pdata[i];
    const BgUser *user = bg_hold_user(hold);
    const BgEdge *edge = bg_hold_edge(hold);
    if (edge && edge->child.role & BG_ROLE_FILTERED && !bg_passthrough_check(edge->parent, error))
      return false;
    if (user && atomic_load(&user->passthrough)) {
      bg_set_error(error, EBUSY, "node '%s': %s is open, and its requests go around the graph", node->name, hold->what);
      return false;
    }
  }
  return true;
}

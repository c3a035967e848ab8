#include "graph/jobs/chain.h"

#include "graph/backing.h"
#include "graph/change.h"
#include "graph/reference.h"
#include "graph/view.h"

#include <errno.h>
#include <string.h>

/* ── which nodes: under graph->control ── */

/* The link to the disk below: of a format its backing disk, of a filter what it shows. NULL: there is none. */
static BgEdge *link_below(const BgNode *node)
{
  BgEdge *edge = bg_node_edge_by_role(node, BG_ROLE_COW);
  if (!edge && node->driver->kind == BG_KIND_FILTER)
    edge = bg_node_edge_by_role(node, BG_ROLE_FILTERED);
  return edge;
}

/* Collects the links from top to base, and the nodes between. */
static bool walk(BgChain *chain, GPtrArray *links, GError **error)
{
  BgNode *node = chain->top;
  unsigned depth = 0;
  while (node != chain->base) {
    BgEdge *edge = link_below(node);
    if (!edge)
      break;
    g_ptr_array_add(links, edge);
    depth += (edge->child.role & BG_ROLE_COW) != 0;
    node = edge->hold.node;
    if (node != chain->base)
      g_ptr_array_add(chain->between, node);
  }
  if (chain->base && node != chain->base) {
    bg_set_error(error, EINVAL, "node '%s' is not in the backing chain of node '%s'", chain->base->name,
                 chain->top->name);
    return false;
  }
  chain->depth = chain->base ? depth : UINT_MAX;
  return true;
}

/* Without a base all goes that is below. */
static bool find_link(BgChain *chain, GPtrArray *links, GError **error)
{
  BgNode *image = chain->overlay ? chain->overlay : chain->top;
  chain->link = link_below(image);
  if (!chain->link || (chain->overlay && chain->link->hold.node != chain->top)) {
    bg_set_error(error, EINVAL, "node '%s' is not the backing disk of node '%s'", chain->top->name, image->name);
    return false;
  }
  if (chain->overlay)
    g_ptr_array_add(links, chain->link);
  return true;
}

static bool freeze_links(BgChain *chain, GError **error)
{
  g_autoptr(GPtrArray) links = g_ptr_array_new();
  bg_graph_lock(chain->freeze.graph);
  bool closed = bg_views_close(chain->top, &chain->freeze, error);
  bool done = closed && bg_mark_wait_structure(chain->freeze.graph, true);
  if (closed && !done)
    bg_set_error(error, EBUSY, "the graph is being changed");
  done = done && walk(chain, links, error) && find_link(chain, links, error);
  for (guint i = 0; i < links->len && done; i++)
    done = bg_freeze_edge(&chain->freeze, links->pdata[i], error);
  bg_graph_unlock(chain->freeze.graph);
  return done;
}

/* ── guards ── */

/* Without a base, the last one has nothing below that could go or change. */
static bool guard(BgChain *chain, GError **error)
{
  guint count = chain->base || !chain->between->len ? chain->between->len : chain->between->len - 1;
  for (guint i = 0; i < count; i++) {
    BgPerm shared = BG_PERM_ALL & ~(BG_PERM_CONSISTENT_READ | BG_PERM_WRITE | BG_PERM_RESIZE);
    BgUser *user = bg_freeze_user_new(&chain->freeze, chain->between->pdata[i], BG_PERM_NONE, shared, error);
    if (!user)
      return false;
    g_ptr_array_add(chain->guards, user);
  }
  return true;
}

bool bg_chain_check_link(const BgChain *chain, GError **error)
{
  const BgNode *image = chain->link->parent;
  if (chain->link->child.role & BG_ROLE_COW && image->driver->change_backing)
    return true;
  bg_set_error(error, ENOTSUP, "node '%s': the driver %s cannot record another backing file", image->name,
               image->driver->name);
  return false;
}

static void user_free(gpointer user)
{
  bg_user_free(user);
}

void bg_chain_init(BgChain *chain, BgGraph *graph, const char *what)
{
  *chain = (BgChain){.between = g_ptr_array_new(), .guards = g_ptr_array_new_with_free_func(user_free)};
  bg_freeze_init(&chain->freeze, graph, what);
}

bool bg_chain_freeze(BgChain *chain, BgNode *overlay, BgNode *top, BgNode *base, const char *what, GError **error)
{
  bg_chain_init(chain, top->graph, what);
  chain->overlay = overlay;
  chain->top = top;
  chain->base = base;
  if (freeze_links(chain, error) && guard(chain, error))
    return true;
  bg_chain_clear(chain);
  return false;
}

void bg_chain_clear(BgChain *chain)
{
  g_clear_pointer(&chain->guards, g_ptr_array_unref);
  g_clear_pointer(&chain->between, g_ptr_array_unref);
  if (chain->top) {
    bg_graph_lock(chain->top->graph);
    bg_views_open(chain->top, &chain->freeze);
    bg_graph_unlock(chain->top->graph);
  }
  bg_freeze_clear(&chain->freeze);
}

/* ── storage ── */

static bool freeze_storage(BgChain *chain, BgNode *node, GPtrArray *nodes, GError **error)
{
  bg_graph_lock(chain->freeze.graph);
  bool done = bg_mark_wait_structure(chain->freeze.graph, true);
  if (!done)
    bg_set_error(error, EBUSY, "the graph is being changed");
  while (done && node) {
    BgEdge *edge = bg_node_edge_by_role(node, BG_ROLE_FILTERED);
    node = edge ? edge->hold.node : NULL;
    done = !edge || bg_freeze_edge(&chain->freeze, edge, error);
    if (node && done)
      g_ptr_array_add(nodes, node);
  }
  bg_graph_unlock(chain->freeze.graph);
  return done;
}

bool bg_chain_guard_storage(BgChain *chain, BgNode *source, GError **error)
{
  g_autoptr(GPtrArray) nodes = g_ptr_array_new();
  bool done = freeze_storage(chain, source, nodes, error);
  for (guint i = 0; i < nodes->len && done; i++) {
    BgPerm shared = BG_PERM_ALL & ~(BG_PERM_WRITE | BG_PERM_RESIZE);
    BgUser *user = bg_freeze_user_new(&chain->freeze, nodes->pdata[i], BG_PERM_NONE, shared, error);
    if (user)
      g_ptr_array_add(chain->guards, user);
    done = user != NULL;
  }
  return done;
}

/* ── the end ── */

static void release(BgProposal *proposal, const GPtrArray *users)
{
  for (guint i = 0; i < users->len; i++)
    bg_proposal_hold(proposal, &((BgUser *)users->pdata[i])->hold, BG_PERM_NONE, BG_PERM_ALL);
}

bool bg_chain_relink(BgChain *chain, const char *file, const char *format, const GPtrArray *users, GError **error)
{
  BgGraph *graph = chain->freeze.graph;
  BgBackingRecord record = {chain->link->parent, file, format};
  g_auto(BgProposal) proposal;
  bg_proposal_init(&proposal);
  proposal.by = &chain->freeze;
  proposal.last = bg_backing_write; /* then the image stands on base, in the file as in the graph that is about to be */
  proposal.data = &record;
  bg_graph_lock(graph);
  bg_proposal_retarget(&proposal, chain->link, chain->base);
  release(&proposal, chain->guards);
  release(&proposal, users);
  bg_graph_unlock(graph);
  if (!bg_change_run(graph, &proposal, error))
    return false;
  bg_graph_lock(graph);
  bg_freeze_thaw(&chain->freeze);
  bg_graph_unlock(graph);
  return true;
}

/* "sub/base.qcow2" for a file below the image's directory; NULL where it is not. A first component with a ':' would be taken for a
 * protocol. */
static char *relative_name(const char *image, const char *base)
{
  g_autofree char *full = g_canonicalize_filename(image, NULL);
  g_autofree char *directory = g_path_get_dirname(full), *target = g_canonicalize_filename(base, NULL);
  size_t length = strlen(directory);
  if (strncmp(target, directory, length) != 0 || target[length] != '/')
    return NULL;
  const char *rest = target + length + 1;
  return bg_reference_has_protocol(rest) ? g_strconcat("./", rest, NULL) : g_strdup(rest);
}

bool bg_chain_base_name(const BgChain *chain, char **file, const char **format, GError **error)
{
  *file = NULL;
  *format = NULL;
  if (!chain->base)
    return true;
  g_autofree char *image = bg_node_filename(chain->link->parent), *base = bg_node_filename(chain->base);
  if (!base) {
    bg_set_error(error, ENOTSUP, "node '%s' has no file name that an image could record", chain->base->name);
    return false;
  }
  bool is_file = !bg_reference_has_protocol(base);
  *file = image && is_file ? relative_name(image, base) : NULL;
  if (!*file)
    *file = is_file ? g_canonicalize_filename(base, NULL) : g_strdup(base);
  *format = chain->base->driver->name;
  return true;
}

/* Whether it came as a child and is nobody's now. */
static bool is_unused(BgNode *node)
{
  bg_graph_lock(node->graph);
  bool unused = node->live && node->implicit && node->holders->len == 0;
  bg_graph_unlock(node->graph);
  return unused;
}

void bg_chain_drop_unused(BgChain *chain)
{
  BgGraph *graph = chain->freeze.graph;
  g_ptr_array_set_size(chain->guards, 0);
  if (chain->overlay && is_unused(chain->top))
    bg_graph_remove(graph, chain->top, NULL);
  for (guint i = 0; i < chain->between->len; i++)
    if (is_unused(chain->between->pdata[i]))
      bg_graph_remove(graph, chain->between->pdata[i], NULL);
}

#include "graph/open.h"

#include "drivers/registry.h"
#include "graph/change.h"
#include "graph/name.h"
#include "graph/node-options.h"
#include "graph/reference.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* What a driver asked bg_open_child() for. */
typedef struct Wanted {
  BgOpening *opening;
  const char *name;
  BgRole role;
  const char *reference; /* out of the image; NULL: none */
  const char *format;    /* recorded with it; NULL: none */
} Wanted;

/* ── references out of images ── */

/* An image that is its own backing file, however far down. */
static bool check_loop(const BgOpening *opening, const char *filename, GError **error)
{
  struct stat wanted, above;
  if (stat(filename, &wanted) < 0)
    return true; /* opening it says why */
  for (; opening; opening = opening->up) {
    if (!opening->node)
      continue;
    BgEdge *storage = bg_node_edge_by_role(opening->node, BG_ROLE_PRIMARY);
    if (!storage || bg_node_host_stat(storage->hold.node, &above))
      continue;
    if (above.st_dev == wanted.st_dev && above.st_ino == wanted.st_ino) {
      bg_set_error(error, ELOOP, "the chain of backing files comes back to '%s'", filename);
      return false;
    }
  }
  return true;
}

static char *resolve(const Wanted *wanted, GError **error)
{
  const BgNode *node = wanted->opening->node;
  BgEdge *storage = bg_node_edge_by_role(node, BG_ROLE_PRIMARY);
  g_autofree char *image = storage ? bg_node_filename(storage->hold.node) : NULL;
  g_autofree char *filename = bg_reference_resolve(&node->graph->policy, image, wanted->reference, error);
  if (!filename || !check_loop(wanted->opening, filename, error))
    return NULL;
  return g_steal_pointer(&filename);
}

static bool check_format(const char *format, GError **error)
{
  const BgDriver *driver = bg_driver_find(format);
  if (driver && driver->kind == BG_KIND_FORMAT)
    return true;
  g_autofree char *shown = g_strescape(format, NULL);
  bg_set_error(error, ENOTSUP, "the image records the format '%s' for its backing file, for which there is no driver",
               shown);
  return false;
}

/* Completes `options` with the file that the image names, where the user did not say another. */
static bool use_reference(const Wanted *wanted, BgDict *options, GError **error)
{
  g_autofree char *filename = resolve(wanted, error);
  if (!filename)
    return false;
  const BgDriver *protocol = bg_driver_of_uri(filename);
  const char *driver = protocol ? protocol->name : "file";
  if (!(wanted->role & BG_ROLE_COW)) {
    bg_dict_set_default(options, "driver", driver);
    bg_dict_set_default(options, "filename", filename);
    return true;
  }
  bg_dict_set(options, "file.driver", driver);
  bg_dict_set(options, "file.filename", filename);
  if (!wanted->format || bg_dict_get(options, "driver"))
    return true;
  if (!check_format(wanted->format, error))
    return false;
  bg_dict_set(options, "driver", wanted->format);
  return true;
}

/* Whether the user says where the child is; what else he says of it goes with the file that the image names. */
static bool names_storage(const BgDict *options)
{
  static const char *const keys[] = {"file", "filename", "file.driver", "file.filename"};
  for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
    if (bg_dict_get(options, keys[i]))
      return true;
  return bg_dict_has_tree(options, "server") || bg_dict_has_tree(options, "file.server");
}

/* ── opening and attaching ── */

static BgNode *open_inline(const Wanted *wanted, BgDict *options, GError **error)
{
  BgOpening *opening = wanted->opening;
  BgNode *parent = opening->node;
  bool by_user = names_storage(options);
  bool driver_named = bg_dict_get(options, "driver") != NULL;
  if (!by_user && wanted->reference && !use_reference(wanted, options, error))
    return NULL;
  bg_node_options_inherit(&parent->common, parent->driver->kind, wanted->role, options);
  BgProbe probe = by_user || driver_named || parent->graph->policy.trust_images ? BG_PROBE_ANY : BG_PROBE_RAW_ONLY;
  g_autofree char *name = bg_name_for_child(parent->name, wanted->name);
  BgNode *node = bg_open_node(opening->batch, options, name, probe, opening, error);
  if (node)
    node->implicit = true;
  return node;
}

static BgNode *find_named(BgOpening *opening, const char *reference, GError **error)
{
  BgNode *node = bg_graph_find(opening->batch->graph, reference);
  if (!node) {
    g_autofree char *shown = g_strescape(reference, NULL);
    bg_set_error(error, ENOENT, "there is no node '%s'", shown);
  }
  return node;
}

/* The child's node. *node NULL and true: there is to be none. */
static bool find_or_open(const Wanted *wanted, BgNode **node, GError **error)
{
  BgOpening *opening = wanted->opening;
  *node = NULL;
  if (opening->storage && strcmp(wanted->name, "file") == 0) {
    *node = opening->storage;
    return true;
  }
  g_autofree char *named = bg_dict_take(opening->children, wanted->name);
  if (named && *named) {
    *node = find_named(opening, named, error);
    return *node != NULL;
  }
  g_autoptr(BgDict) options = bg_dict_take_tree(opening->children, wanted->name);
  bool given = bg_dict_first_key(options) != NULL;
  if (!named && (given || wanted->reference)) {
    *node = open_inline(wanted, options, error);
    return *node != NULL;
  }
  if (wanted->role & BG_ROLE_COW)
    return true;
  bg_set_error(error, EINVAL, "the child '%s' is missing", wanted->name);
  return false;
}

static bool attach(BgEdge *edge, BgNode *node, GError **error)
{
  g_auto(BgProposal) proposal;
  bg_proposal_init(&proposal);
  bg_proposal_retarget(&proposal, edge, node);
  return bg_change_run(node->graph, &proposal, error);
}

bool bg_open_child(BgHost *host, const char *name, BgRole role, const char *reference, const char *format,
                   BgChild **child, GError **error)
{
  BgNode *parent = bg_node_of(host), *node;
  const Wanted wanted = {parent->opening, name, role, reference, format};
  *child = NULL;
  if (!find_or_open(&wanted, &node, error))
    return false;
  BgEdge *edge = bg_edge_new(parent, name, role);
  if (node && !attach(edge, node, error)) {
    bg_edge_free(edge);
    return false;
  }
  if (!node) {
    /* remembered, so that a reopen can attach one */
    bg_graph_lock(parent->graph);
    g_ptr_array_add(parent->children, edge);
    bg_graph_unlock(parent->graph);
    return true;
  }
  *child = &edge->child;
  return true;
}

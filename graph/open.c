#include "graph/open.h"

#include "drivers/registry.h"
#include "graph/host.h"
#include "graph/name.h"
#include "graph/node-options.h"
#include "graph/probe.h"
#include "graph/remove.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ── names ── */

static bool name_taken(BgGraph *graph, const char *name)
{
  for (guint i = 0; i < graph->nodes->len; i++) {
    const BgNode *node = graph->nodes->pdata[i];
    if (!node->yields && strcmp(node->name, name) == 0)
      return true;
  }
  return false;
}

/* `name`, or with a number behind it if it is taken. Under graph->control. */
static char *unique_name(BgGraph *graph, const char *name)
{
  if (!name_taken(graph, name))
    return g_strdup(name);
  for (unsigned number = 2;; number++) {
    g_autofree char *tail = g_strdup_printf("-%u", number);
    size_t room = BG_NAME_MAX - strlen(tail);
    g_autofree char *candidate = g_strdup_printf("%.*s%s", (int)room, name, tail);
    if (!name_taken(graph, candidate))
      return g_steal_pointer(&candidate);
  }
}

static bool check_given_name(BgGraph *graph, const char *name, GError **error)
{
  if (!bg_name_valid(name)) {
    g_autofree char *shown = g_strescape(name, NULL);
    bg_set_error(error, EINVAL,
                 "'%s' is no node name (a letter, then letters, digits, '-', '.', '_'; at most %d bytes)", shown,
                 BG_NAME_MAX);
    return false;
  }
  bg_graph_lock(graph);
  bool taken = name_taken(graph, name);
  bg_graph_unlock(graph);
  if (taken)
    bg_set_error(error, EEXIST, "there is a node '%s' already", name);
  return !taken;
}

/* Puts the node into the graph under its name, unseen until the batch is whole. */
static BgNode *register_node(BgBatch *batch, const char *name, const BgDriver *driver)
{
  bg_graph_lock(batch->graph);
  BgNode *node = bg_node_new(batch->graph, unique_name(batch->graph, name), driver);
  bg_host_init(node);
  g_ptr_array_add(batch->graph->nodes, node);
  bg_graph_unlock(batch->graph);
  g_ptr_array_add(batch->nodes, node);
  return node;
}

/* ── which driver ── */

static const BgDriver *find_driver(const char *name, GError **error)
{
  const BgDriver *driver = bg_driver_find(name);
  if (!driver) {
    g_autofree char *shown = g_strescape(name, NULL);
    bg_set_error(error, EINVAL, "there is no driver '%s'", shown);
  }
  return driver;
}

static int read_head(BgNode *storage, uint8_t *head, size_t *length)
{
  int64_t size = bg_node_size(storage);
  if (size < 0)
    return (int)size;
  *length = MIN((size_t)size, (size_t)BG_PROBE_HEAD);
  size_t whole = (*length + storage->limits.request_alignment - 1) & ~(size_t)(storage->limits.request_alignment - 1);
  struct iovec iov = {head, whole};
  return *length ? storage->driver->preadv(storage->instance, &iov, 1, 0) : 0;
}

static const BgDriver *probe_storage(BgNode *storage, BgProbe probe, GError **error)
{
  void *head = NULL;
  size_t length = 0;
  if (!storage->driver->preadv || posix_memalign(&head, 4096, BG_PROBE_HEAD + 4096) != 0) {
    bg_set_error(error, EINVAL, "node '%s': its format cannot be found by content, name a driver", storage->name);
    return NULL;
  }
  const BgDriver *found = NULL;
  g_autoptr(GError) failure = NULL;
  int result = read_head(storage, head, &length);
  if (result)
    bg_set_error_errno(&failure, -result, "node '%s': cannot read", storage->name);
  else
    found = bg_probe_format(head, length, &failure);
  free(head);
  if (failure) {
    g_propagate_error(error, g_steal_pointer(&failure));
    return NULL;
  }
  if (found && probe == BG_PROBE_RAW_ONLY) {
    g_autofree char *filename = bg_node_filename(storage);
    bg_set_error(
        error, EPERM,
        "backing file '%s' looks like %s, but its overlay does not record that format: record it (qemu-img rebase "
        "-u -F %s), name it (--blockdev …,backing.driver=%s), or use --trust-images",
        filename ? filename : storage->name, found->name, found->name, found->name);
    return NULL;
  }
  return found ? found : find_driver("raw", error);
}

/* Opens the `file` child first, to see what is in it. */
static const BgDriver *probe_driver(BgOpening *opening, BgDict *options, const BgNodeOptions *common, const char *name,
                                    BgProbe probe, GError **error)
{
  g_autofree char *reference = bg_dict_take(options, "file");
  if (reference) {
    opening->storage = bg_graph_find(opening->batch->graph, reference);
    if (!opening->storage)
      bg_set_error(error, ENOENT, "there is no node '%s'", reference);
  } else {
    g_autoptr(BgDict) inline_options = bg_dict_take_tree(options, "file");
    g_autofree char *child_name = bg_name_for_child(name, "file");
    bg_node_options_inherit(common, BG_KIND_FORMAT, BG_ROLE_PRIMARY, inline_options);
    opening->storage = bg_open_node(opening->batch, inline_options, child_name, BG_PROBE_ANY, opening, error);
    if (opening->storage)
      opening->storage->implicit = true;
  }
  return opening->storage ? probe_storage(opening->storage, probe, error) : NULL;
}

static const BgDriver *choose_driver(BgOpening *opening, BgDict *options, const BgNodeOptions *common, const char *name,
                                     BgProbe probe, GError **error)
{
  g_autofree char *driver = bg_dict_take(options, "driver");
  if (driver)
    return find_driver(driver, error);
  if (bg_dict_has_tree(options, "file"))
    return probe_driver(opening, options, common, name, probe, error);
  const char *filename = bg_dict_get(options, "filename");
  const BgDriver *protocol = filename ? bg_driver_of_uri(filename) : NULL;
  if (filename)
    return protocol ? protocol : find_driver("file", error);
  bg_set_error(error, EINVAL, "no driver is named");
  return NULL;
}

/* ── opening one node ── */

/* Moves the options of the driver's children over to opening->children. */
static void take_children(BgOpening *opening, const BgDriver *driver, BgDict *options)
{
  for (const BgChildSpec *spec = driver->children; spec && spec->name; spec++) {
    g_autofree char *reference = bg_dict_take(options, spec->name);
    if (reference)
      bg_dict_set(opening->children, spec->name, reference);
    g_autoptr(BgDict) below = bg_dict_take_tree(options, spec->name);
    for (const char *key; (key = bg_dict_first_key(below));) {
      g_autofree char *path = g_strdup_printf("%s.%s", spec->name, key);
      g_autofree char *value = bg_dict_take(below, key);
      bg_dict_set(opening->children, path, value);
    }
  }
}

static bool check_leftover(const BgDriver *driver, const BgDict *options, GError **error)
{
  const char *key = bg_dict_first_key(options);
  if (!key)
    return true;
  g_autofree char *shown = g_strescape(key, NULL);
  bg_set_error(error, EINVAL, "driver '%s' has no option '%s'", driver->name, shown);
  return false;
}

static bool open_instance(BgOpening *opening, GError **error)
{
  BgNode *node = opening->node;
  BgMode mode = {.direct = node->common.direct, .force_share = node->common.force_share, .shared = BG_PERM_ALL};
  node->opening = opening;
  void *instance = node->driver->open(&node->host, node->options, &mode, error);
  node->opening = NULL;
  if (!instance) {
    bg_node_prefix_error(node, error);
    return false;
  }
  bg_graph_lock(node->graph);
  pthread_rwlock_wrlock(&node->life);
  node->instance = instance;
  node->mode.direct = mode.direct;
  node->mode.force_share = mode.force_share;
  pthread_rwlock_unlock(&node->life);
  bg_graph_unlock(node->graph);
  bg_node_limits(node, &node->limits);
  return true;
}

/* What the user says of a child that the image does not have must not go unheard. */
static bool check_children_asked_for(const BgOpening *opening, GError **error)
{
  const char *key = bg_dict_first_key(opening->children);
  if (!key)
    return true;
  g_autofree char *shown = g_strescape(key, NULL);
  bg_set_error(error, EINVAL, "node '%s': option '%s' is for a child that this image does not have",
               opening->node->name, shown);
  return false;
}

static bool open_registered(BgOpening *opening, BgDict *options, const BgNodeOptions *common, GError **error)
{
  BgNode *node = opening->node;
  node->common = *common;
  node->options = g_malloc0(MAX(node->driver->options_size, 1));
  if (!bg_options_parse(node->driver->options, options, node->options, error) ||
      !check_leftover(node->driver, options, error)) {
    bg_node_prefix_error(node, error);
    return false;
  }
  return open_instance(opening, error) && check_children_asked_for(opening, error);
}

static char *choose_name(BgBatch *batch, BgDict *options, const char *name, GError **error)
{
  g_autofree char *given = bg_dict_take(options, "node-name");
  if (!given)
    return g_strdup(name);
  return check_given_name(batch->graph, given, error) ? g_steal_pointer(&given) : NULL;
}

BgNode *bg_open_node(BgBatch *batch, BgDict *options, const char *name, BgProbe probe, BgOpening *up, GError **error)
{
  BgOpening opening = {.batch = batch, .up = up, .depth = up ? up->depth + 1 : 0};
  if (opening.depth > BG_DEPTH_MAX) {
    bg_set_error(error, ELOOP, "more than %d disks below each other", BG_DEPTH_MAX);
    return NULL;
  }
  BgNodeOptions common;
  g_autoptr(BgDict) children = bg_dict_new();
  g_autofree char *chosen = choose_name(batch, options, name, error);
  opening.children = children;
  if (!chosen || !bg_node_options_parse(options, &common, error))
    return NULL;
  const BgDriver *driver = choose_driver(&opening, options, &common, chosen, probe, error);
  if (!driver)
    return NULL;
  take_children(&opening, driver, options);
  opening.node = register_node(batch, chosen, driver);
  return open_registered(&opening, options, &common, error) ? opening.node : NULL;
}

void bg_open_drop(BgBatch *batch)
{
  while (batch->nodes->len) {
    BgNode *node = g_ptr_array_steal_index(batch->nodes, batch->nodes->len - 1);
    bg_remove_closing(node, NULL);
  }
}

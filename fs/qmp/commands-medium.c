#include "fs/qmp/command.h"

#include "drivers/registry.h"
#include "fs/images.h"
#include "fs/mountpoint.h"
#include "fs/qmp/error.h"
#include "fs/qmp/find.h"
#include "fs/qmp/retry.h"
#include "graph/escape.h"
#include "graph/exchange.h"
#include "graph/inventory.h"
#include "graph/node-options.h"

#include <string.h>

/* ── blockdev-change-medium ── */

static const char *text(JsonObject *arguments, const char *member)
{
  return json_object_get_string_member_with_default(arguments, member, NULL);
}

static const BgSeenNode *find_seen(const BgInventory *inventory, const BgNode *node)
{
  for (guint i = 0; i < inventory->nodes->len; i++) {
    const BgSeenNode *seen = inventory->nodes->pdata[i];
    if (seen->node == node)
      return seen;
  }
  return NULL;
}

/* The options that every node has stay what they are, as a drive stays what it is; those of the image's format do not. */
static void keep_common_options(BgDict *options, BgGraph *graph, const BgNode *node)
{
  g_autoptr(BgInventory) inventory = bg_inventory_take(graph);
  const BgSeenNode *seen = find_seen(inventory, node);
  for (guint i = 0; seen && i < seen->options->len; i++) {
    const BgSeenOption *option = seen->options->pdata[i];
    if (bg_node_options_find(NULL, option->name))
      bg_dict_set(options, option->name, option->value);
  }
}

static void set_read_only_mode(BgDict *options, const char *mode)
{
  if (!mode || strcmp(mode, "retain") == 0)
    return;
  bg_dict_set(options, "read-only", strcmp(mode, "read-only") == 0 ? "on" : "off");
  bg_dict_set(options, "auto-read-only", strcmp(mode, "auto") == 0 ? "on" : "off");
}

static BgDict *medium_options(const BgfsQmpMount *mount, JsonObject *arguments, const BgNode *node)
{
  BgDict *options = bg_dict_new();
  keep_common_options(options, mount->graph, node);
  set_read_only_mode(options, text(arguments, "read-only-mode"));
  if (text(arguments, "format"))
    bg_dict_set(options, "driver", text(arguments, "format"));
  bg_dict_set(options, "file.filename", text(arguments, "filename"));
  return options;
}

static bool accept(void *data, BgNode *opened, GError **error)
{
  const BgfsQmpMount *mount = data;
  return !mount->mountpoint || bgfs_images_check_node(opened, mount->mountpoint, error);
}

static bool check_arguments(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  const char *format = text(arguments, "format"), *filename = text(arguments, "filename");
  const BgDriver *driver = format ? bg_driver_find(format) : NULL;
  if (format && (!driver || driver->kind != BG_KIND_FORMAT)) {
    g_autofree char *shown = bg_escape(format);
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Unknown driver '%s'", shown);
    return false;
  }
  /* before it is opened: whoever opens a file of the own mount waits for itself */
  return !mount->mountpoint || bgfs_mountpoint_check_file(mount->mountpoint, filename, error);
}

typedef struct Change {
  BgNode *node;
  const BgDict *options;
  bool force;
} Change;

/* A refused attempt takes the options all the same. */
static bool exchange(const BgfsQmpMount *mount, void *data, GError **error)
{
  const Change *change = data;
  g_autoptr(BgDict) options = bg_dict_copy(change->options);
  return bg_graph_exchange(
      mount->graph,
      &(BgExchange){
          .node = change->node, .options = options, .force = change->force, .accept = accept, .data = (void *)mount},
      error);
}

static JsonNode *change_medium(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  BgNode *node = bgfs_qmp_find_either(mount, arguments, "device", "id", error);
  if (!node || !check_arguments(mount, arguments, error))
    return NULL;
  g_autoptr(BgDict) options = medium_options(mount, arguments, node);
  Change change = {node, options, json_object_get_boolean_member_with_default(arguments, "force", FALSE)};
  return bgfs_qmp_retry(mount, exchange, &change, error) ? bgfs_qmp_done() : NULL;
}

/* ── types ── */

static const char *const modes[] = {"retain", "read-only", "read-write", "auto", NULL};
static const BgfsQmpType mode_type = {.kind = BGFS_QMP_ENUM, .name = "BlockdevChangeReadOnlyMode", .values = modes};

static const BgfsQmpMember change_members[] = {
    {"device", &bgfs_qmp_string, true, "the node, and its file in the mount"},
    {"id", &bgfs_qmp_string, true, "the same"},
    {"filename", &bgfs_qmp_string, false, "the new image: an absolute path, or a URI"},
    {"format", &bgfs_qmp_string, true, "its format (default: by content)"},
    {"force", &bgfs_qmp_bool, true, "also while programs read the file (default: false)"},
    {"read-only-mode", &mode_type, true,
     "retain: options read-only and auto-read-only stay as they are; read-only: never written; read-write: open "
     "read-write as long as it is there, or refused; auto: read-only until somebody writes (default: retain)"},
    {NULL},
};
static const BgfsQmpType change_type = {
    .kind = BGFS_QMP_OBJECT, .name = "BlockdevChangeMedium", .members = change_members};

const BgfsQmpCommand bgfs_qmp_medium_commands[] = {
    {"blockdev-change-medium", change_medium, &change_type, &bgfs_qmp_nothing, BGFS_QMP_CHANGES_FILES,
     "Puts another image behind a file of the mount, as a disc is changed in a drive: the file keeps its name and "
     "number, "
     "the files of what is below are the new image's, and the old image is closed. Options that every node has stay, "
     "but "
     "for read-only-mode. Refused while the file is open, or another node or a job stands on the node. With force, "
     "programs that only read go on with the new image; one that writes is in the way all the same, lest what it "
     "knows of the old image be written to the new. If the new image cannot be opened, the old one stays."},
    {NULL},
};

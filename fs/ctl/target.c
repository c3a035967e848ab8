#include "fs/ctl/target.h"

#include "drivers/error.h"
#include "drivers/registry.h"
#include "fs/ctl/node-options.h"
#include "fs/ctl/nodes.h"
#include "fs/image.h"
#include "fs/path.h"
#include "graph/create.h"
#include "graph/name.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *format_by_ending(const char *file)
{
  static const struct {
    const char *ending, *format;
  } known[] = {{".qcow2", "qcow2"}, {".raw", "raw"}, {".img", "raw"}};
  for (size_t i = 0; i < G_N_ELEMENTS(known); i++)
    if (g_str_has_suffix(file, known[i].ending))
      return known[i].format;
  return NULL;
}

/* NULL: it is not said, or no file is meant. */
static const char *choose_format(const char *text, const char *format, GError **error)
{
  const char *chosen = format ? format : format_by_ending(text);
  if (chosen)
    return chosen;
  if (strchr(text, '/'))
    bg_set_error(error, EINVAL, "%s: its name does not tell its format: --format does", text);
  else
    bg_set_error(error, ENOENT, "%s: there is no such node (a file is named with its directory, or with --format)",
                 text);
  return NULL;
}

/* After the file, and with a number behind it where the graph has such a node. */
static char *choose_name(const BgfsCtlNodes *nodes, const char *file)
{
  char *name = bg_name_from_file(file);
  g_autofree char *base = g_strndup(name, BG_NAME_MAX - 12);
  for (unsigned i = 2; g_hash_table_contains(nodes->by_name, name); i++) {
    g_free(name);
    name = g_strdup_printf("%s-%u", base, i);
  }
  return name;
}

static bool create(BgfsCtlTarget *target, const BgfsCtlNodes *nodes, const char *source, const char *format,
                   GError **error)
{
  JsonObject *node = bgfs_ctl_nodes_find(nodes, source, error);
  if (!node)
    return false;
  int64_t size = bgfs_ctl_number(node, "size", -1);
  if (size < 0) {
    bg_set_error(error, EPROTO, "node '%s': its size is not known", source);
    return false;
  }
  target->created = bg_create_image(format, target->file, (uint64_t)size, NULL, NULL, NULL, NULL, error);
  return target->created;
}

static bool add(BgfsCtl *ctl, const BgfsCtlTarget *target, const char *format, GError **error)
{
  g_autoptr(BgDict) options = bgfs_image_dict(target->node, target->file, format);
  bg_dict_set(options, "auto-read-only", "on");
  return bgfs_ctl_client_do(ctl->client, "blockdev-add", bgfs_ctl_options_json(options), error);
}

static bool open_file(BgfsCtl *ctl, BgfsCtlTarget *target, const BgfsCtlNodes *nodes, const char *source,
                      const char *format, GError **error)
{
  target->node = choose_name(nodes, target->file);
  bool exists = bg_driver_of_uri(target->file) || access(target->file, F_OK) == 0;
  if (!exists && !create(target, nodes, source, format, error))
    return false;
  if (add(ctl, target, format, error))
    return true;
  if (target->created)
    unlink(target->file);
  return false;
}

bool bgfs_ctl_target_open(BgfsCtl *ctl, BgfsCtlTarget *target, const char *source, const char *text, const char *format,
                          GError **error)
{
  g_autoptr(BgfsCtlNodes) nodes = bgfs_ctl_nodes_query(ctl, error);
  if (!nodes)
    return false;
  if (!format && g_hash_table_contains(nodes->by_name, text)) {
    target->node = g_strdup(text);
    return true;
  }
  const char *chosen = choose_format(text, format, error);
  if (!chosen)
    return false;
  target->file = bgfs_absolute_path(text);
  return open_file(ctl, target, nodes, source, chosen, error);
}

void bgfs_ctl_target_close(BgfsCtl *ctl, BgfsCtlTarget *target, bool failed, bool stays)
{
  if (!target->file || stays)
    return;
  g_autoptr(GError) error = NULL;
  if (!bgfs_ctl_client_do(ctl->client, "blockdev-del", bgfs_ctl_arguments("node-name", target->node, NULL), &error))
    fprintf(stderr, "%s: the node '%s' is left: %s\n", ctl->subcommand.name, target->node, error->message);
  else if (failed && target->created && unlink(target->file) < 0)
    fprintf(stderr, "%s: %s is left: %s\n", ctl->subcommand.name, target->file, g_strerror(errno));
}

void bgfs_ctl_target_clear(BgfsCtlTarget *target)
{
  g_free(target->node);
  g_free(target->file);
}

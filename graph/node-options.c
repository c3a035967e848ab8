#include "graph/node-options.h"

#include <errno.h>

static const char *const discard_words[] = {"ignore", "unmap", NULL};
static const char *const detect_zeroes_words[] = {"off", "on", "unmap", NULL};

static const BgOption table[] = {
    {.name = "read-only",
     .type = BG_OPTION_BOOL,
     .offset = offsetof(BgNodeOptions, read_only),
     .changeable = true,
     .help = "never opened for writing"},
    {.name = "auto-read-only",
     .type = BG_OPTION_BOOL,
     .offset = offsetof(BgNodeOptions, auto_read_only),
     .changeable = true,
     .help = "read-only until somebody writes"},
    {.name = "force-share",
     .type = BG_OPTION_BOOL,
     .offset = offsetof(BgNodeOptions, force_share),
     .changeable = true,
     .help = "read even while another process writes the image (never written then)"},
    {.name = "cache.direct",
     .type = BG_OPTION_BOOL,
     .offset = offsetof(BgNodeOptions, direct),
     .changeable = true,
     .help = "go around the host's page cache (O_DIRECT)"},
    {.name = "cache.no-flush",
     .type = BG_OPTION_BOOL,
     .offset = offsetof(BgNodeOptions, no_flush),
     .changeable = true,
     .help = "ignore flushes: fast, and unsafe when the host fails"},
    {.name = "discard",
     .type = BG_OPTION_ENUM,
     .offset = offsetof(BgNodeOptions, discard),
     .values = discard_words,
     .changeable = true,
     .help = "what becomes of space that is no longer needed"},
    {.name = "detect-zeroes",
     .type = BG_OPTION_ENUM,
     .offset = offsetof(BgNodeOptions, detect_zeroes),
     .values = detect_zeroes_words,
     .changeable = true,
     .help = "whether written zeros are stored as holes"},
    {NULL},
};

const BgOption *bg_node_options_table(void)
{
  return table;
}

const BgOption *bg_node_options_find(const BgDriver *driver, const char *name)
{
  const BgOption *common = bg_option_find(table, name);
  return common || !driver ? common : bg_option_find(driver->options, name);
}

bool bg_node_options_parse(BgDict *dict, BgNodeOptions *common, GError **error)
{
  BgNodeOptions parsed = {0};
  if (!bg_options_parse(table, dict, &parsed, error))
    return false;
  if (parsed.detect_zeroes == BG_DETECT_ZEROES_UNMAP && parsed.discard != BG_DISCARD_UNMAP) {
    bg_set_error(error, EINVAL, "detect-zeroes=unmap needs discard=unmap");
    return false;
  }
  *common = parsed;
  return true;
}

static const char *word(bool on)
{
  return on ? "on" : "off";
}

/* A backing disk follows its writers, unless read-only=on comes down to it. */
static void inherit_backing(const BgNodeOptions *parent, BgDict *child)
{
  if (bg_dict_get(child, "read-only") || bg_dict_get(child, "auto-read-only"))
    return;
  if (parent->read_only)
    bg_dict_set(child, "read-only", "on");
  else
    bg_dict_set(child, "auto-read-only", "on");
}

void bg_node_options_inherit(const BgNodeOptions *parent, BgKind parent_kind, unsigned role, BgDict *child)
{
  if (role & BG_ROLE_COW) {
    inherit_backing(parent, child);
  } else {
    bg_dict_set_default(child, "read-only", word(parent->read_only));
    bg_dict_set_default(child, "auto-read-only", word(parent->auto_read_only));
  }
  bg_dict_set_default(child, "cache.direct", word(parent->direct));
  bg_dict_set_default(child, "cache.no-flush", word(parent->no_flush));
  bg_dict_set_default(child, "force-share", word(parent->force_share));
  /* formats decide themselves what they give back, so the storage below them may always take it */
  if (parent_kind == BG_KIND_FORMAT && !(role & BG_ROLE_COW))
    bg_dict_set_default(child, "discard", "unmap");
  else if (role & BG_ROLE_COW)
    bg_dict_set_default(child, "discard", parent->discard == BG_DISCARD_UNMAP ? "unmap" : "ignore");
}

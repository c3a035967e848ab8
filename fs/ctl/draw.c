#include "fs/ctl/draw.h"

#include "fs/ctl/units.h"

#include <string.h>

/* Chains are never deeper, but what a server sends may be. */
enum { MAX_DEPTH = 1000 };

typedef struct Drawing {
  const BgfsCtlNodes *nodes;
  GString *out;
  GHashTable *shown;  /* names */
  GPtrArray *margins; /* what stands before a line, one text for each level */
  const char *branch, *last_branch, *line, *blank;
} Drawing;

static void append_margin(const Drawing *drawing)
{
  for (guint i = 0; i < drawing->margins->len; i++)
    g_string_append(drawing->out, drawing->margins->pdata[i]);
}

static void append_text(const Drawing *drawing, const char *format, const char *text)
{
  g_autofree char *shown = bgfs_ctl_shown(text);
  g_autofree char *part = g_strdup_printf("%s%s", format, shown);
  g_string_append(drawing->out, part);
}

/* Without the name of the node itself, which stands before it. */
static const char *reason_of(JsonObject *node)
{
  const char *reason = bgfs_ctl_text(node, "reason");
  g_autofree char *own = g_strdup_printf("node '%s': ", bgfs_ctl_text(node, "node-name"));
  return reason && g_str_has_prefix(reason, own) ? reason + strlen(own) : reason;
}

/* "disk (qcow2, 10 GiB, open read-only) available: nobody writes" */
static void append_node(const Drawing *drawing, JsonObject *node)
{
  append_text(drawing, "", bgfs_ctl_text(node, "node-name"));
  append_text(drawing, " (", bgfs_ctl_text(node, "driver"));
  int64_t size = bgfs_ctl_number(node, "size", -1);
  if (size >= 0) {
    g_autofree char *text = bgfs_ctl_size_text((uint64_t)size);
    append_text(drawing, ", ", text);
  }
  g_string_append_printf(drawing->out, ", open %s)", bgfs_ctl_bool(node, "read-write") ? "read-write" : "read-only");
  append_text(drawing, " ", bgfs_ctl_text(node, "write-state"));
  append_text(drawing, ": ", reason_of(node));
  g_string_append_c(drawing->out, '\n');
}

static bool user_writes(JsonObject *user)
{
  JsonArray *perm = bgfs_ctl_array(user, "perm");
  for (unsigned i = 0; i < bgfs_ctl_length(perm); i++)
    if (g_strcmp0(json_array_get_string_element(perm, i), "write") == 0)
      return true;
  return false;
}

static void append_user(const Drawing *drawing, JsonObject *user, bool last)
{
  append_margin(drawing);
  append_text(drawing, last ? drawing->last_branch : drawing->branch, "used by ");
  append_text(drawing, "", bgfs_ctl_text(user, "what"));
  g_string_append(drawing->out, user_writes(user) ? " (writes)\n" : " (reads)\n");
}

static void draw_node(const Drawing *drawing, const char *name);

static void draw_edge(const Drawing *drawing, JsonObject *child, bool last)
{
  append_margin(drawing);
  append_text(drawing, last ? drawing->last_branch : drawing->branch, bgfs_ctl_text(child, "name"));
  g_string_append(drawing->out, ": ");
  g_ptr_array_add(drawing->margins, (gpointer)(last ? drawing->blank : drawing->line));
  draw_node(drawing, bgfs_ctl_text(child, "node-name"));
  g_ptr_array_remove_index(drawing->margins, drawing->margins->len - 1);
}

/* The rest of the line, and what is below. */
static void draw_node(const Drawing *drawing, const char *name)
{
  JsonObject *node = name ? g_hash_table_lookup(drawing->nodes->by_name, name) : NULL;
  if (!node || !g_hash_table_add(drawing->shown, (gpointer)name) || drawing->margins->len > MAX_DEPTH) {
    append_text(drawing, "", name);
    g_string_append(drawing->out, node ? " (see above)\n" : "\n");
    return;
  }
  append_node(drawing, node);
  JsonArray *users = bgfs_ctl_array(node, "users"), *children = bgfs_ctl_array(node, "children");
  unsigned user_count = bgfs_ctl_length(users), child_count = bgfs_ctl_length(children);
  for (unsigned i = 0; i < user_count; i++)
    append_user(drawing, bgfs_ctl_element(users, i), i + 1 == user_count && child_count == 0);
  for (unsigned i = 0; i < child_count; i++)
    draw_edge(drawing, bgfs_ctl_element(children, i), i + 1 == child_count);
}

/* ── where to begin ── */

static GHashTable *nodes_with_parents(const BgfsCtlNodes *nodes)
{
  GHashTable *below = g_hash_table_new(g_str_hash, g_str_equal);
  for (unsigned i = 0; i < bgfs_ctl_length(nodes->list); i++) {
    JsonObject *node = bgfs_ctl_element(nodes->list, i);
    JsonArray *children = bgfs_ctl_array(node, "children");
    for (unsigned j = 0; j < bgfs_ctl_length(children); j++) {
      const char *child = bgfs_ctl_text(bgfs_ctl_element(children, j), "node-name");
      if (child && !strchr(bgfs_ctl_text(node, "node-name"), '@'))
        g_hash_table_add(below, (gpointer)child);
    }
  }
  return below;
}

/* Snapshots stand on their images: they come last, or each image would be described below the first of its own. */
static void draw_tops(const Drawing *drawing, GHashTable *below, bool snapshots)
{
  for (unsigned i = 0; i < bgfs_ctl_length(drawing->nodes->list); i++) {
    const char *name = bgfs_ctl_text(bgfs_ctl_element(drawing->nodes->list, i), "node-name");
    if (!g_hash_table_contains(below, name) && !!strchr(name, '@') == snapshots)
      draw_node(drawing, name);
  }
}

char *bgfs_ctl_draw(const BgfsCtlNodes *nodes, const char *from, bool box)
{
  g_autoptr(GHashTable) shown = g_hash_table_new(g_str_hash, g_str_equal), below = nodes_with_parents(nodes);
  g_autoptr(GPtrArray) margins = g_ptr_array_new();
  Drawing drawing = {nodes, g_string_new(NULL), shown, margins, "|-- ", "`-- ", "|   ", "    "};
  if (box) {
    drawing.branch = "├── ";
    drawing.last_branch = "└── ";
    drawing.line = "│   ";
  }
  if (from) {
    draw_node(&drawing, from);
  } else {
    draw_tops(&drawing, below, false);
    draw_tops(&drawing, below, true);
  }
  return g_string_free(drawing.out, FALSE);
}

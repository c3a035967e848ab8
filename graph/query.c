#include "graph/query.h"

#include "graph/escape.h"
#include "graph/inventory.h"
#include "graph/json-writer.h"

#include <string.h>

static const char *const kind_words[] = {
    [BG_KIND_PROTOCOL] = "protocol", [BG_KIND_FORMAT] = "format", [BG_KIND_FILTER] = "filter"};

/* ── JSON ── */

static void add_bytes(JsonBuilder *builder, const char *name, int64_t bytes)
{
  if (bytes >= 0)
    bg_json_add_number(builder, name, bytes);
}

static void add_perms(JsonBuilder *builder, const char *name, BgPerm perm)
{
  static const char *const words[BG_PERM_COUNT] = {"consistent-read", "write", "write-unchanged", "resize"};
  json_builder_set_member_name(builder, name);
  json_builder_begin_array(builder);
  for (unsigned i = 0; i < BG_PERM_COUNT; i++)
    if (perm & (1u << i))
      json_builder_add_string_value(builder, words[i]);
  json_builder_end_array(builder);
}

static void add_roles(JsonBuilder *builder, unsigned role)
{
  static const char *const words[] = {"data", "metadata", "filtered", "cow", "primary", "snapshot"};
  json_builder_set_member_name(builder, "roles");
  json_builder_begin_array(builder);
  for (unsigned i = 0; i < G_N_ELEMENTS(words); i++)
    if (role & (1u << i))
      json_builder_add_string_value(builder, words[i]);
  json_builder_end_array(builder);
}

static void add_option(JsonBuilder *builder, const BgSeenOption *option)
{
  switch (option->type) {
  case BG_OPTION_BOOL:
    bg_json_add_bool(builder, option->name, strcmp(option->value, "on") == 0);
    return;
  case BG_OPTION_UINT:
  case BG_OPTION_SIZE: {
    uint64_t number;
    if (bg_parse_size(option->value, &number, NULL))
      bg_json_add_number(builder, option->name, (int64_t)number);
    else
      bg_json_add_text(builder, option->name, option->value);
    return;
  }
  default:
    bg_json_add_text(builder, option->name, option->value);
  }
}

static void add_options(JsonBuilder *builder, const BgSeenNode *node)
{
  json_builder_set_member_name(builder, "options");
  json_builder_begin_object(builder);
  for (guint i = 0; i < node->options->len; i++)
    add_option(builder, node->options->pdata[i]);
  json_builder_end_object(builder);
}

static void add_facts(JsonBuilder *builder, const BgSeenNode *node)
{
  json_builder_set_member_name(builder, "info");
  json_builder_begin_object(builder);
  for (guint i = 0; i < node->facts->len; i++) {
    const BgSeenFact *fact = node->facts->pdata[i];
    json_builder_set_member_name(builder, fact->name);
    json_builder_add_value(builder, json_gvariant_serialize(fact->value));
  }
  json_builder_end_object(builder);
}

JsonNode *bg_query_snapshot(const BgSnapshot *snapshot)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();
  json_builder_begin_object(builder);
  bg_json_add_text(builder, "id", snapshot->id);
  bg_json_add_text(builder, "name", snapshot->name);
  bg_json_add_number(builder, "vm-state-size", (int64_t)snapshot->vm_state_size);
  bg_json_add_number(builder, "date-sec", snapshot->date_sec);
  bg_json_add_number(builder, "date-nsec", snapshot->date_nsec);
  bg_json_add_number(builder, "vm-clock-sec", (int64_t)(snapshot->vm_clock_nsec / 1000000000));
  bg_json_add_number(builder, "vm-clock-nsec", (int64_t)(snapshot->vm_clock_nsec % 1000000000));
  if (snapshot->icount != UINT64_MAX)
    bg_json_add_number(builder, "icount", (int64_t)snapshot->icount);
  json_builder_end_object(builder);
  return bg_json_take(builder);
}

static void add_snapshots(JsonBuilder *builder, const BgSeenNode *node)
{
  if (!node->snapshot_count)
    return;
  bg_json_add_number(builder, "snapshot-count", (int64_t)node->snapshot_count);
  json_builder_set_member_name(builder, "snapshots");
  json_builder_begin_array(builder);
  for (guint i = 0; i < node->snapshots->len; i++)
    json_builder_add_value(builder, bg_query_snapshot(node->snapshots->pdata[i]));
  json_builder_end_array(builder);
}

JsonNode *bg_query_bitmap(const BgBitmapInfo *bitmap)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();
  json_builder_begin_object(builder);
  bg_json_add_text(builder, "name", bitmap->name);
  bg_json_add_number(builder, "count", (int64_t)bitmap->count);
  bg_json_add_number(builder, "granularity", (int64_t)bitmap->granularity);
  bg_json_add_bool(builder, "recording", bitmap->recording);
  bg_json_add_bool(builder, "busy", bitmap->busy);
  bg_json_add_bool(builder, "persistent", bitmap->persistent);
  if (bitmap->inconsistent)
    bg_json_add_bool(builder, "inconsistent", true);
  json_builder_end_object(builder);
  return bg_json_take(builder);
}

static void add_bitmaps(JsonBuilder *builder, const BgSeenNode *node)
{
  if (!node->bitmaps->len)
    return;
  json_builder_set_member_name(builder, "dirty-bitmaps");
  json_builder_begin_array(builder);
  for (guint i = 0; i < node->bitmaps->len; i++)
    json_builder_add_value(builder, bg_query_bitmap(node->bitmaps->pdata[i]));
  json_builder_end_array(builder);
}

static void add_children(JsonBuilder *builder, const BgSeenNode *node)
{
  json_builder_set_member_name(builder, "children");
  json_builder_begin_array(builder);
  for (guint i = 0; i < node->edges->len; i++) {
    const BgSeenEdge *edge = node->edges->pdata[i];
    json_builder_begin_object(builder);
    bg_json_add_text(builder, "name", edge->name);
    bg_json_add_text(builder, "node-name", edge->child->name);
    add_roles(builder, edge->role);
    add_perms(builder, "perm", edge->perm);
    add_perms(builder, "shared", edge->shared);
    json_builder_end_object(builder);
  }
  json_builder_end_array(builder);
}

static void add_users(JsonBuilder *builder, const BgSeenNode *node)
{
  json_builder_set_member_name(builder, "users");
  json_builder_begin_array(builder);
  for (guint i = 0; i < node->users->len; i++) {
    const BgSeenUser *user = node->users->pdata[i];
    json_builder_begin_object(builder);
    bg_json_add_text(builder, "what", user->what);
    add_perms(builder, "perm", user->perm);
    add_perms(builder, "shared", user->shared);
    bg_json_add_bool(builder, "passthrough", user->passthrough);
    json_builder_end_object(builder);
  }
  json_builder_end_array(builder);
}

static void add_node(JsonBuilder *builder, const BgSeenNode *node)
{
  json_builder_begin_object(builder);
  bg_json_add_text(builder, "node-name", node->name);
  bg_json_add_text(builder, "driver", node->driver->name);
  bg_json_add_text(builder, "kind", kind_words[node->driver->kind]);
  if (node->filename)
    bg_json_add_text(builder, "filename", node->filename);
  add_bytes(builder, "size", node->size);
  add_bytes(builder, "allocated", node->allocated);
  add_options(builder, node);
  add_facts(builder, node);
  add_snapshots(builder, node);
  add_bitmaps(builder, node);
  bg_json_add_bool(builder, "read-write", node->read_write);
  bg_json_add_text(builder, "write-state", bg_write_state_name(node->state.write_state));
  bg_json_add_text(builder, "reason", node->state.reason);
  bg_json_add_number(builder, "errno", node->state.error);
  add_children(builder, node);
  add_users(builder, node);
  json_builder_end_object(builder);
}

JsonNode *bg_query_values(BgGraph *graph)
{
  g_autoptr(BgInventory) inventory = bg_inventory_take(graph);
  g_autoptr(JsonBuilder) builder = json_builder_new();
  json_builder_begin_object(builder);
  json_builder_set_member_name(builder, "nodes");
  json_builder_begin_array(builder);
  for (guint i = 0; i < inventory->nodes->len; i++)
    add_node(builder, inventory->nodes->pdata[i]);
  json_builder_end_array(builder);
  json_builder_end_object(builder);
  return json_builder_get_root(builder);
}

static void append(void *data, const char *text, size_t length)
{
  g_string_append_len(data, text, (gssize)length);
}

/* There may be thousands: one at a time. */
char *bg_query_json(BgGraph *graph)
{
  g_autoptr(BgInventory) inventory = bg_inventory_take(graph);
  g_autoptr(JsonBuilder) builder = json_builder_new();
  GString *out = g_string_new(NULL);
  BgJsonWriter writer = {append, out};
  bg_json_begin(&writer, NULL, '{');
  bg_json_begin(&writer, "nodes", '[');
  for (guint i = 0; i < inventory->nodes->len; i++) {
    add_node(builder, inventory->nodes->pdata[i]);
    bg_json_put(&writer, NULL, bg_json_take(builder));
  }
  bg_json_end(&writer, ']');
  bg_json_end(&writer, '}');
  return g_string_free(out, FALSE);
}

/* ── tree ── */

static const char *mode_word(const BgSeenNode *node)
{
  return node->read_write ? "read-write" : "read-only";
}

/* A node that several parents share is described below the first of them. */
static void append_branch(GString *out, GHashTable *shown, const BgSeenNode *node, const char *edge, unsigned depth)
{
  g_string_append_printf(out, "%*s", (int)depth * 2, "");
  if (edge)
    g_string_append_printf(out, "%s: ", edge);
  if (!g_hash_table_add(shown, (gpointer)node)) {
    g_string_append_printf(out, "%s (see above)\n", node->name);
    return;
  }
  g_autofree char *reason = bg_escape(node->state.reason);
  g_string_append_printf(out, "%s (%s, open %s, %s: %s)\n", node->name, node->driver->name, mode_word(node),
                         bg_write_state_name(node->state.write_state), reason);
  for (guint i = 0; i < node->edges->len; i++) {
    const BgSeenEdge *below = node->edges->pdata[i];
    append_branch(out, shown, below->child, below->name, depth + 1);
  }
}

/* Snapshots come last, or each image would be described below the first of its own. */
static bool is_snapshot(const BgSeenNode *node)
{
  return node->edges->len && ((const BgSeenEdge *)node->edges->pdata[0])->role & BG_ROLE_SNAPSHOT;
}

char *bg_query_tree(BgGraph *graph)
{
  g_autoptr(BgInventory) inventory = bg_inventory_take(graph);
  g_autoptr(GHashTable) shown = g_hash_table_new(NULL, NULL);
  GString *out = g_string_new(NULL);
  for (guint i = 0; i < inventory->nodes->len; i++) {
    const BgSeenNode *node = inventory->nodes->pdata[i];
    if (!node->has_parent && !is_snapshot(node))
      append_branch(out, shown, node, NULL, 0);
  }
  for (guint i = 0; i < inventory->nodes->len; i++)
    if (is_snapshot(inventory->nodes->pdata[i]))
      append_branch(out, shown, inventory->nodes->pdata[i], NULL, 0);
  return g_string_free(out, FALSE);
}

/* ── Graphviz ── */

/* Printable text, inside a quoted string of Graphviz. */
static void append_printable(GString *out, const char *text)
{
  for (const char *c = text; *c; c++) {
    if (*c == '"' || *c == '\\')
      g_string_append_c(out, '\\');
    g_string_append_c(out, *c);
  }
}

/* Text inside a quoted string of Graphviz: what bg_escape() wrote as \x is shown as \x. */
static void append_quoted(GString *out, const char *text)
{
  g_autofree char *line = bg_escape(text);
  append_printable(out, line);
}
static void append_dot_name(GString *out, const BgSeenNode *node)
{
  g_string_append_c(out, '"');
  append_printable(out, node->name);
  g_string_append_c(out, '"');
}

static void append_dot_node(GString *out, const BgSeenNode *node)
{
  g_string_append(out, "  ");
  append_dot_name(out, node);
  g_string_append(out, " [label=\"");
  append_printable(out, node->name);
  g_string_append_printf(out, "\\n%s\\nopen %s, %s\", tooltip=\"", node->driver->name, mode_word(node),
                         bg_write_state_name(node->state.write_state));
  append_quoted(out, node->state.reason);
  g_string_append(out, "\"];\n");
  for (guint i = 0; i < node->edges->len; i++) {
    const BgSeenEdge *edge = node->edges->pdata[i];
    g_string_append(out, "  ");
    append_dot_name(out, node);
    g_string_append(out, " -> ");
    append_dot_name(out, edge->child);
    g_string_append(out, " [label=\"");
    append_quoted(out, edge->name);
    g_string_append(out, edge->perm & BG_PERM_ANY_WRITE ? "\", style=bold];\n" : "\"];\n");
  }
}

/* Users get identifiers that no node can have: a digit begins them. */
static void append_dot_users(GString *out, const BgSeenNode *node, unsigned *number)
{
  for (guint i = 0; i < node->users->len; i++) {
    const BgSeenUser *user = node->users->pdata[i];
    g_string_append_printf(out, "  \"%u\" [shape=ellipse, label=\"", ++*number);
    append_quoted(out, user->what);
    g_string_append_printf(out, "\"];\n  \"%u\" -> ", *number);
    append_dot_name(out, node);
    g_string_append(out, user->perm & BG_PERM_ANY_WRITE ? " [style=bold];\n" : ";\n");
  }
}

char *bg_query_dot(BgGraph *graph)
{
  g_autoptr(BgInventory) inventory = bg_inventory_take(graph);
  GString *out = g_string_new("digraph blockgraph {\n  node [shape=box];\n");
  unsigned users = 0;
  for (guint i = 0; i < inventory->nodes->len; i++) {
    append_dot_node(out, inventory->nodes->pdata[i]);
    append_dot_users(out, inventory->nodes->pdata[i], &users);
  }
  g_string_append(out, "}\n");
  return g_string_free(out, FALSE);
}

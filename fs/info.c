#include "fs/info.h"

#include "fs/look.h"
#include "graph/escape.h"
#include "graph/inventory.h"

#include <inttypes.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

/* The driver's fact of that name; NULL: none. */
static GVariant *fact(const BgSeenNode *seen, const char *name)
{
  for (guint i = 0; i < seen->facts->len; i++) {
    const BgSeenFact *one = seen->facts->pdata[i];
    if (strcmp(one->name, name) == 0)
      return one->value;
  }
  return NULL;
}

static const char *text_fact(const BgSeenNode *seen, const char *name)
{
  GVariant *value = fact(seen, name);
  return value ? g_variant_get_string(value, NULL) : NULL;
}

static const BgSeenNode *child(const BgSeenNode *seen, const char *name)
{
  for (guint i = 0; i < seen->edges->len; i++) {
    const BgSeenEdge *edge = seen->edges->pdata[i];
    if (strcmp(edge->name, name) == 0)
      return edge->child;
  }
  return NULL;
}

/* What a name in the image `filename` means: relative ones begin where the image is. */
static char *full_name(const char *filename, const char *reference)
{
  const char *slash = strrchr(filename, '/');
  if (g_path_is_absolute(reference) || !slash)
    return g_strdup(reference);
  return g_strdup_printf("%.*s%s", (int)(slash - filename + 1), filename, reference);
}

/* ── JSON ── */

static void add_text(JsonBuilder *builder, const char *name, const char *text)
{
  g_autofree char *shown = g_utf8_validate(text, -1, NULL) ? g_strdup(text) : bg_escape(text);
  json_builder_set_member_name(builder, name);
  json_builder_add_string_value(builder, shown);
}

static void add_number(JsonBuilder *builder, const char *name, int64_t number)
{
  json_builder_set_member_name(builder, name);
  json_builder_add_int_value(builder, number);
}

static void add_fact(JsonBuilder *builder, const char *name, GVariant *value)
{
  json_builder_set_member_name(builder, name);
  json_builder_add_value(builder, json_gvariant_serialize(value));
}

/* Facts that stand elsewhere in the report, or under another name. */
static bool is_general(const char *name)
{
  static const char *const names[] = {"cluster-size",     "dirty", "backing-file", "backing-format", "snapshots",
                                      "snapshot-details", NULL};
  return g_strv_contains(names, name);
}

static void add_specific(JsonBuilder *builder, const BgSeenNode *seen)
{
  if (!fact(seen, "compat"))
    return;
  json_builder_set_member_name(builder, "format-specific");
  json_builder_begin_object(builder);
  add_text(builder, "type", seen->driver->name);
  json_builder_set_member_name(builder, "data");
  json_builder_begin_object(builder);
  for (guint i = 0; i < seen->facts->len; i++) {
    const BgSeenFact *one = seen->facts->pdata[i];
    if (!is_general(one->name))
      add_fact(builder, one->name, one->value);
  }
  json_builder_end_object(builder);
  json_builder_end_object(builder);
}

static void add_backing(JsonBuilder *builder, const BgSeenNode *seen, const char *filename)
{
  const char *backing = text_fact(seen, "backing-file"), *format = text_fact(seen, "backing-format");
  if (!backing)
    return;
  g_autofree char *full = full_name(filename, backing);
  add_text(builder, "backing-filename", backing);
  add_text(builder, "full-backing-filename", full);
  if (format)
    add_text(builder, "backing-filename-format", format);
}

static void add_image(JsonBuilder *builder, const BgSeenNode *seen, const char *filename)
{
  const BgSeenNode *storage = child(seen, "file");
  GVariant *dirty = fact(seen, "dirty"), *snapshots = fact(seen, "snapshot-details");
  json_builder_begin_object(builder);
  add_text(builder, "filename", filename);
  add_text(builder, "format", seen->driver->name);
  add_number(builder, "virtual-size", seen->size);
  if (storage && storage->allocated >= 0)
    add_number(builder, "actual-size", storage->allocated);
  if (fact(seen, "cluster-size"))
    add_fact(builder, "cluster-size", fact(seen, "cluster-size"));
  if (fact(seen, "encrypt")) {
    json_builder_set_member_name(builder, "encrypted");
    json_builder_add_boolean_value(builder, TRUE);
  }
  json_builder_set_member_name(builder, "dirty-flag");
  json_builder_add_boolean_value(builder, dirty && g_variant_get_boolean(dirty));
  add_backing(builder, seen, filename);
  if (snapshots && g_variant_n_children(snapshots))
    add_fact(builder, "snapshots", snapshots);
  add_specific(builder, seen);
  json_builder_end_object(builder);
}

/* ── text ── */

static void print_bitmap(GVariant *bitmap)
{
  const char *name = "", *flag;
  uint64_t granularity = 0;
  GVariantIter *flags = NULL;
  g_variant_lookup(bitmap, "name", "&s", &name);
  g_variant_lookup(bitmap, "granularity", "t", &granularity);
  g_autofree char *shown = bg_escape(name);
  printf("bitmap '%s': granularity %" PRIu64, shown, granularity);
  if (g_variant_lookup(bitmap, "flags", "as", &flags)) {
    while (g_variant_iter_next(flags, "&s", &flag))
      printf(", %s", flag);
    g_variant_iter_free(flags);
  }
  printf("\n");
}

static void print_bitmaps(GVariant *bitmaps)
{
  for (gsize i = 0; i < g_variant_n_children(bitmaps); i++) {
    g_autoptr(GVariant) bitmap = g_variant_get_child_value(bitmaps, i);
    print_bitmap(bitmap);
  }
}

static void print_facts(const BgSeenNode *seen)
{
  for (guint i = 0; i < seen->facts->len; i++) {
    const BgSeenFact *one = seen->facts->pdata[i];
    if (strcmp(one->name, "bitmaps") == 0)
      print_bitmaps(one->value);
    if (strcmp(one->name, "snapshot-details") == 0 || strcmp(one->name, "bitmaps") == 0)
      continue;
    g_autofree char *value = g_variant_print(one->value, FALSE);
    const char *text =
        g_variant_is_of_type(one->value, G_VARIANT_TYPE_STRING) ? g_variant_get_string(one->value, NULL) : value;
    g_autofree char *shown = bg_escape(text);
    printf("%s: %s\n", one->name, shown);
  }
}

static void print_text(const BgSeenNode *seen, const char *filename, bool first)
{
  const BgSeenNode *storage = child(seen, "file");
  g_autofree char *shown = bg_escape(filename), *size = g_format_size_full(seen->size, G_FORMAT_SIZE_IEC_UNITS);
  printf("%simage: %s\nformat: %s\nsize of the disk: %s (%" PRIi64 " bytes)\n", first ? "" : "\n", shown,
         seen->driver->name, size, seen->size);
  if (storage && storage->allocated >= 0) {
    g_autofree char *used = g_format_size_full((guint64)storage->allocated, G_FORMAT_SIZE_IEC_UNITS);
    printf("space in use: %s\n", used);
  }
  print_facts(seen);
}

/* ── the command ── */

static const BgSeenNode *find(const BgInventory *inventory, const BgNode *node)
{
  for (guint i = 0; i < inventory->nodes->len; i++) {
    const BgSeenNode *seen = inventory->nodes->pdata[i];
    if (seen->node == node)
      return seen;
  }
  return NULL;
}

static void show(const BgfsLook *look)
{
  g_autoptr(BgInventory) inventory = bg_inventory_take(look->graph);
  g_autoptr(JsonBuilder) builder = json_builder_new();
  g_autofree char *filename = g_strdup(look->image);
  json_builder_begin_array(builder);
  for (const BgSeenNode *seen = find(inventory, look->node); seen; seen = child(seen, "backing")) {
    if (look->json)
      add_image(builder, seen, filename);
    else
      print_text(seen, filename, seen->node == look->node);
    const char *backing = text_fact(seen, "backing-file");
    char *next = full_name(filename, backing ? backing : "");
    g_free(filename);
    filename = next;
  }
  json_builder_end_array(builder);
  if (!look->json)
    return;
  g_autoptr(JsonNode) root = json_builder_get_root(builder);
  JsonArray *images = json_node_get_array(root);
  g_autofree char *text = json_to_string(look->chain ? root : json_array_get_element(images, 0), TRUE);
  printf("%s\n", text);
}

static const BgfsSubcommand command = {
    .name = "blockgraphfs info",
    .operands = "IMAGE",
    .most = 1,
    .summary = "Tells what an image is: its format, sizes, backing file, snapshots.",
    .usage_status = EXIT_USAGE,
};

int bgfs_info(int argc, char **argv)
{
  g_auto(BgfsLook) look = {0};
  int status;
  if (!bgfs_look_open(&look, &command, argc, argv, false, &status))
    return status;
  show(&look);
  return EXIT_SUCCESS;
}

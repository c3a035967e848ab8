#include "fs/commands/info.h"

#include "fs/commands/look.h"
#include "fs/image-info.h"
#include "fs/snapshot-list.h"
#include "graph/escape.h"
#include "graph/query.h"
#include "graph/snapshot.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

/* ── JSON ── */

/* There may be very many. */
static void put_snapshots(BgJsonWriter *writer, BgNode *node)
{
  g_autoptr(GPtrArray) snapshots = bg_node_snapshots(node);
  if (!snapshots || !snapshots->len)
    return;
  bg_json_begin(writer, "snapshots", '[');
  for (guint i = 0; i < snapshots->len; i++)
    bg_json_put(writer, NULL, bg_query_snapshot(snapshots->pdata[i]));
  bg_json_end(writer, ']');
}

static void put_image(BgJsonWriter *writer, const BgSeenNode *seen, const char *filename)
{
  g_autoptr(JsonObject) facts = bgfs_image_facts(seen, filename);
  bg_json_begin(writer, NULL, '{');
  bg_json_put_members(writer, facts);
  put_snapshots(writer, seen->node);
  bg_json_end(writer, '}');
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
    if (strcmp(one->name, "bitmaps") == 0) {
      print_bitmaps(one->value);
      continue;
    }
    g_autofree char *value = g_variant_print(one->value, FALSE);
    const char *text =
        g_variant_is_of_type(one->value, G_VARIANT_TYPE_STRING) ? g_variant_get_string(one->value, NULL) : value;
    g_autofree char *shown = bg_escape(text);
    printf("%s: %s\n", one->name, shown);
  }
}

static void print_text(const BgSeenNode *seen, const char *filename, bool first)
{
  const BgSeenNode *storage = bgfs_image_child(seen, "file");
  g_autofree char *shown = bg_escape(filename), *size = g_format_size_full(seen->size, G_FORMAT_SIZE_IEC_UNITS);
  printf("%simage: %s\nformat: %s\nsize of the disk: %s (%" PRIi64 " bytes)\n", first ? "" : "\n", shown,
         seen->driver->name, size, seen->size);
  if (storage && storage->allocated >= 0) {
    g_autofree char *used = g_format_size_full((guint64)storage->allocated, G_FORMAT_SIZE_IEC_UNITS);
    printf("space in use: %s\n", used);
  }
  print_facts(seen);
  g_autoptr(GPtrArray) snapshots = bg_node_snapshots(seen->node);
  if (snapshots)
    bgfs_snapshot_list_text(snapshots);
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
  BgJsonWriter writer = bgfs_subcommand_json();
  g_autofree char *filename = g_strdup(look->image);
  bool array = look->json && look->chain;
  if (array)
    bg_json_begin(&writer, NULL, '[');
  for (const BgSeenNode *seen = find(inventory, look->node); seen; seen = bgfs_image_child(seen, "backing")) {
    if (look->json)
      put_image(&writer, seen, filename);
    else
      print_text(seen, filename, seen->node == look->node);
    const char *backing = bgfs_image_text_fact(seen, "backing-file");
    char *next = bgfs_image_full_name(filename, backing ? backing : "");
    g_free(filename);
    filename = next;
  }
  if (array)
    bg_json_end(&writer, ']');
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

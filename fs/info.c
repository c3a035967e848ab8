#include "fs/info.h"

#include "fs/image-info.h"
#include "fs/look.h"
#include "graph/escape.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EXIT_USAGE = 2 };

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
  const BgSeenNode *storage = bgfs_image_child(seen, "file");
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
  g_autoptr(JsonArray) images = json_array_new();
  g_autofree char *filename = g_strdup(look->image);
  for (const BgSeenNode *seen = find(inventory, look->node); seen; seen = bgfs_image_child(seen, "backing")) {
    if (look->json)
      json_array_add_object_element(images, bgfs_image_info(seen, filename));
    else
      print_text(seen, filename, seen->node == look->node);
    const char *backing = bgfs_image_text_fact(seen, "backing-file");
    char *next = bgfs_image_full_name(filename, backing ? backing : "");
    g_free(filename);
    filename = next;
  }
  if (!look->json)
    return;
  g_autoptr(JsonNode) root = json_node_init_array(json_node_alloc(), images);
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

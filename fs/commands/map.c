#include "fs/commands/map.h"

#include "fs/commands/look.h"
#include "graph/escape.h"
#include "graph/map.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 2 };

G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgUser, bg_user_free)

static const char *word(bool value)
{
  return value ? "true" : "false";
}

static void print_json(const BgMapped *mapped, bool first)
{
  printf("%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64
         ", \"depth\": %u, \"present\": %s, \"zero\": %s, \"data\": %s, \"compressed\": %s",
         first ? "[" : ",\n", mapped->start, mapped->length, mapped->depth, word(mapped->present), word(mapped->zero),
         word(mapped->data), word(mapped->compressed));
  if (mapped->storage)
    printf(", \"offset\": %" PRIu64, mapped->offset);
  printf("}");
}

static void print_text(const BgMapped *mapped, bool first)
{
  if (first)
    printf("%-18s %-18s %-18s %s\n", "Disk offset", "Length", "File offset", "File");
  if (!mapped->data || mapped->zero)
    return;
  g_autofree char *filename = mapped->storage ? bg_node_filename(mapped->storage) : NULL;
  g_autofree char *shown = bg_escape(filename ? filename : mapped->compressed ? "(compressed)" : "");
  g_autofree char *offset = mapped->storage ? g_strdup_printf("%#" PRIx64, mapped->offset) : g_strdup("-");
  printf("%#-18" PRIx64 " %#-18" PRIx64 " %-18s %s\n", mapped->start, mapped->length, offset, shown);
}

static int print(BgUser *user, uint64_t size, bool json)
{
  BgMapped mapped;
  for (uint64_t at = 0; at < size; at += mapped.length) {
    int result = bg_user_map(user, at, &mapped);
    if (result)
      return result;
    (json ? print_json : print_text)(&mapped, at == 0);
  }
  if (json)
    printf("%s]\n", size ? "" : "[");
  return 0;
}

static int show(const BgfsLook *look)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(BgUser) user = bg_user_new(look->node, "map", BG_USER_READ_PERM, BG_USER_WRITE_SHARED, &error);
  if (!user)
    return bgfs_look_fail(look, error->message);
  int64_t size = bg_node_size(look->node);
  int result = size < 0 ? (int)size : print(user, (uint64_t)size, look->json);
  if (result < 0)
    return bgfs_look_fail(look, g_strerror(-result));
  return EXIT_SUCCESS;
}

static const BgfsSubcommand command = {
    .name = "blockgraphfs map",
    .operands = "IMAGE",
    .most = 1,
    .summary = "Tells where the bytes of an image's disk are: in which file of the chain, and at which offset.",
    .usage_status = EXIT_USAGE,
};

int bgfs_map(int argc, char **argv)
{
  g_auto(BgfsLook) look = {0};
  int status;
  if (bgfs_look_open(&look, &command, argc, argv, true, &status))
    status = show(&look);
  return status;
}

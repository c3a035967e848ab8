#include "fs/commands/list.h"

#include "drivers/registry.h"
#include "graph/node-options.h"

#include <stdio.h>
#include <stdlib.h>

enum { EXIT_USAGE = 2 };

static const char *kind_name(BgKind kind)
{
  switch (kind) {
  case BG_KIND_PROTOCOL:
    return "protocol";
  case BG_KIND_FORMAT:
    return "format";
  default:
    return "filter";
  }
}

void bgfs_list_drivers(void)
{
  for (const BgDriver *const *driver = bg_drivers(); *driver; driver++)
    printf("%-10s %-9s %s\n", (*driver)->name, kind_name((*driver)->kind), (*driver)->summary);
}

static char *type_name(const BgOption *option)
{
  switch (option->type) {
  case BG_OPTION_BOOL:
    return g_strdup("on|off");
  case BG_OPTION_UINT:
    return g_strdup("NUMBER");
  case BG_OPTION_SIZE:
    return g_strdup("SIZE");
  case BG_OPTION_ENUM:
    return g_strjoinv("|", (char **)option->values);
  default:
    return g_strdup("TEXT");
  }
}

static void print_option(const BgOption *option)
{
  g_autofree char *type = type_name(option);
  g_autofree char *head = g_strdup_printf("%s=%s", option->name, type);
  printf("  %-30s %s", head, option->help);
  if (option->required)
    printf(" (required)");
  else if (option->fallback)
    printf(" (default: %s)", option->fallback);
  printf("\n");
}

static void print_table(const char *title, const BgOption *table)
{
  if (!table || !table->name)
    return;
  printf("\n%s:\n", title);
  for (; table->name; table++)
    print_option(table);
}

static void print_children(const BgChildSpec *children)
{
  if (!children || !children->name)
    return;
  printf("\nChildren (a node's name, or CHILD.OPTION=VALUE inline):\n");
  for (; children->name; children++)
    printf("  %-30s %s%s\n", children->name, children->help, children->required ? " (required)" : "");
}

int bgfs_driver_help(const char *name)
{
  const BgDriver *driver = bg_driver_find(name);
  if (!driver) {
    fprintf(stderr, "blockgraphfs: unknown driver '%s' (see --list-drivers)\n", name);
    return EXIT_USAGE;
  }
  printf("%s (%s): %s\n", driver->name, kind_name(driver->kind), driver->summary);
  print_table("Options", driver->options);
  print_children(driver->children);
  print_table("Options of every node", bg_node_options_table());
  print_table("Options of create", driver->create_options);
  return EXIT_SUCCESS;
}

#include "fs/ctl/draw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const BgfsCtlCommand command = {
    .name = "blockgraphctl tree",
    .operands = "MOUNTPOINT [NODE]",
    .most = 1,
    .summary =
        "Draws the graph, or NODE and what is below it: for each node its driver and size, how it is open, whether it "
        "can be written and why, and who uses it. Needs no control socket.",
};

static bool parse(BgfsCtl *ctl, bool *box, int argc, char **argv, int *status)
{
  g_autofree char *charset = NULL;
  const GOptionEntry entries[] = {
      {"charset", 0, 0, G_OPTION_ARG_STRING, &charset, "What to draw with (default: what the terminal has)",
       "utf-8|ascii"},
      {NULL},
  };
  if (!bgfs_ctl_parse(ctl, &command, entries, argc, argv, status))
    return false;
  *box = charset ? strcmp(charset, "utf-8") == 0 : isatty(STDOUT_FILENO) && g_get_charset(NULL);
  if (!charset || *box || strcmp(charset, "ascii") == 0)
    return true;
  *status = bgfs_ctl_usage(ctl, "--charset is utf-8 or ascii");
  return false;
}

static BgfsCtlNodes *look(BgfsCtl *ctl, GError **error)
{
  if (ctl->socket)
    return bgfs_ctl_connect(ctl, error) ? bgfs_ctl_nodes_query(ctl, error) : NULL;
  BgfsCtlNodes *nodes = bgfs_ctl_nodes_read(ctl->mountpoint, error);
  if (!nodes)
    g_prefix_error(error, "%s: ", ctl->mountpoint);
  return nodes;
}

int bgfs_ctl_tree(int argc, char **argv)
{
  g_auto(BgfsCtl) ctl = {0};
  GError *error = NULL;
  bool box;
  int status;
  if (!parse(&ctl, &box, argc, argv, &status))
    return status;
  g_autoptr(BgfsCtlNodes) nodes = look(&ctl, &error);
  const char *from = bgfs_ctl_operand(&ctl, 0);
  if (!nodes)
    return bgfs_ctl_fail(&ctl, NULL, error);
  if (from && !bgfs_ctl_nodes_find(nodes, from, &error))
    return bgfs_ctl_fail(&ctl, from, error);
  if (ctl.json) {
    bgfs_ctl_print_json(nodes->root);
    return EXIT_SUCCESS;
  }
  g_autofree char *text = bgfs_ctl_draw(nodes, from, box);
  fputs(text, stdout);
  return EXIT_SUCCESS;
}

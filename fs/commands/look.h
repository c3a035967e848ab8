/* What the commands that only look at an image share: their command line, and opening it. */
#ifndef BGFS_COMMANDS_LOOK_H
#define BGFS_COMMANDS_LOOK_H

#include "fs/subcommand.h"
#include "graph/graph.h"

typedef struct BgfsLook {
  const BgfsSubcommand *command;
  char *format; /* NULL: by content */
  char *image;  /* as given */
  bool json, chain;
  BgGraph *graph;
  BgNode *node;
} BgfsLook;

/* Reads the command line of `command`, whose operand is IMAGE, and opens IMAGE with all it stands on (`with_chain`), or as
 * --backing-chain says. False: there is nothing more to do but to exit with *status. End with bgfs_look_close(). */
bool bgfs_look_open(BgfsLook *look, const BgfsSubcommand *command, int argc, char **argv, bool with_chain, int *status);
void bgfs_look_close(BgfsLook *look);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BgfsLook, bgfs_look_close)

/* One line on stderr that names the command and the image. The exit status. */
int bgfs_look_fail(const BgfsLook *look, const char *message);

#endif

/* What `blockgraphfs COMMAND …` share: reading the command line, help, and how failures are told. */
#ifndef BGFS_SUBCOMMAND_H
#define BGFS_SUBCOMMAND_H

#include "graph/json-writer.h"

#include <glib.h>
#include <stdbool.h>

typedef struct BgfsSubcommand {
  const char *name;        /* "blockgraphfs check" */
  const char *operands;    /* as --help shows them; the first word is the one that must be there */
  unsigned most;           /* operands, at least one */
  bool none_will_do;       /* … or none */
  const char *summary;     /* first paragraph of --help */
  const char *description; /* last one; NULL: none */
  int usage_status;        /* exit status of false command lines */
} BgfsSubcommand;

/* Reads argv by `entries` (without --help and operands, which are added). False: there is nothing more to do but to exit with
 * *status. *operands is the caller's. */
bool bgfs_subcommand_parse(const BgfsSubcommand *command, const GOptionEntry *entries, int argc, char **argv,
                           char ***operands, int *status);

/* One line on stderr that names the command. The exit status. */
int bgfs_subcommand_usage(const BgfsSubcommand *command, const char *message);
/* The same for `file`, which the command could not do its work on. */
int bgfs_subcommand_fail(const BgfsSubcommand *command, const char *file, const char *message);

/* Prints on stdout. */
BgJsonWriter bgfs_subcommand_json(void);

#endif

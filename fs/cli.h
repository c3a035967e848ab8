/* The command line of `blockgraphfs [options] IMAGE MOUNTPOINT`. */
#ifndef BGFS_CLI_H
#define BGFS_CLI_H

#include "fs/caching.h"
#include "graph/secret.h"

#include <glib.h>
#include <stdbool.h>

typedef enum {
  BGFS_COMMAND_MOUNT,
  BGFS_COMMAND_HELP,
  BGFS_COMMAND_VERSION,
  BGFS_COMMAND_LIST_DRIVERS,
  BGFS_COMMAND_DRIVER_HELP,
  BGFS_COMMAND_QMP_MANUAL /* for the build */
} BgfsCommand;

typedef struct BgfsOptions {
  BgfsCommand command;
  char *image;             /* as given; NULL with blockdevs */
  char *mountpoint;        /* as given */
  char *format;            /* NULL: by content */
  GPtrArray *blockdevs;    /* char *, in the order given */
  GPtrArray *allowed;      /* char *: --allow-reference */
  GPtrArray *secret_texts; /* char *: --secret, as given */
  BgSecrets *secrets;      /* what they mean: main.c sets them; not owned */
  char *key_secret;        /* which of them is IMAGE's; NULL: not said */
  bool trust_images, read_only, snapshot, compress, foreground, debug;
  BgfsCachingPolicy caching;
  bool no_io_uring;
  bool no_passthrough;
  bool passthrough_named; /* by -o passthrough=…; else it depends */
  char *qmp;              /* absolute path of the control socket; NULL: none */
  bool allow_other;       /* asked for, by that name or as allow_root */
  GString
      *fuse; /* mount options for libfuse: comma-separated, commas and backslashes in values escaped with a backslash */
  char *driver; /* of --driver-help */
} BgfsOptions;

/* NULL on error: a one-line message for a usage error (exit 2). */
BgfsOptions *bgfs_options_parse(int argc, char **argv, GError **error);
void bgfs_options_free(BgfsOptions *options);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgfsOptions, bgfs_options_free)

/* The text of --help. Caller frees. */
char *bgfs_options_help(void);

/* Takes what one -o says (mount-options.c): our own settings and what libfuse knows; what only mount(8)
 * understands is skipped. Anything else is EINVAL. */
bool bgfs_mount_options_parse(BgfsOptions *options, const char *text, GError **error);
/* Appends an option to a list as BgfsOptions.fuse is one; `value` may be NULL and needs no escaping. */
void bgfs_mount_options_add(GString *list, const char *name, const char *value);

#endif

/* What the commands of blockgraphctl share: their command line, the connection, and what they print. */
#ifndef BGFS_CTL_COMMAND_H
#define BGFS_CTL_COMMAND_H

#include "fs/ctl/client.h"
#include "fs/subcommand.h"

enum { BGFS_CTL_USAGE = 2 };

typedef struct BgfsCtlCommand {
  const char *name;     /* "blockgraphctl tree" */
  const char *operands; /* as --help shows them: MOUNTPOINT, then `least` words that must be there, then others */
  unsigned least, most; /* of operands behind MOUNTPOINT */
  const char *summary;
  const char *description; /* NULL: none */
} BgfsCtlCommand;

/* One command that is carried out. */
typedef struct BgfsCtl {
  BgfsSubcommand subcommand;
  gboolean json;
  int timeout; /* seconds */
  char *socket;
  char *mountpoint;      /* as given; NULL with --socket */
  GPtrArray *operands;   /* char *, those behind the mount point */
  BgfsCtlClient *client; /* NULL before bgfs_ctl_connect() */
} BgfsCtl;

/* Reads the command line by `entries` and the options that all commands have. MOUNTPOINT/NODE stands for MOUNTPOINT NODE; with --socket there is no
 * MOUNTPOINT. False: there is nothing more to do but to exit with *status. End with bgfs_ctl_clear(). */
bool bgfs_ctl_parse(BgfsCtl *ctl, const BgfsCtlCommand *command, const GOptionEntry *entries, int argc, char **argv,
                    int *status);
void bgfs_ctl_clear(BgfsCtl *ctl);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BgfsCtl, bgfs_ctl_clear)

/* The operand behind MOUNTPOINT of that index; NULL if it was not given. */
const char *bgfs_ctl_operand(const BgfsCtl *ctl, unsigned index);
/* What messages call the mount: as it was given. */
const char *bgfs_ctl_place(const BgfsCtl *ctl);

/* Connects to the daemon's socket. False: the message names the place. */
bool bgfs_ctl_connect(BgfsCtl *ctl, GError **error);

/* One line on stderr: the command, `what` (NULL: none) and the error, which is freed. The exit status. */
int bgfs_ctl_fail(const BgfsCtl *ctl, const char *what, GError *error);
int bgfs_ctl_usage(const BgfsCtl *ctl, const char *message);

/* On stdout, indented, with a newline at its end. */
void bgfs_ctl_print_json(JsonNode *value);

/* ── the commands: argv[0] is the command's name; the exit status ── */

int bgfs_ctl_add(int argc, char **argv);
int bgfs_ctl_backup(int argc, char **argv);
int bgfs_ctl_commit(int argc, char **argv);
int bgfs_ctl_del(int argc, char **argv);
int bgfs_ctl_jobs(int argc, char **argv);
int bgfs_ctl_mirror(int argc, char **argv);
int bgfs_ctl_reopen(int argc, char **argv);
int bgfs_ctl_snapshot(int argc, char **argv);
int bgfs_ctl_stream(int argc, char **argv);
int bgfs_ctl_tree(int argc, char **argv);
int bgfs_ctl_unmount(int argc, char **argv);
int bgfs_ctl_watch(int argc, char **argv);

#endif

/* What commit, stream, mirror and backup share: starting a job, and waiting for it or not. */
#ifndef BGFS_CTL_WORK_H
#define BGFS_CTL_WORK_H

#include "fs/ctl/command.h"
#include "fs/ctl/target.h"
#include "fs/ctl/values.h"
#include "fs/ctl/wait.h"

typedef struct BgfsCtlWork {
  BgfsCtl ctl;
  BgfsCtlTarget target; /* of those that have one */
  char *format;         /* of its file; NULL: not given */
  bool replaces;        /* it takes the source's place in the end */
  const char *type;     /* "commit": ids are made of it */
  char *id, *speed, *on_error, *progress;
  gboolean detach;
  uint64_t bytes_per_second;
  BgfsCtlProgressStyle style;
} BgfsCtlWork;

/* bgfs_ctl_parse() with the options of all such commands besides. `type` is not copied. */
bool bgfs_ctl_work_parse(BgfsCtlWork *work, const char *type, const BgfsCtlCommand *command,
                         const GOptionEntry *entries, int argc, char **argv, int *status);
void bgfs_ctl_work_clear(BgfsCtlWork *work);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BgfsCtlWork, bgfs_ctl_work_clear)

/* The option --format, for commands with a target. */
#define BGFS_CTL_FORMAT_ENTRY(work)                                                                                    \
  {                                                                                                                    \
    "format", 'f', 0, G_OPTION_ARG_STRING, &(work)->format, "TARGET is a file, of this format", "FORMAT"               \
  }

/* Starts the job by the QMP command `start` with `arguments`, which are taken, an id and the options; waits unless --detach says otherwise. The exit status;
 * `node` is what failures name. `target` (NULL: there is none): what the disk `node` is copied to, see target.h. */
int bgfs_ctl_work_run(BgfsCtlWork *work, const char *node, const char *target, const char *start, JsonObject *arguments,
                      BgfsCtlReady ready);

#endif

/* What a disk is copied to: a node of the graph, or a file, which becomes a node for the time of the job. */
#ifndef BGFS_CTL_TARGET_H
#define BGFS_CTL_TARGET_H

#include "fs/ctl/command.h"

typedef struct BgfsCtlTarget {
  char *node;   /* what the job is given */
  char *file;   /* absolute; NULL: it is a node that was there */
  bool created; /* the image was made here, so it goes if the copy fails */
} BgfsCtlTarget;

/* What `text` names: a node, else a file: one that has a '/' in its name, or whose format is given (`format`; NULL: by the name's ending, .qcow2,
 * .raw or .img). What a URI names must be there; a file that does not exist is made, of the size of `source`. Adds the file's node. A failure leaves nothing. */
bool bgfs_ctl_target_open(BgfsCtl *ctl, BgfsCtlTarget *target, const char *source, const char *text, const char *format,
                          GError **error);

/* The job is over. A file's node is taken away unless it is to stay (`stays`), the image, too, if it was made here and the copy is `failed`. Says on stderr what
 * could not be. */
void bgfs_ctl_target_close(BgfsCtl *ctl, BgfsCtlTarget *target, bool failed, bool stays);
void bgfs_ctl_target_clear(BgfsCtlTarget *target);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BgfsCtlTarget, bgfs_ctl_target_clear)

#endif

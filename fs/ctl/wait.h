/* Waiting for a job's end, with its progress shown; an interrupt cancels it. */
#ifndef BGFS_CTL_WAIT_H
#define BGFS_CTL_WAIT_H

#include "fs/ctl/client.h"
#include "fs/ctl/progress.h"

/* What follows when a job is ready: source and target are the same, and are kept so. */
typedef enum {
  BGFS_CTL_READY_COMPLETE, /* the target takes the source's place */
  BGFS_CTL_READY_FINISH,   /* the job ends, the target is the copy of that moment */
  BGFS_CTL_READY_LEAVE     /* it goes on keeping them the same, and is not waited for any more */
} BgfsCtlReady;

typedef enum {
  BGFS_CTL_WAIT_DONE,
  BGFS_CTL_WAIT_READY, /* with LEAVE */
  BGFS_CTL_WAIT_FAILED, /* error is set: what the job failed with; ECANCELED; EINTR: interrupted again while it was being cancelled */
} BgfsCtlWaited;

typedef struct BgfsCtlWait {
  BgfsCtlClient *client;
  const char *id;     /* of a job that goes by itself when it has ended */
  BgfsCtlReady ready; /* what to do then */
  BgfsCtlProgressStyle style;
  int interrupt; /* see interrupt.h */
} BgfsCtlWait;

/* Progress and remarks go to stderr. Where the connection fails, the job goes on. */
BgfsCtlWaited bgfs_ctl_wait(const BgfsCtlWait *wait, GError **error);

#endif

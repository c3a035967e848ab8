/* What the operations of one mount share. */
#ifndef BGFS_FS_H
#define BGFS_FS_H

#define FUSE_USE_VERSION 314

#include "fs/closing.h"
#include "fs/init-reply.h"
#include "fs/inode.h"
#include "fs/notify.h"
#include "fs/opened.h"
#include "fs/passthrough.h"
#include "fs/readers.h"
#include "fs/ring/ring.h"
#include "fs/serial.h"

#include <fuse3/fuse_lowlevel.h>
#include <time.h>

/* Requests, and the buffers they use, are at most this long. */
#define BGFS_MAX_REQUEST (1024 * 1024)
/* Requests to read are: the kernel sends the pieces of a longer read all at once, and several threads fetch them. */
#define BGFS_MAX_READ (256 * 1024)

/* FUSE's own, that take requests from the kernel. */
#define BGFS_THREADS 16

#define BGFS_ATTR_TIMEOUT 1.0 /* seconds; changes are told to the kernel at once besides */

typedef struct BgfsFs {
  BgGraph *graph;
  BgfsInodes *inodes;
  BgfsNotify *notify;
  BgfsPool
      changes; /* for requests that change the graph (OPEN, RELEASE, SETATTR …): FUSE's own threads stay free for data */
  BgfsClosing *closing;
  BgfsOpened *opened;
  struct BgfsWatch *watch; /* see waiting.h */
  bool read_only;          /* the whole mount: no file shows `w` */
  BgfsCachingPolicy caching;
  char *directory;                /* where file names given relative begin */
  const char *qmp;                /* absolute path of the control socket; NULL: none; not owned */
  struct timespec started;        /* the times of what has none of its own */
  pthread_key_t buffers;          /* see buffer.h */
  void (*ready)(void *data);      /* the kernel has accepted the mount; called once */
  void (*first_open)(void *data); /* a file is about to be opened for the first time; called once */
  void (*gone)(void *data);       /* the mount is no more; any thread, any number of times */
  void *callback_data;
  atomic_bool any_opened;
  BgfsInitReply init_reply;
  BgfsReaders readers;
  struct fuse_session *session; /* set once it is mounted */
  bool wants_ring;              /* see ring/ring.h */
  BgfsRing *_Atomic ring;       /* NULL: all comes from /dev/fuse */
  BgfsPassthrough passthrough;
} BgfsFs;

static inline BgfsFs *bgfs_fs(fuse_req_t req)
{
  return fuse_req_userdata(req);
}

#endif

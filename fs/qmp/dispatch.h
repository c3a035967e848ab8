/* One request to its answer. */
#ifndef BGFS_QMP_DISPATCH_H
#define BGFS_QMP_DISPATCH_H

#include "fs/qmp/command.h"

#include <stdbool.h>

/* Of one connection. */
typedef struct BgfsQmpSession {
  const BgfsQmpMount *mount;
  bool negotiated; /* commands are taken */
} BgfsQmpSession;

/* Carries out the request that `text`, a value bounded by framing.h, is. The answer, one line; the caller frees. One thread per session. */
char *bgfs_qmp_dispatch(BgfsQmpSession *session, const char *text);

/* The answer to what framing.h found to be no value. The caller frees. */
char *bgfs_qmp_dispatch_broken(const char *why);

#endif

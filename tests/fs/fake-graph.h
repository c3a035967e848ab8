/* As much of the graph as fs/file.c needs: users that remember what they hold, and refuse on demand. */
#ifndef FAKE_GRAPH_H
#define FAKE_GRAPH_H

#include "graph/user.h"

struct BgNode {
  const char *name;    /* NULL: "disk" */
  BgPerm write_perm;   /* what bg_user_write_perm() says */
  int refuse;          /* errno with which the next change is refused; 0: none */
  int flush_result;    /* of bg_user_flush() */
  unsigned users;      /* that exist */
  unsigned flushes;    /* so far */
  unsigned changes;    /* bg_user_new() and bg_user_set_perm() that succeeded */
  BgPerm flushed_with; /* what the user held at the last flush */
};

struct BgUser {
  BgNode *node;
  BgPerm perm, shared;
};

#endif

/* Who has to see a node's bytes before they change: a job that keeps what was at one moment. */
#ifndef BG_BEFORE_WRITE_H
#define BG_BEFORE_WRITE_H

#include <stdint.h>

typedef struct BgBeforeWrite BgBeforeWrite;
struct BgBeforeWrite {
  /* [offset, offset+length), which may pass the end, is about to change, by a request that is inside its gate and may hold the node's ranges:
   * what is there is still the old. Waits for storage only. */
  void (*before)(BgBeforeWrite *watcher, uint64_t offset, uint64_t length);
  /* The node that before() writes to: who can reach the watched node counts as reaching this one, too, so that it is not changed under a
   * request's feet. */
  struct BgNode *target;
  BgBeforeWrite *next;
};

/* Puts a watcher on the node, or takes it off. No request is inside the node: in a proposal's last step. */
void bg_before_write_add(struct BgNode *node, BgBeforeWrite *watcher);
void bg_before_write_remove(struct BgNode *node, BgBeforeWrite *watcher);

#endif

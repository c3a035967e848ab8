/* What the kernel is told of changes. The graph's listener only queues here; threads of their own, which hold no
 * lock, send: attributes, data and names apart, because dropping data may wait for reads that are under way. What
 * is queued several times is sent once. */
#ifndef BGFS_NOTIFY_H
#define BGFS_NOTIFY_H

#include "fs/inode.h"

struct fuse_session;
typedef struct BgfsNotify BgfsNotify;

BgfsNotify *bgfs_notify_new(void);
/* Stopped, or never started. NULL is fine. */
void bgfs_notify_free(BgfsNotify *notify);

/* For bg_graph_new(), with the BgfsNotify as data. */
extern const BgListener bgfs_notify_listener;

/* Before this, and after stop, everything queued is dropped. False: errno. */
bool bgfs_notify_start(BgfsNotify *notify, struct fuse_session *session, BgfsInodes *inodes);
/* Returns when nothing is being sent any more. While it waits, FUSE requests must still be answered. */
void bgfs_notify_stop(BgfsNotify *notify);

/* Drops the cached pages of an inode: queued like the rest, waits for it at most `milliseconds`. */
void bgfs_notify_drop_data(BgfsNotify *notify, BgfsInode *inode, unsigned milliseconds);

/* Waits until all that is queued was sent, at most `milliseconds`. */
void bgfs_notify_wait(BgfsNotify *notify, unsigned milliseconds);

#endif

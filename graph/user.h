/* Who stands on top of the graph: one open node file, one job. All I/O from above enters here. */
#ifndef BG_USER_H
#define BG_USER_H

#include "graph/graph.h"

typedef struct BgUser BgUser;

/* A change. `what` says who it is in messages ("file 'disk'"); copied. Refusals: EBUSY (the message names both
 * parties), EROFS, EACCES, or the storage's error; then nothing changed. NULL on error. */
BgUser *bg_user_new(BgNode *node, const char *what, BgPerm perm, BgPerm shared, GError **error);

/* A change. Other permissions, taken whole or not at all. Giving up WRITE makes everything read-only again that it
 * alone kept writable: within 300 ms, unless taken again meanwhile. Never fails where `perm` is a part of what is held
 * and `shared` contains what is shared. */
bool bg_user_set_perm(BgUser *user, BgPerm perm, BgPerm shared, GError **error);

/* A change; never fails. No call on the user may be under way. NULL is fine. */
void bg_user_free(BgUser *user);

/* A job may move a user from one node to another, which has the same content then (graph/proposal.h). */
BgNode *bg_user_node(const BgUser *user);
BgPerm bg_user_perm(const BgUser *user);

/* What a reader and a writer of a node file take and share (SEMANTICS, "Read-only, resolved"). */
#define BG_USER_READ_PERM    BG_PERM_CONSISTENT_READ
#define BG_USER_READ_SHARED  BG_PERM_ALL
#define BG_USER_WRITE_SHARED (BG_PERM_CONSISTENT_READ | BG_PERM_WRITE_UNCHANGED)
/* WRITE, and RESIZE where the node grows as a host file does. */
BgPerm bg_user_write_perm(BgNode *node);

/* ── data calls: any number of threads at once; offsets and lengths in bytes; they wait while a change holds the user's gate ── */

/* Reads into the vector; short at the end of the node. Bytes read, or -errno. */
ssize_t bg_user_preadv(BgUser *user, const struct iovec *iov, int iovcnt, uint64_t offset);
/* Writes; a node that does not grow is written up to its end (short), -ENOSPC if nothing fits. Bytes written, or -errno; -EBADF
 * without WRITE. */
ssize_t bg_user_pwritev(BgUser *user, const struct iovec *iov, int iovcnt, uint64_t offset);

typedef enum {
  BG_USER_ZERO_NONE = 0,
  BG_USER_ZERO_MAY_UNMAP = 1 << 0,  /* space may be given back, if the node's `discard` is unmap */
  BG_USER_ZERO_NO_FALLBACK = 1 << 1 /* -EOPNOTSUPP, nothing changed, rather than writing whole granules of zeros */
} BgUserZero;

/* The range, cut at the end of the node, reads as zeros. 0 or -errno. */
int bg_user_zero(BgUser *user, uint64_t offset, uint64_t length, BgUserZero flags);
/* Hint that the range is no longer needed; undefined content afterwards. 0 or -errno. */
int bg_user_discard(BgUser *user, uint64_t offset, uint64_t length);

/* Hands out cached metadata of the node and of what it writes to (what a close reports). 0 or -errno. */
int bg_user_write_back(BgUser *user);
/* All that was written is durable. 0 or -errno; a failure is told again until the node is reopened. */
int bg_user_flush(BgUser *user);

typedef struct BgStatus {
  bool zero;       /* reads as zeros, known without reading */
  uint64_t length; /* > 0 */
} BgStatus;
/* What is at `offset` (< size): a hole or data, and for how long the same holds (merged, at most to the end of the node). 0 or
 * -errno. May stop early after a bounded amount of work. */
int bg_user_status(BgUser *user, uint64_t offset, BgStatus *status);

/* A change. Sets the size: RESIZE is taken for this while. -EFBIG where the node cannot be resized, -EBUSY where somebody
 * does not share it, and with `error` the reason. */
int bg_user_resize(BgUser *user, uint64_t size, GError **error);

/* What of [offset, offset+length) the node shows from one of the `depth` disks next below it, or as zeros because one of these is too short,
 * becomes its own: it reads as before, also when others take the place of those disks. `depth` UINT_MAX: all below; what no
 * disk of the chain says anything of stays so then. Others may write beside; what they write stays. `buffer` of `length` bytes is
 * scratch. Needs WRITE or WRITE_UNCHANGED. 0 or -errno. */
int bg_user_populate(BgUser *user, uint64_t offset, uint64_t length, unsigned depth, void *buffer);

/* ── passthrough: reads and writes that go from the kernel straight to a file of the host, around the graph ── */

/* A read-only descriptor (the caller's) of the regular host file whose bytes are those of the user's node, each at its place. -1:
 * ENOTSUP where requests need the graph, or why it cannot be opened. */
int bg_user_host_fd(BgUser *user, GError **error);

/* From now on the user's I/O to that file may go around the graph, or does not any more. The graph goes on to hold its permissions, takes
 * it for granted that a writer among such users has written, and lets no node on the way be reopened. Refused with EBUSY while
 * somebody whose I/O goes through the graph stands on another node that shows these bytes: it would not learn of writes. */
bool bg_user_set_passthrough(BgUser *user, bool passthrough, GError **error);

#endif

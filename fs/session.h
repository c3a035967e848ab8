/* The connection to the kernel: mount, serve, let go. */
#ifndef BGFS_SESSION_H
#define BGFS_SESSION_H

#include "fs/cli.h"
#include "fs/fs.h"

typedef struct BgfsSession BgfsSession;

/* Mounts `source` (as `mount` and `df` name it) at `mountpoint`, an absolute path. Requests wait until
 * bgfs_session_loop(). NULL on error: one line that says what the kernel or fusermount3 said; nothing is mounted
 * then. */
BgfsSession *bgfs_session_mount(BgfsFs *fs, const BgfsOptions *options, const char *source, const char *mountpoint,
                                GError **error);
/* Takes the mount away if it is still there, and frees. NULL is fine. */
void bgfs_session_free(BgfsSession *session);

struct fuse_session *bgfs_session_fuse(BgfsSession *session);

/* Lets the kernel read files ahead by as much as one request holds; only root can. While the loop runs, after the
 * first requests: what the kernel negotiates at the start would take it back. */
void bgfs_session_raise_read_ahead(BgfsSession *session);

/* Serves with many threads until the mount is gone and its last handle too, or until bgfs_session_stop(). Called
 * by the thread that called bgfs_session_mount(). 0 or -errno. */
int bgfs_session_loop(BgfsSession *session);

/* Any thread, while the loop runs: no new opens; handles that are open stay good. */
void bgfs_session_detach(BgfsSession *session);
/* Any thread but the loop's: the loop returns, whoever still has files open gets ENOTCONN. Returns when the loop
 * has. */
void bgfs_session_stop(BgfsSession *session);

#endif

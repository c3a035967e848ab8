/* Where a mount's control socket is: the mount itself tells, in .graph/qmp. */
#ifndef BGFS_CTL_SOCKET_H
#define BGFS_CTL_SOCKET_H

#include <glib.h>

/* The absolute path; the caller frees. NULL and what to do: EINVAL where no blockgraphfs is mounted, ENOTSUP where it has no socket, ENOTCONN where
 * its process is dead, EACCES … */
char *bgfs_ctl_socket_of(const char *mountpoint, GError **error);

/* The text of a file in .graph, of at most `most` bytes; the caller frees. NULL: as above; EFBIG. */
char *bgfs_ctl_graph_file(const char *mountpoint, const char *name, size_t most, GError **error);

#endif

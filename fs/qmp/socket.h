/* The socket that clients connect to. */
#ifndef BGFS_QMP_SOCKET_H
#define BGFS_QMP_SOCKET_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

/* The absolute path that "unix:PATH" names, with QEMU's `,server=on`, `,wait=off` and `,abstract=off` behind it, which
 * change nothing. NULL and EINVAL for everything else. The caller frees. */
char *bgfs_qmp_socket_path(const char *text, GError **error);

typedef struct BgfsQmpSocket {
  int fd;
  char *path;
  dev_t device; /* of what stands at the path */
  ino_t inode;
} BgfsQmpSocket;

/* Makes the socket, for its owner alone, and listens. One that nobody listens on any more is replaced; EADDRINUSE where somebody
 * does, EEXIST where something else is at the path. */
bool bgfs_qmp_socket_open(BgfsQmpSocket *socket, const char *path, GError **error);
/* Closes it and takes it away, unless something else has come to its place. */
void bgfs_qmp_socket_close(BgfsQmpSocket *socket);

/* Whether the process that connected is root's or our own user's: the file's mode can be changed, or let more users through than meant, and
 * whoever speaks here opens files in our name. */
bool bgfs_qmp_socket_admits(int connection);

#endif

/* Going into the background. */
#ifndef BGFS_DAEMON_H
#define BGFS_DAEMON_H

/* Forks, before there are threads, connections and locks. Returns in the child, with the descriptor for
 * bgfs_daemon_ready(); the parent (which keeps other descriptors than its standard streams to itself) waits until
 * the child is ready or has ended, and exits with 0 or the child's status. -1: errno. */
int bgfs_daemon_fork(void);

/* The child stands: lets the parent go, and leaves its terminal, directory and standard streams. */
void bgfs_daemon_ready(int descriptor);

#endif

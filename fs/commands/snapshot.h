/* `blockgraphfs snapshot`. */
#ifndef BGFS_COMMANDS_SNAPSHOT_H
#define BGFS_COMMANDS_SNAPSHOT_H

/* argv[0] is "snapshot". The exit status. */
int bgfs_snapshot(int argc, char **argv);

#endif

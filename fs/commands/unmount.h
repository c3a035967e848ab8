/* blockgraphfs unmount */
#ifndef BGFS_COMMANDS_UNMOUNT_H
#define BGFS_COMMANDS_UNMOUNT_H

/* argv[0] is "unmount". The exit status. */
int bgfs_unmount(int argc, char **argv);

#endif

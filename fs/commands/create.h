/* `blockgraphfs create`. */
#ifndef BGFS_COMMANDS_CREATE_H
#define BGFS_COMMANDS_CREATE_H

/* argv[0] is "create". The exit status. */
int bgfs_create(int argc, char **argv);

#endif

/* `blockgraphfs info`. */
#ifndef BGFS_COMMANDS_INFO_H
#define BGFS_COMMANDS_INFO_H

/* argv[0] is "info". The exit status. */
int bgfs_info(int argc, char **argv);

#endif

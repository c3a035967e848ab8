/* `blockgraphfs map`. */
#ifndef BGFS_COMMANDS_MAP_H
#define BGFS_COMMANDS_MAP_H

/* argv[0] is "map". The exit status. */
int bgfs_map(int argc, char **argv);

#endif

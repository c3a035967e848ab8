/* `blockgraphfs check`. */
#ifndef BGFS_COMMANDS_CHECK_H
#define BGFS_COMMANDS_CHECK_H

/* argv[0] is "check". The exit status: 0 nothing is wrong (any more), 1 could not be checked, 2 corruptions, 3 leaks only, 63 the
 * format has no check. */
int bgfs_check(int argc, char **argv);

#endif

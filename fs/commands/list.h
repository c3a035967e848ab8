/* --list-drivers and --driver-help. */
#ifndef BGFS_COMMANDS_LIST_H
#define BGFS_COMMANDS_LIST_H

/* To stdout. */
void bgfs_list_drivers(void);
/* The exit status: 2 where there is no such driver (said on stderr). */
int bgfs_driver_help(const char *name);

#endif

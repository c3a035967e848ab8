/* The commands and events as a manual page has them, out of the tables. */
#ifndef BGFS_QMP_MANUAL_H
#define BGFS_QMP_MANUAL_H

/* To stdout, in mdoc(7): the sections COMMANDS and EVENTS. */
void bgfs_qmp_print_manual(void);

#endif

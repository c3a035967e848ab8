/* What the kernel's open files and directories stand for here (fi->fh): an unmount does not wait for all their
 * RELEASEs, so they are remembered until they go. */
#ifndef BGFS_OPENED_H
#define BGFS_OPENED_H

#include <glib.h>

/* Any thread. */
typedef struct BgfsOpened BgfsOpened;

BgfsOpened *bgfs_opened_new(void);
/* Frees what is left, too. NULL is fine. */
void bgfs_opened_free(BgfsOpened *opened);

/* `free_func` frees `object` when it is removed. */
void bgfs_opened_add(BgfsOpened *opened, gpointer object, GDestroyNotify free_func);
void bgfs_opened_remove(BgfsOpened *opened, gpointer object);

#endif

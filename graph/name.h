/* Node names: which are valid, and which a node gets that was given none. */
#ifndef BG_NAME_H
#define BG_NAME_H

#include <stdbool.h>

#define BG_NAME_MAX 254 /* bytes */

/* A letter, then letters, digits, '-', '.', '_' (ASCII), at most BG_NAME_MAX bytes. */
bool bg_name_valid(const char *name);

/* A valid name after a file: "disk" for "/x/disk.qcow2". What no name may hold becomes '_', "disk-" goes in front where
 * no letter begins it. Never empty. Caller frees. */
char *bg_name_from_file(const char *filename);

/* The same after a URI: the last part of its path, else of the socket's name, else the host. */
char *bg_name_from_uri(const char *uri);

/* A valid name for a child that has none of its own: "disk.file"; the backing disks below "disk" count on: "disk.backing",
 * "disk.backing2" (of "disk.backing"), "disk.backing3". Where it would be too long the parent's part is
 * cut and ends with a hash of what it was. Caller frees. */
char *bg_name_for_child(const char *parent, const char *child);

/* The name of the node that shows a snapshot of `node`: "disk@NAME", and "disk@NAME-2" for the number 2 (0: none). Only such names hold an
 * '@'; what is not printable in NAME, and '/', is escaped. At most BG_NAME_MAX bytes. Caller frees. */
char *bg_name_for_snapshot(const char *node, const char *snapshot, unsigned number);

#endif

/* What a party above a node may do with it, and what an edge is for. */
#ifndef BG_PERM_H
#define BG_PERM_H

/* Permissions on a node, with the meanings of QEMU's BLK_PERM_* (QEMU, include/block/block-common.h).
 * The bit numbers are also the lock byte numbers of an image file: see drivers/file/lock.h. */
typedef enum {
  BG_PERM_NONE = 0,
  BG_PERM_CONSISTENT_READ = 1 << 0, /* what is read is a valid state of the data, not a mix of two */
  BG_PERM_WRITE = 1 << 1,           /* change what is read */
  BG_PERM_WRITE_UNCHANGED = 1 << 2, /* write what reads the same before and after (copy-on-read) */
  BG_PERM_RESIZE = 1 << 3,          /* change the size */
  BG_PERM_ALL = (1 << 4) - 1
} BgPerm;

#define BG_PERM_COUNT     4
#define BG_PERM_ANY_WRITE (BG_PERM_WRITE | BG_PERM_WRITE_UNCHANGED | BG_PERM_RESIZE)

/* The name of the lowest permission in `perm`, as QEMU words it ("consistent read", "write", …);
 * "none" for no permission. A static string. */
const char *bg_perm_name(BgPerm perm);

/* What a parent uses a child for (QEMU's BdrvChildRole). Combinable, but FILTERED and COW exclude
 * DATA and METADATA. */
typedef enum {
  BG_ROLE_DATA = 1 << 0,     /* guest data */
  BG_ROLE_METADATA = 1 << 1, /* the format's own tables */
  BG_ROLE_FILTERED = 1 << 2, /* the parent shows the child's bytes as they are */
  BG_ROLE_COW = 1 << 3,      /* what reads where the parent has nothing allocated */
  BG_ROLE_PRIMARY = 1 << 4,  /* the child that stands for the parent: its owner, mode and times */
  BG_ROLE_SNAPSHOT = 1 << 5  /* the child in whose image the parent's state is kept, whatever the child is now */
} BgRole;

#endif

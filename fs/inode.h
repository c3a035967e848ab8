/* The inodes of a mount: one for each node that was ever looked up, and the fixed ones of the directories and of
 * .graph/. */
#ifndef BGFS_INODE_H
#define BGFS_INODE_H

#include "fs/caching.h"
#include "fs/file.h"
#include "fs/serial.h"

#define BGFS_INO_ROOT    1
#define BGFS_INO_GRAPH   2  /* .graph */
#define BGFS_INO_VIRTUAL 3  /* first of the files in .graph: see virtual.h */
#define BGFS_INO_NODE    16 /* first of the nodes */

#define BGFS_GRAPH_NAME ".graph"

/* A file, of the name of the node for which it was made. Lives as long as the table. */
typedef struct BgfsInode {
  uint64_t ino;
  const char *name;
  BgNode *_Atomic node; /* that it shows: bgfs_inodes_replace() changes it */
  BgfsFile file;        /* touched only by the tasks of `serial` */
  BgfsCaching caching;
  int backing_id; /* what the kernel calls the host's file for passthrough; 0: none. Touched only by the tasks of `serial` */
  BgfsPool pool;     /* for requests that may wait for somebody else */
  BgfsSerial serial; /* opens, releases and attribute changes, one after the other */
} BgfsInode;

/* Any thread. */
typedef struct BgfsInodes BgfsInodes;

BgfsInodes *bgfs_inodes_new(void);
/* No task of an inode may be left. Frees users that handles still held (an unmount does not wait for them). NULL
 * is fine. */
void bgfs_inodes_free(BgfsInodes *inodes);

/* Waits until no request is on any pool, for good: none comes any more. */
void bgfs_inodes_finish(BgfsInodes *inodes);

/* The node's inode, made at the first call. */
BgfsInode *bgfs_inodes_of_node(BgfsInodes *inodes, BgNode *node);
/* The node's inode; NULL where nobody asked for it yet. */
BgfsInode *bgfs_inodes_find(BgfsInodes *inodes, BgNode *node);
/* The node's inode of that number; NULL if there is none. */
BgfsInode *bgfs_inodes_get(BgfsInodes *inodes, uint64_t ino);

/* ── files that show another node than the one of their name ── */

/* All files that show `from` show `to` from now on; the file of the name of `to`, if it is among them, is that node's own. */
void bgfs_inodes_replace(BgfsInodes *inodes, BgNode *from, BgNode *to);
/* The node is gone: such files go with it. */
void bgfs_inodes_forget(BgfsInodes *inodes, BgNode *node);
/* The file of that name, if it is such a one; else NULL. */
BgfsInode *bgfs_inodes_named(BgfsInodes *inodes, const char *name);
/* All of them (BgfsInode *). Free with g_ptr_array_unref(). */
GPtrArray *bgfs_inodes_replaced(BgfsInodes *inodes);
/* All files that show the node (BgfsInode *), of whatever name. Free with g_ptr_array_unref(). */
GPtrArray *bgfs_inodes_showing(BgfsInodes *inodes, BgNode *node);

#endif

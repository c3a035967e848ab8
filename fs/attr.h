/* The attributes of what the mount shows. */
#ifndef BGFS_ATTR_H
#define BGFS_ATTR_H

#include "fs/fs.h"

/* Never wait for a change. */
void bgfs_attr_node(BgfsFs *fs, const BgfsInode *inode, struct stat *st);
void bgfs_attr_directory(BgfsFs *fs, uint64_t ino, struct stat *st);
/* Of any inode number: 0 or -ENOENT. */
int bgfs_attr(BgfsFs *fs, uint64_t ino, struct stat *st);

#endif

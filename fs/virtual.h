/* The files in .graph/, made when they are read. */
#ifndef BGFS_VIRTUAL_H
#define BGFS_VIRTUAL_H

#include "fs/fs.h"

/* The name of the file of that inode number; NULL if there is none. */
const char *bgfs_virtual_name(uint64_t ino);
/* The number of the file of that name; 0 if there is none. */
uint64_t bgfs_virtual_find(const char *name);
/* What it holds now. Free with bgfs_virtual_free(). */
char *bgfs_virtual_text(BgfsFs *fs, uint64_t ino);
void bgfs_virtual_free(char *text); /* NULL is fine */
/* The text names every image: all may read it only where all may read every image. */
mode_t bgfs_virtual_mode(BgfsFs *fs);

#endif

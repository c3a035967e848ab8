/* Names of files, and URIs. */
#ifndef BGFS_PATH_H
#define BGFS_PATH_H

/* The path, such that it stays good when the working directory changes. The caller frees. */
char *bgfs_absolute_path(const char *path);

#endif

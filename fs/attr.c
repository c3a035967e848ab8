#include "fs/attr.h"

#include "fs/mode.h"
#include "fs/virtual.h"

#include <string.h>

enum { BLOCK = 512, MIN_BLKSIZE = 4096 };

/* The daemon's, and as old as the mount. */
static void own_attributes(BgfsFs *fs, uint64_t ino, mode_t mode, struct stat *st)
{
  memset(st, 0, sizeof(*st));
  st->st_ino = ino;
  st->st_mode = mode;
  st->st_nlink = 1;
  st->st_uid = geteuid();
  st->st_gid = getegid();
  st->st_blksize = MIN_BLKSIZE;
  st->st_atim = st->st_mtim = st->st_ctim = fs->started;
}

void bgfs_attr_node(BgfsFs *fs, const BgfsInode *inode, struct stat *st)
{
  BgNode *node = inode->node;
  struct stat host = {.st_mode = 0600};
  bool has_host = bg_node_host_stat(node, &host) == 0;
  bool writable = !fs->read_only && bg_node_writable(node);

  own_attributes(fs, inode->ino, S_IFREG | bgfs_mode(has_host ? host.st_mode : 0600, writable), st);
  if (has_host) {
    st->st_uid = host.st_uid;
    st->st_gid = host.st_gid;
    st->st_atim = host.st_atim;
    st->st_mtim = host.st_mtim;
    st->st_ctim = host.st_ctim;
  }
  int64_t size = bg_node_size(node);
  int64_t allocated = bg_node_allocated(node);
  BgLimits limits;
  bg_node_limits(node, &limits);
  st->st_size = MAX(size, 0);
  st->st_blocks = (MAX(allocated, 0) + BLOCK - 1) / BLOCK;
  st->st_blksize = CLAMP(limits.granularity, (uint32_t)MIN_BLKSIZE, (uint32_t)BGFS_MAX_REQUEST);
}

void bgfs_attr_directory(BgfsFs *fs, uint64_t ino, struct stat *st)
{
  own_attributes(fs, ino, S_IFDIR | 0555, st);
  st->st_nlink = ino == BGFS_INO_ROOT ? 3 : 2;
}

static void virtual_attributes(BgfsFs *fs, uint64_t ino, struct stat *st)
{
  char *text = bgfs_virtual_text(fs, ino);
  own_attributes(fs, ino, S_IFREG | bgfs_virtual_mode(fs), st);
  st->st_size = strlen(text);
  bgfs_virtual_free(text);
  clock_gettime(CLOCK_REALTIME, &st->st_mtim);
  st->st_atim = st->st_ctim = st->st_mtim;
}

int bgfs_attr(BgfsFs *fs, uint64_t ino, struct stat *st)
{
  if (ino == BGFS_INO_ROOT || ino == BGFS_INO_GRAPH) {
    bgfs_attr_directory(fs, ino, st);
    return 0;
  }
  if (bgfs_virtual_name(ino)) {
    virtual_attributes(fs, ino, st);
    return 0;
  }
  BgfsInode *inode = bgfs_inodes_get(fs->inodes, ino);
  if (!inode)
    return -ENOENT;
  if (bg_node_size(inode->node) == -ENOENT) /* removed: the kernel shall look its name up anew */
    return -ESTALE;
  bgfs_attr_node(fs, inode, st);
  return 0;
}

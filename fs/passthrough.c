#include "fs/passthrough.h"

#include "drivers/error.h"

#include <errno.h>
#include <linux/fuse.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* From linux/fuse.h of version 6.9. */
#ifndef FUSE_DEV_IOC_BACKING_OPEN
struct fuse_backing_map {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};
#define FUSE_DEV_IOC_BACKING_OPEN  _IOW(FUSE_DEV_IOC_MAGIC, 1, struct fuse_backing_map)
#define FUSE_DEV_IOC_BACKING_CLOSE _IOW(FUSE_DEV_IOC_MAGIC, 2, uint32_t)
#endif

/* The kernel opens the file anew for each handle, with that handle's flags: one read-only descriptor serves all. */
static int register_file(BgfsPassthrough *passthrough, int fd, GError **error)
{
  struct fuse_backing_map map = {.fd = fd};
  int id = ioctl(passthrough->fuse_fd, FUSE_DEV_IOC_BACKING_OPEN, &map);
  if (id > 0)
    return id;
  if (errno == EPERM)
    passthrough->refused = true;
  bg_set_error_errno(error, errno, "the kernel takes no backing file");
  return 0;
}

static void unregister_file(BgfsPassthrough *passthrough, int id)
{
  uint32_t backing = id;
  ioctl(passthrough->fuse_fd, FUSE_DEV_IOC_BACKING_CLOSE, &backing);
}

/* The id of the inode's host file, which is 0 where there is none. */
static int find_file(BgfsPassthrough *passthrough, BgfsInode *inode, GError **error)
{
  int fd = bg_user_host_fd(inode->file.user, error);
  if (fd < 0)
    return 0;
  int id = register_file(passthrough, fd, error);
  close(fd);
  if (id > 0 && !bg_user_set_passthrough(inode->file.user, true, error)) {
    unregister_file(passthrough, id);
    return 0;
  }
  return id;
}

bool bgfs_passthrough_begin(BgfsPassthrough *passthrough, BgfsInode *inode)
{
  if (inode->backing_id > 0)
    return true;
  if (passthrough->refused || !bgfs_caching_allows_passthrough(&inode->caching))
    return false;
  g_autoptr(GError) error = NULL;
  inode->backing_id = find_file(passthrough, inode, &error);
  if (!inode->backing_id)
    g_debug("file '%s': no passthrough: %s", bg_node_name(inode->node), error->message);
  return inode->backing_id > 0;
}

void bgfs_passthrough_end(BgfsPassthrough *passthrough, BgfsInode *inode)
{
  if (inode->caching.passthrough > 0)
    return;
  unregister_file(passthrough, inode->backing_id);
  inode->backing_id = 0;
  bg_user_set_passthrough(inode->file.user, false, NULL);
}

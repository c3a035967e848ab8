#include "fs/ops.h"

#include <poll.h>

static void op_init(void *data, struct fuse_conn_info *conn)
{
  BgfsFs *fs = data;
  /* Attributes and data are invalidated where they change; O_TRUNC comes as SETATTR, so that the kernel learns the
   * true size at once (a truncated disk keeps it); buffers are copied, which is faster here than splice. */
  conn->want &= ~(unsigned)(FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_SPLICE_READ |
                            FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE | FUSE_CAP_IOCTL_DIR);
  conn->want |= conn->capable & FUSE_CAP_EXPLICIT_INVAL_DATA;
  if (fs->caching == BGFS_CACHING_WRITEBACK)
    conn->want |= conn->capable & FUSE_CAP_WRITEBACK_CACHE;
  conn->max_read = BGFS_MAX_READ;
  conn->max_write = MIN(conn->max_write, (unsigned)BGFS_MAX_REQUEST);
  conn->max_background = 512; /* more than one file has that waits for a server: the others go on */
  conn->congestion_threshold = 384;
  fs->ready(fs->callback_data);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
  (void)ino;
  (void)count;
  fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
  (void)count;
  (void)forgets;
  fuse_reply_none(req);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
  (void)ino;
  fuse_reply_err(req, EINVAL);
}

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t device)
{
  (void)parent;
  (void)name;
  (void)mode;
  (void)device;
  fuse_reply_err(req, EPERM);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
  (void)parent;
  (void)name;
  (void)mode;
  fuse_reply_err(req, EPERM);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
  (void)parent;
  (void)name;
  fuse_reply_err(req, EPERM);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
  (void)target;
  (void)parent;
  (void)name;
  fuse_reply_err(req, EPERM);
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
                      unsigned flags)
{
  (void)parent;
  (void)name;
  (void)new_parent;
  (void)new_name;
  (void)flags;
  fuse_reply_err(req, EPERM);
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
  (void)ino;
  (void)new_parent;
  (void)new_name;
  fuse_reply_err(req, EPERM);
}

static void op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
  (void)parent;
  (void)name;
  (void)mode;
  (void)fi;
  fuse_reply_err(req, EPERM);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
  (void)ino;
  (void)datasync;
  (void)fi;
  fuse_reply_err(req, 0);
}

static void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned command, void *argument, struct fuse_file_info *fi,
                     unsigned flags, const void *in, size_t in_size, size_t out_size)
{
  (void)ino;
  (void)command;
  (void)argument;
  (void)fi;
  (void)flags;
  (void)in;
  (void)in_size;
  (void)out_size;
  fuse_reply_err(req, ENOTTY);
}

static void op_poll(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct fuse_pollhandle *handle)
{
  (void)ino;
  (void)fi;
  if (handle)
    fuse_pollhandle_destroy(handle);
  fuse_reply_poll(req, POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM);
}

const struct fuse_lowlevel_ops bgfs_ops = {
    .init = op_init,
    .lookup = bgfs_op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = bgfs_op_getattr,
    .setattr = bgfs_op_setattr,
    .access = bgfs_op_access,
    .statfs = bgfs_op_statfs,
    .readlink = op_readlink,
    .mknod = op_mknod,
    .mkdir = op_mkdir,
    .unlink = op_unlink,
    .rmdir = op_unlink,
    .symlink = op_symlink,
    .rename = op_rename,
    .link = op_link,
    .create = op_create,
    .open = bgfs_op_open,
    .read = bgfs_op_read,
    .write = bgfs_op_write,
    .flush = bgfs_op_flush,
    .release = bgfs_op_release,
    .fsync = bgfs_op_fsync,
    .opendir = bgfs_op_opendir,
    .readdir = bgfs_op_readdir,
    .releasedir = bgfs_op_releasedir,
    .fsyncdir = op_fsyncdir,
    .getxattr = bgfs_op_getxattr,
    .listxattr = bgfs_op_listxattr,
    .setxattr = bgfs_op_setxattr,
    .removexattr = bgfs_op_removexattr,
    .ioctl = op_ioctl,
    .poll = op_poll,
    .fallocate = bgfs_op_fallocate,
    .lseek = bgfs_op_lseek,
    .copy_file_range = bgfs_op_copy_file_range,
};

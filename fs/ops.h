/* The FUSE operations, by file. Every request gets exactly one reply, ENOSYS never (the kernel would remember it). */
#ifndef BGFS_OPS_H
#define BGFS_OPS_H

#include "fs/fs.h"

/* The table for fuse_session_new(), whose user data is the BgfsFs. */
extern const struct fuse_lowlevel_ops bgfs_ops;

/* ops-dir.c */
void bgfs_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void bgfs_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void bgfs_op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void bgfs_op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* ops-attr.c */
void bgfs_op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void bgfs_op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);
void bgfs_op_access(fuse_req_t req, fuse_ino_t ino, int mask);
void bgfs_op_statfs(fuse_req_t req, fuse_ino_t ino);

/* ops-open.c */
void bgfs_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void bgfs_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* ops-data.c */
void bgfs_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi);
void bgfs_op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                   struct fuse_file_info *fi);
void bgfs_op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void bgfs_op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* ops-space.c */
void bgfs_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length, struct fuse_file_info *fi);
void bgfs_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi);
void bgfs_op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t offset_in, struct fuse_file_info *fi_in,
                             fuse_ino_t ino_out, off_t offset_out, struct fuse_file_info *fi_out, size_t length,
                             int flags);

/* ops-xattr.c */
void bgfs_op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void bgfs_op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void bgfs_op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags);
void bgfs_op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

#endif

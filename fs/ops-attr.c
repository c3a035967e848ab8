#include "drivers/error.h"
#include "fs/attr.h"
#include "fs/handle.h"
#include "fs/mode.h"
#include "fs/ops.h"
#include "fs/space.h"

#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { DROP_WAIT = 200 }; /* milliseconds */

typedef struct SetattrTask {
  BgfsTask task;
  fuse_req_t req;
  BgfsFs *fs;
  BgfsInode *inode;
  struct stat attr;
  int to_set;
} SetattrTask;

void bgfs_op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  (void)fi;
  struct stat st;
  int result = bgfs_attr(bgfs_fs(req), ino, &st);
  if (result < 0)
    fuse_reply_err(req, -result);
  else
    fuse_reply_attr(req, &st, BGFS_ATTR_TIMEOUT);
}

static bool zero_tail(BgfsFs *fs, BgfsInode *inode, uint64_t size, uint64_t length, GError **error)
{
  if (fs->caching == BGFS_CACHING_WRITEBACK) {
    /* Dirty pages that lie beyond would be written after the zeros: the kernel drops them only if the size
     * changes. */
    bg_set_error(error, EOPNOTSUPP,
                 "with cache=writeback a node keeps its size and its data: use conv=notrunc with dd");
    return false;
  }
  int result = bg_user_zero(inode->file.user, length, size - length, BG_USER_ZERO_NO_FALLBACK | BG_USER_ZERO_MAY_UNMAP);
  /* The size stays, so the kernel keeps its pages of what is zero now. They must be gone before the caller reads
   * on; the reply may not wait for that for ever, because writing out dirty pages waits for the reply. */
  bgfs_notify_drop_data(fs->notify, inode, DROP_WAIT);
  if (result == 0)
    return true;
  if (result == -EOPNOTSUPP)
    bg_set_error(error, EOPNOTSUPP,
                 "the node keeps its size, and zeros for the rest cannot be had cheaply: use conv=notrunc with dd");
  else
    bg_set_error_errno(error, -result, "cannot zero the rest");
  return false;
}

static bool truncate_acquired(BgfsFs *fs, BgfsInode *inode, uint64_t length, GError **error)
{
  int64_t size = bg_node_size(inode->node);
  if (size < 0) {
    bg_set_error_errno(error, -size, "its size is unknown");
    return false;
  }
  BgLimits limits;
  bg_node_limits(inode->node, &limits);
  switch (bgfs_truncate_action(size, length, limits.grows)) {
  case BGFS_TRUNCATE_ZERO_TAIL:
    return zero_tail(fs, inode, size, length, error);
  case BGFS_TRUNCATE_RESIZE:
    return bg_user_resize(inode->file.user, length, error) == 0;
  default:
    return true;
  }
}

static bool truncate_node(BgfsFs *fs, BgfsInode *inode, uint64_t length, GError **error)
{
  if (!bgfs_acquire(fs, inode, BGFS_WRITE, error))
    return false;
  bool ok = truncate_acquired(fs, inode, length, error);
  bgfs_release(inode, BGFS_WRITE);
  return ok;
}

/* An owner cannot be changed, but asking for the one it has is no error (cp -p). */
static bool check_owner(BgfsFs *fs, const SetattrTask *set, GError **error)
{
  struct stat st;
  bgfs_attr_node(fs, set->inode, &st);
  if ((set->to_set & FUSE_SET_ATTR_UID && set->attr.st_uid != st.st_uid) ||
      (set->to_set & FUSE_SET_ATTR_GID && set->attr.st_gid != st.st_gid)) {
    bg_set_error(error, EPERM, "the owner is the image file's");
    return false;
  }
  return true;
}

static bool set_attributes(const SetattrTask *set, GError **error)
{
  if (!check_owner(set->fs, set, error))
    return false;
  if (set->to_set & FUSE_SET_ATTR_SIZE && !truncate_node(set->fs, set->inode, set->attr.st_size, error))
    return false;
  if (set->to_set & FUSE_SET_ATTR_MODE) {
    BgfsPin pin = bgfs_mode_pin(set->attr.st_mode);
    if (pin != BGFS_PIN_KEEP)
      bg_node_pin(set->inode->node, pin == BGFS_PIN_SET);
  }
  return true;
}

static void run_setattr(BgfsTask *task)
{
  SetattrTask *set = (SetattrTask *)task;
  g_autoptr(GError) error = NULL;
  if (set_attributes(set, &error)) {
    struct stat st;
    bgfs_attr_node(set->fs, set->inode, &st);
    fuse_reply_attr(set->req, &st, BGFS_ATTR_TIMEOUT);
  } else {
    g_message("file '%s': change of attributes refused: %s", bg_node_name(set->inode->node), error->message);
    fuse_reply_err(set->req, bg_error_errno(error));
  }
  g_free(set);
}

void bgfs_op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi)
{
  (void)fi;
  BgfsFs *fs = bgfs_fs(req);
  BgfsInode *inode = bgfs_inodes_get(fs->inodes, ino);
  if (!inode) {
    fuse_reply_err(req, EPERM);
    return;
  }
  SetattrTask *set = g_new0(SetattrTask, 1);
  *set = (SetattrTask){{run_setattr}, req, fs, inode, *attr, to_set};
  bgfs_serial_submit(&inode->serial, &fs->changes, &set->task);
}

/* Comes only where the kernel does not check modes itself: the owner of an unprivileged mount gets the graph's own
 * answer. */
void bgfs_op_access(fuse_req_t req, fuse_ino_t ino, int mask)
{
  BgfsFs *fs = bgfs_fs(req);
  BgfsInode *inode = bgfs_inodes_get(fs->inodes, ino);
  int error = 0;
  if (!inode) {
    bool directory = ino == BGFS_INO_ROOT || ino == BGFS_INO_GRAPH;
    error = mask & W_OK || (mask & X_OK && !directory) ? EACCES : 0;
  } else if (mask & X_OK) {
    error = EACCES;
  } else if (mask & W_OK) {
    BgNodeState state;
    bg_node_state(inode->node, &state);
    error = fs->read_only ? EROFS : state.error;
    bg_node_state_clear(&state);
  }
  fuse_reply_err(req, error);
}

static bool host_statfs(BgfsFs *fs, BgNode *node, struct statvfs *st)
{
  struct stat host;
  if (bg_node_host_stat(node, &host) < 0 || !S_ISREG(host.st_mode))
    return false;
  g_autofree char *name = bg_node_filename(node);
  if (!name)
    return false;
  g_autofree char *path = g_build_filename(g_path_is_absolute(name) ? "/" : fs->directory, name, NULL);
  return statvfs(path, st) == 0;
}

/* The file system on which the first image lies that is a file. */
void bgfs_op_statfs(fuse_req_t req, fuse_ino_t ino)
{
  (void)ino;
  BgfsFs *fs = bgfs_fs(req);
  struct statvfs st = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255};
  g_autoptr(GPtrArray) nodes = bg_graph_nodes(fs->graph);
  bool found = false;
  for (guint i = 0; i < nodes->len && !found; i++)
    found = host_statfs(fs, g_ptr_array_index(nodes, i), &st);
  fuse_reply_statfs(req, &st);
}

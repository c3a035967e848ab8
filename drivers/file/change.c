/* Changes of how a file is open: another descriptor behind the same number, and other image locks. */
#include "drivers/file/file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

typedef struct Pending {
  bool writable, direct;
  uint32_t alignment;
  int new_fd;   /* -1: the descriptor stays */
  int saved_fd; /* the old open file, and with it its locks, for abort */
  bool switched;
  uint32_t old_alignment;
  bool old_direct;
  BgFileLocks old_locks, new_locks;
} Pending;

/* ── locks ── */

BgFileLocks bg_file_locks_of(const BgFile *file, const BgMode *mode)
{
  if (file->locking == BG_FILE_LOCKING_OFF || mode->perm == BG_PERM_NONE)
    return (BgFileLocks){0};
  return (BgFileLocks){mode->perm, mode->force_share ? BG_PERM_NONE : BG_PERM_ALL & ~mode->shared};
}

static bool take_locks_on(BgFile *file, int fd, BgFileLocks locks, GError **error)
{
  off_t byte = 0;
  int rc = bg_file_lock(fd, locks, &byte);
  if (rc == -ENOTSUP && file->locking == BG_FILE_LOCKING_AUTO) {
    file->locking = BG_FILE_LOCKING_OFF;
    file->locks = (BgFileLocks){0};
    return true;
  }
  if (rc == -EAGAIN)
    bg_file_locks_set_busy(fd, byte, &file->last_holder, error);
  else if (rc < 0)
    bg_set_error_errno(error, -rc, "cannot lock '%s'", file->filename);
  return rc == 0;
}

bool bg_file_take_locks(BgFile *file, BgFileLocks locks, GError **error)
{
  BgFileLocks more = bg_file_locks_minus(locks, file->locks);
  if (!take_locks_on(file, file->fd, more, error))
    return false;
  if (file->locking == BG_FILE_LOCKING_OFF)
    return true;
  if (!bg_file_locks_check(file->fd, locks, &file->last_holder, error)) {
    bg_file_unlock(file->fd, more);
    return false;
  }
  file->locks = bg_file_locks_union(file->locks, locks);
  return true;
}

/* Lets go of all but `keep`. */
static void keep_locks(BgFile *file, BgFileLocks keep)
{
  bg_file_unlock(file->fd, bg_file_locks_minus(file->locks, keep));
  file->locks = keep;
}

/* ── the four steps ── */

/* A call that is under way keeps an open file, and with it its locks, beyond the last descriptor: so they are undone one by one. */
static void close_unlocked(int fd, BgFileLocks locks)
{
  if (fd < 0)
    return;
  bg_file_unlock(fd, locks);
  close(fd);
}

static bool open_new(BgFile *file, Pending *pending, GError **error)
{
  pending->new_fd = bg_file_open_again(file->fd, file->filename, pending->writable, pending->direct, error);
  if (pending->new_fd < 0)
    return false;
  struct stat st;
  if (fstat(pending->new_fd, &st) < 0) {
    bg_set_error_errno(error, errno, "cannot open '%s'", file->filename);
    return false;
  }
  if (pending->direct && !(pending->alignment = bg_file_direct_alignment(pending->new_fd, file->filename, &st, error)))
    return false;
  pending->saved_fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
  if (pending->saved_fd < 0) {
    bg_set_error_errno(error, errno, "cannot open '%s'", file->filename);
    return false;
  }
  return file->locking == BG_FILE_LOCKING_OFF || take_locks_on(file, pending->new_fd, pending->new_locks, error);
}

/* Other permissions alone only move lock bytes. */
static bool needs_new_fd(BgFile *file, const BgMode *mode)
{
  return mode->writable != file->writable || mode->direct != file->direct;
}

/* First the old and new locks together on the old descriptor, where our own cannot be in our way; only then the new one. So at
 * no instant is anything unlocked that was or will be ours. */
bool bg_file_change_open(void *instance, const BgMode *mode, const void *options, void **pending_out, GError **error)
{
  (void)options; /* none is changeable */
  BgFile *file = instance;
  BgFileLocks old_locks = file->locks, new_locks = bg_file_locks_of(file, mode);
  if (!bg_file_take_locks(file, new_locks, error))
    return false;
  Pending *pending = g_new(Pending, 1);
  *pending = (Pending){.writable = mode->writable,
                       .direct = mode->direct,
                       .alignment = 1,
                       .new_fd = -1,
                       .saved_fd = -1,
                       .old_alignment = file->alignment,
                       .old_direct = file->direct,
                       .old_locks = old_locks,
                       .new_locks = new_locks};
  if (needs_new_fd(file, mode) && !open_new(file, pending, error)) {
    bg_file_change_abort(file, pending);
    return false;
  }
  *pending_out = pending;
  return true;
}

static int put_behind(BgFile *file, int fd, bool direct, uint32_t alignment)
{
  int rc;
  do
    rc = dup3(fd, file->fd, O_CLOEXEC);
  while (rc < 0 && (errno == EINTR || errno == EBUSY));
  if (rc < 0)
    return -errno;
  __atomic_store_n(&file->alignment, alignment, __ATOMIC_RELAXED);
  __atomic_store_n(&file->direct, direct, __ATOMIC_RELAXED);
  return 0;
}

bool bg_file_change_settle(void *instance, void *pending_in, GError **error)
{
  BgFile *file = instance;
  Pending *pending = pending_in;
  if (pending->new_fd < 0)
    return true;
  int rc = put_behind(file, pending->new_fd, pending->direct, pending->alignment);
  if (rc < 0)
    bg_set_error_errno(error, -rc, "cannot replace the descriptor of '%s'", file->filename);
  pending->switched = rc == 0;
  return rc == 0;
}

void bg_file_change_commit(void *instance, void *pending_in)
{
  BgFile *file = instance;
  g_autofree Pending *pending = pending_in;
  BgFileLocks locks = file->locking == BG_FILE_LOCKING_OFF ? (BgFileLocks){0} : pending->new_locks;
  if (!pending->switched) {
    keep_locks(file, locks);
    return;
  }
  close_unlocked(pending->saved_fd, file->locks);
  close(pending->new_fd);
  file->writable = pending->writable;
  file->locks = locks;
  bg_file_space_forget(&file->space); /* others may have been at it */
  pthread_mutex_lock(&file->flush_lock);
  file->flush_error = 0;
  pthread_mutex_unlock(&file->flush_lock);
}

void bg_file_change_abort(void *instance, void *pending_in)
{
  BgFile *file = instance;
  g_autofree Pending *pending = pending_in;
  if (pending->switched)
    put_behind(file, pending->saved_fd, pending->old_direct, pending->old_alignment);
  keep_locks(file, pending->old_locks);
  close_unlocked(pending->new_fd, pending->new_locks);
  if (pending->saved_fd >= 0)
    close(pending->saved_fd);
}

/* ── would it work ── */

static bool refuse(GError **error, int err, const char *reason, const char *name)
{
  bg_set_error(error, err, "'%s' %s", name, reason);
  return false;
}

static bool can_write_device(const BgFile *file, GError **error)
{
  int read_only = 0;
  if (ioctl(file->fd, BLKROGET, &read_only) == 0 && read_only)
    return refuse(error, EROFS, "is a read-only device", file->filename);
  return true;
}

/* access() through the descriptor's own path also sees a mount that is read-only, for root too. */
static bool can_write(const BgFile *file, GError **error)
{
  struct statx stx = {0};
  if (file->block_device && !can_write_device(file, error))
    return false;
  if (statx(file->fd, "", AT_EMPTY_PATH, 0, &stx) == 0 && stx.stx_attributes & STATX_ATTR_IMMUTABLE)
    return refuse(error, EACCES, "is immutable", file->filename);
  if (stx.stx_attributes & STATX_ATTR_APPEND)
    return refuse(error, EACCES, "is append-only", file->filename);
  char path[32];
  g_snprintf(path, sizeof path, "/proc/self/fd/%d", file->fd);
  if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) == 0)
    return true;
  if (errno == EROFS)
    return refuse(error, EROFS, "is on a read-only file system", file->filename);
  bg_set_error_errno(error, errno == EPERM ? EACCES : errno, "'%s' cannot be opened for writing", file->filename);
  return false;
}

bool bg_file_can_change(void *instance, const BgMode *mode, GError **error)
{
  BgFile *file = instance;
  if (mode->writable && !file->writable && !can_write(file, error))
    return false;
  return bg_file_locks_check(file->fd, bg_file_locks_of(file, mode), &file->last_holder, error);
}

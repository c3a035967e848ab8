#include "drivers/file/lock.h"

#include "drivers/error.h"
#include "drivers/file/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define HELD_BYTE     100
#define UNSHARED_BYTE 200

BgFileLocks bg_file_locks_union(BgFileLocks a, BgFileLocks b)
{
  return (BgFileLocks){a.held | b.held, a.unshared | b.unshared};
}

BgFileLocks bg_file_locks_minus(BgFileLocks a, BgFileLocks b)
{
  return (BgFileLocks){a.held & ~b.held, a.unshared & ~b.unshared};
}

static int set_lock(int fd, short type, off_t byte)
{
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
  int rc;
  do
    rc = fcntl(fd, F_OFD_SETLK, &lock);
  while (rc < 0 && errno == EINTR);
  return rc < 0 ? -errno : 0;
}

static int lock_error(int rc)
{
  switch (rc) {
  case -EACCES:
    return -EAGAIN;
  case -EINVAL:
  case -ENOLCK:
  case -ENOSYS:
    return -ENOTSUP;
  default:
    return rc;
  }
}

int bg_file_lock(int fd, BgFileLocks locks, off_t *byte)
{
  BgFileLocks taken = {0};
  for (int i = 0; i < BG_PERM_COUNT; i++) {
    int rc = 0;
    if (locks.held & (1 << i)) {
      rc = set_lock(fd, F_RDLCK, *byte = HELD_BYTE + i);
      taken.held |= 1 << i;
    }
    if (rc == 0 && locks.unshared & (1 << i)) {
      rc = set_lock(fd, F_RDLCK, *byte = UNSHARED_BYTE + i);
      taken.unshared |= 1 << i;
    }
    if (rc < 0) {
      bg_file_unlock(fd, taken);
      return lock_error(rc);
    }
  }
  return 0;
}

void bg_file_unlock(int fd, BgFileLocks locks)
{
  for (int i = 0; i < BG_PERM_COUNT; i++) {
    if (locks.held & (1 << i))
      set_lock(fd, F_UNLCK, HELD_BYTE + i);
    if (locks.unshared & (1 << i))
      set_lock(fd, F_UNLCK, UNSHARED_BYTE + i);
  }
}

/* Whether somebody else has a lock on `byte`; *pid is his where the kernel knows it, else -1. */
static bool is_locked(int fd, off_t byte, pid_t *pid)
{
  struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
  if (fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
    return false;
  *pid = lock.l_pid > 0 ? lock.l_pid : -1;
  return true;
}

static void set_conflict(GError **error, int fd, off_t byte, pid_t pid, const char *what, BgPerm perm,
                         pid_t *last_holder)
{
  g_autofree char *holder = bg_file_lock_holder(fd, byte, pid, last_holder);
  bg_set_error(error, EBUSY, "Failed to get %s\"%s\" lock: held by %s", what, bg_perm_name(perm), holder);
}

bool bg_file_locks_check(int fd, BgFileLocks locks, pid_t *last_holder, GError **error)
{
  for (int i = 0; i < BG_PERM_COUNT; i++) {
    pid_t pid;
    if (locks.held & (1 << i) && is_locked(fd, UNSHARED_BYTE + i, &pid)) {
      set_conflict(error, fd, UNSHARED_BYTE + i, pid, "", 1 << i, last_holder);
      return false;
    }
    if (locks.unshared & (1 << i) && is_locked(fd, HELD_BYTE + i, &pid)) {
      set_conflict(error, fd, HELD_BYTE + i, pid, "shared ", 1 << i, last_holder);
      return false;
    }
  }
  return true;
}

void bg_file_locks_set_busy(int fd, off_t byte, pid_t *last_holder, GError **error)
{
  pid_t pid = -1;
  is_locked(fd, byte, &pid);
  bool unshared = byte >= UNSHARED_BYTE;
  BgPerm perm = 1 << (byte - (unshared ? UNSHARED_BYTE : HELD_BYTE));
  set_conflict(error, fd, byte, pid, unshared ? "shared " : "", perm, last_holder);
}

#include "fs/file.h"

#include "drivers/error.h"

#include <fcntl.h>

BgfsAccess bgfs_access(int open_flags, BgfsCachingPolicy caching)
{
  switch (open_flags & O_ACCMODE) {
  case O_RDONLY:
    return BGFS_READ;
  case O_WRONLY:
    return caching == BGFS_CACHING_WRITEBACK ? BGFS_READ | BGFS_WRITE : BGFS_WRITE;
  default:
    return BGFS_READ | BGFS_WRITE;
  }
}

static BgPerm wanted_perm(BgNode *node, unsigned readers, unsigned writers)
{
  return (readers ? BG_USER_READ_PERM : BG_PERM_NONE) | (writers ? bg_user_write_perm(node) : BG_PERM_NONE);
}

static BgPerm wanted_shared(unsigned writers)
{
  return writers ? BG_USER_WRITE_SHARED : BG_USER_READ_SHARED;
}

bool bgfs_file_acquire(BgfsFile *file, BgfsAccess access, GError **error)
{
  unsigned readers = file->readers + !!(access & BGFS_READ);
  unsigned writers = file->writers + !!(access & BGFS_WRITE);
  BgPerm perm = wanted_perm(file->node, readers, writers);

  if (!file->user) {
    g_autofree char *what = g_strdup_printf("file '%s'", bg_node_name(file->node));
    BgUser *user = bg_user_new(file->node, what, perm, wanted_shared(writers), error);
    if (!user)
      return false;
    file->user = user;
  } else if (!readers != !file->readers || !writers != !file->writers) {
    if (!bg_user_set_perm(file->user, perm, wanted_shared(writers), error))
      return false;
  }
  file->readers = readers;
  file->writers = writers;
  return true;
}

static bool flush_last_writer(BgfsFile *file, BgfsAccess access, GError **error)
{
  if (!(access & BGFS_WRITE) || file->writers != 1)
    return true;
  int result = bg_user_flush(file->user);
  if (result < 0)
    bg_set_error_errno(error, -result, "file '%s': flush failed", bg_node_name(file->node));
  return result == 0;
}

bool bgfs_file_release(BgfsFile *file, BgfsAccess access, GError **error)
{
  bool ok = flush_last_writer(file, access, error);
  unsigned readers = file->readers - !!(access & BGFS_READ);
  unsigned writers = file->writers - !!(access & BGFS_WRITE);

  if (!readers && !writers) {
    bgfs_file_clear(file);
    return ok;
  }
  if (!readers != !file->readers || !writers != !file->writers)
    ok = bg_user_set_perm(file->user, wanted_perm(file->node, readers, writers), wanted_shared(writers),
                          ok ? error : NULL) &&
         ok;
  file->readers = readers;
  file->writers = writers;
  return ok;
}

void bgfs_file_clear(BgfsFile *file)
{
  bg_user_free(file->user);
  file->user = NULL;
  file->readers = file->writers = 0;
}

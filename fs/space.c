#include "fs/space.h"

#include <fcntl.h>
#include <linux/falloc.h>

BgfsTruncate bgfs_truncate_action(uint64_t size, uint64_t length, bool grows)
{
  if (length == size)
    return BGFS_TRUNCATE_NOTHING;
  if (length > size || grows)
    return BGFS_TRUNCATE_RESIZE;
  return BGFS_TRUNCATE_ZERO_TAIL;
}

BgfsFallocate bgfs_fallocate_action(int mode, uint64_t size, uint64_t end)
{
  switch (mode) {
  case 0:
    return end > size ? BGFS_FALLOCATE_GROW : BGFS_FALLOCATE_REFUSE;
  case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE:
    return BGFS_FALLOCATE_PUNCH;
  case FALLOC_FL_ZERO_RANGE:
  case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE:
    return BGFS_FALLOCATE_ZERO;
  default:
    return BGFS_FALLOCATE_REFUSE;
  }
}

#include "fs/request.h"

#include <linux/fuse.h>

bool bgfs_request_is_quick(const void *request, size_t length)
{
  const struct fuse_in_header *header = request;
  const struct fuse_read_in *read = (const void *)(header + 1);
  const struct fuse_write_in *write = (const void *)(header + 1);
  if (length >= sizeof *header + sizeof *read && header->opcode == FUSE_READ)
    return read->size <= BGFS_QUICK_BYTES;
  if (length >= sizeof *header + sizeof *write && header->opcode == FUSE_WRITE)
    return write->size <= BGFS_QUICK_BYTES;
  return false;
}

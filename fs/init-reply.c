#include "fs/init-reply.h"

#include "fs/ring/kernel.h"

#include <linux/fuse.h>
#include <stddef.h>
#include <string.h>

#ifndef FUSE_INIT_EXT
#define FUSE_INIT_EXT (1 << 30)
#endif
#ifndef FUSE_PASSTHROUGH
#define FUSE_PASSTHROUGH (UINT64_C(1) << 37)
#endif
#ifndef FUSE_DIRECT_IO_ALLOW_MMAP
#define FUSE_DIRECT_IO_ALLOW_MMAP (UINT64_C(1) << 36)
#endif

bool bgfs_init_reply_request(BgfsInitReply *init, const void *request, size_t length)
{
  const struct fuse_in_header *header = request;
  const struct fuse_init_in *in = (const void *)(header + 1);
  if (length < sizeof(*header) + offsetof(struct fuse_init_in, unused) || header->opcode != FUSE_INIT)
    return false;
  init->unique = header->unique;
  init->flags = in->flags;
  if (in->flags & FUSE_INIT_EXT)
    init->flags |= (uint64_t)in->flags2 << 32;
  return true;
}

bool bgfs_init_reply_offers_ring(const BgfsInitReply *init)
{
  return init->flags & BGFS_RING_INIT_FLAG;
}

/* The field behind flags2, which older headers do not name. */
static void set_stack_depth(struct fuse_init_out *out)
{
  uint32_t depth = BGFS_STACK_DEPTH;
  memcpy((char *)out + offsetof(struct fuse_init_out, flags2) + sizeof(out->flags2), &depth, sizeof(depth));
}

/* The kernel waits for the reply to INIT before it sends anything else: nobody else writes here meanwhile. */
bool bgfs_init_reply_patch(BgfsInitReply *init, const struct iovec *iov, int count)
{
  if (init->unique == 0 || count != 2 || iov[0].iov_len != sizeof(struct fuse_out_header) ||
      iov[1].iov_len != sizeof(struct fuse_init_out))
    return false;
  const struct fuse_out_header *header = iov[0].iov_base;
  struct fuse_init_out *out = iov[1].iov_base;
  if (header->unique != init->unique || header->error != 0)
    return false;
  init->unique = 0;
  uint64_t wanted = FUSE_HANDLE_KILLPRIV_V2 | FUSE_DIRECT_IO_ALLOW_MMAP;
  if (init->wants_passthrough && !(out->flags & FUSE_WRITEBACK_CACHE)) /* the kernel does one of them at a time */
    wanted |= FUSE_PASSTHROUGH;
  if (init->wants_ring)
    wanted |= BGFS_RING_INIT_FLAG;
  wanted &= init->flags;
  out->flags |= (uint32_t)wanted;
  if (out->flags & FUSE_INIT_EXT)
    out->flags2 |= wanted >> 32;
  init->maps_uncached = out->flags & FUSE_INIT_EXT && wanted & FUSE_DIRECT_IO_ALLOW_MMAP;
  init->passthrough = out->flags & FUSE_INIT_EXT && wanted & FUSE_PASSTHROUGH;
  init->ring = out->flags & FUSE_INIT_EXT && wanted & BGFS_RING_INIT_FLAG;
  if (init->passthrough)
    set_stack_depth(out);
  return true;
}

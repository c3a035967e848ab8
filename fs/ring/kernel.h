/* FUSE over io_uring as the kernel speaks it: linux/fuse.h since version 6.14, which older headers do not have. */
#ifndef BGFS_RING_KERNEL_H
#define BGFS_RING_KERNEL_H

#include <stdint.h>

/* A flag of INIT. */
#define BGFS_RING_INIT_FLAG (UINT64_C(1) << 41)

enum { BGFS_RING_REGISTER = 1, BGFS_RING_COMMIT_AND_FETCH = 2 }; /* fuse_uring_cmd */

/* fuse_uring_req_header: of a request when the kernel hands it over, of its answer when it takes it back. */
typedef struct BgfsRingHeader {
  char in_out[128]; /* fuse_in_header, fuse_out_header */
  char op_in[128];  /* the operation's first argument; its others, and all of the answer, are the payload */
  uint64_t flags;
  uint64_t commit_id; /* goes back with the answer */
  uint32_t payload_size;
  uint32_t padding;
  uint64_t reserved;
} BgfsRingHeader;

/* fuse_uring_cmd_req: in the second half of the submission. */
typedef struct BgfsRingCommand {
  uint64_t flags;
  uint64_t commit_id;
  uint16_t queue;
  uint8_t padding[6];
} BgfsRingCommand;

#endif

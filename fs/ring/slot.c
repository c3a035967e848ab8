#include "fs/ring/slot.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/mman.h>

enum {
  PAGE = 4096,
  KEPT = 64 * 1024, /* bytes of payload that stay when a slot is trimmed */
  ALIGNMENT = 8,    /* of what the protocol's structs begin with */
};

G_STATIC_ASSERT(sizeof(BgfsRingHeader) == 288);
G_STATIC_ASSERT(sizeof(BgfsRingHeader) + sizeof(struct fuse_in_header) + sizeof(((BgfsRingHeader *)NULL)->op_in) <= PAGE);

bool bgfs_ring_slot_init(BgfsRingSlot *slot, size_t size)
{
  size_t mapped = PAGE + size;
  void *memory = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return false;
  *slot = (BgfsRingSlot){.header = memory, .payload = (char *)memory + PAGE, .size = size, .mapped = mapped};
  return true;
}

void bgfs_ring_slot_clear(BgfsRingSlot *slot)
{
  if (slot->header)
    munmap(slot->header, slot->mapped);
  slot->header = NULL;
}

/* How long the operation's first argument is: the header tells of all, the ring of the others. False: that cannot be. */
static bool first_argument(const BgfsRingSlot *slot, const struct fuse_in_header *in, size_t *length)
{
  size_t others = slot->header->payload_size;
  if (others > slot->size || in->len < sizeof *in + others)
    return false;
  *length = in->len - sizeof *in - others;
  return *length <= sizeof slot->header->op_in && *length % ALIGNMENT == 0;
}

const void *bgfs_ring_slot_request(BgfsRingSlot *slot, size_t *length)
{
  struct fuse_in_header in;
  size_t first;
  memcpy(&in, slot->header->in_out, sizeof in);
  atomic_store(&slot->unique, in.unique);
  if (!first_argument(slot, &in, &first))
    return NULL;
  char *request = slot->payload - first - sizeof in;
  memcpy(request, &in, sizeof in);
  memcpy(request + sizeof in, slot->header->op_in, first);
  *length = in.len;
  return request;
}

static void set_answer(BgfsRingSlot *slot, const struct fuse_out_header *out, size_t payload)
{
  memcpy(slot->header->in_out, out, sizeof *out);
  slot->header->payload_size = payload;
}

static void refuse(BgfsRingSlot *slot, uint64_t unique)
{
  set_answer(slot, &(struct fuse_out_header){.len = sizeof(struct fuse_out_header), .error = -EIO, .unique = unique}, 0);
}

void bgfs_ring_slot_answer(BgfsRingSlot *slot, const struct iovec *iov, int count)
{
  const struct fuse_out_header *out = iov[0].iov_base;
  size_t done = 0;
  for (int i = 1; i < count; i++) {
    if (iov[i].iov_len > slot->size - done) {
      refuse(slot, out->unique);
      return;
    }
    if (iov[i].iov_base != slot->payload + done)
      memmove(slot->payload + done, iov[i].iov_base, iov[i].iov_len);
    done += iov[i].iov_len;
  }
  set_answer(slot, out, done);
}

void bgfs_ring_slot_refuse(BgfsRingSlot *slot)
{
  refuse(slot, atomic_load(&slot->unique));
}

void bgfs_ring_slot_trim(BgfsRingSlot *slot)
{
  if (slot->size > KEPT && slot->header->payload_size <= KEPT)
    madvise(slot->payload + KEPT, slot->size - KEPT, MADV_DONTNEED);
}

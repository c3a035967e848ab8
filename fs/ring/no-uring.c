/* Built without liburing. */
#include "fs/ring/ring.h"

#include "drivers/error.h"

#include <errno.h>

BgfsRing *bgfs_ring_new(const BgfsRingServer *server, GError **error)
{
  (void)server;
  bg_set_error(error, EOPNOTSUPP, "built without liburing");
  return NULL;
}

void bgfs_ring_go(BgfsRing *ring)
{
  (void)ring;
}

bool bgfs_ring_answer(BgfsRing *ring, const struct iovec *iov, int count)
{
  (void)ring;
  (void)iov;
  (void)count;
  return false;
}

bool bgfs_ring_is_mine(void)
{
  return false;
}

void bgfs_ring_stop(BgfsRing *ring)
{
  (void)ring;
}

void bgfs_ring_free(BgfsRing *ring)
{
  (void)ring;
}

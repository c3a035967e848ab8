#include "fs/ring/ring.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <unistd.h>

TestSuite(ring, .timeout = 60);

static void serve(void *data, const void *request, size_t length, void *payload)
{
  (void)data, (void)request, (void)length, (void)payload;
  cr_assert_fail("nobody asks anything");
}

/* On something that is no connection. Skips where the machine has no io_uring for us. */
static BgfsRing *new_ring(int fd)
{
  g_autoptr(GError) error = NULL;
  BgfsRing *ring = bgfs_ring_new(&(BgfsRingServer){fd, 1 << 20, serve, NULL}, &error);
  if (!ring)
    cr_skip_test("%s", error->message);
  return ring;
}

static bool answers(BgfsRing *ring, uint64_t unique)
{
  struct fuse_out_header out = {.len = sizeof out, .unique = unique};
  return bgfs_ring_answer(ring, &(struct iovec){&out, sizeof out}, 1);
}

Test(ring, one_that_was_never_needed)
{
  BgfsRing *ring = new_ring(-1);
  cr_assert_not(bgfs_ring_is_mine());
  bgfs_ring_free(ring);
}

Test(ring, answers_that_are_not_for_it)
{
  BgfsRing *ring = new_ring(-1);
  cr_assert_not(answers(ring, 8), "to what came otherwise");
  cr_assert_not(answers(ring, 0), "a notification");
  cr_assert_not(answers(NULL, 8));
  bgfs_ring_stop(ring);
  bgfs_ring_stop(ring);
  cr_assert_not(answers(ring, 8), "afterwards");
  bgfs_ring_free(ring);
  bgfs_ring_free(NULL);
}

Test(ring, a_kernel_that_changes_its_mind)
{
  int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  BgfsRing *ring = new_ring(fd);
  bgfs_ring_go(ring);
  g_usleep(50000); /* so that most threads have been told */
  cr_assert_not(answers(ring, 8));
  bgfs_ring_free(ring);
  close(fd);
}

#include "fake-graph.h"
#include "fs/fs.h"

#include <criterion/criterion.h>

/* What "the kernel" was told; these stand in for libfuse's. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned attributes, data, names;
static unsigned data_delay; /* ms that dropping data takes */
static uint64_t last_ino;

static void count(unsigned *counter, uint64_t ino)
{
  pthread_mutex_lock(&lock);
  ++*counter;
  last_ino = ino;
  pthread_mutex_unlock(&lock);
}

static unsigned counted(const unsigned *counter)
{
  pthread_mutex_lock(&lock);
  unsigned value = *counter;
  pthread_mutex_unlock(&lock);
  return value;
}

int fuse_lowlevel_notify_inval_inode(struct fuse_session *session, fuse_ino_t ino, off_t offset, off_t length)
{
  (void)session;
  cr_assert_eq(length, 0);
  if (offset == 0)
    g_usleep(data_delay * 1000);
  count(offset < 0 ? &attributes : &data, ino);
  return 0;
}

int fuse_lowlevel_notify_inval_entry(struct fuse_session *session, fuse_ino_t parent, const char *name, size_t length)
{
  (void)session;
  cr_assert_eq(length, strlen(name));
  count(&names, parent);
  return 0;
}

typedef struct Fixture {
  BgNode node;
  BgfsInodes *inodes;
  BgfsInode *inode;
  BgfsNotify *notify;
} Fixture;

static void start(Fixture *fixture)
{
  fixture->node = (BgNode){0};
  fixture->inodes = bgfs_inodes_new();
  fixture->inode = bgfs_inodes_of_node(fixture->inodes, &fixture->node);
  fixture->notify = bgfs_notify_new();
  cr_assert(bgfs_notify_start(fixture->notify, NULL, fixture->inodes));
}

static void stop(Fixture *fixture)
{
  bgfs_notify_stop(fixture->notify);
  bgfs_notify_free(fixture->notify);
  bgfs_inodes_free(fixture->inodes);
}

static void wait_until(const unsigned *counter, unsigned value)
{
  while (counted(counter) < value)
    g_usleep(1000);
}

Test(notify, each_kind_goes_its_own_way, .timeout = 10)
{
  Fixture fixture;
  start(&fixture);
  bgfs_notify_listener.state_changed(fixture.notify, &fixture.node);
  wait_until(&attributes, 1);
  cr_assert_eq(last_ino, fixture.inode->ino);
  fixture.inode->caching.generation = 7;
  bgfs_notify_listener.content_changed(fixture.notify, &fixture.node);
  wait_until(&data, 1);
  cr_assert_eq(fixture.inode->caching.generation, UINT64_MAX, "the next open keeps no cache");
  bgfs_notify_listener.node_removed(fixture.notify, &fixture.node);
  wait_until(&names, 1);
  cr_assert_eq(last_ino, BGFS_INO_ROOT);
  stop(&fixture);
}

Test(notify, what_nobody_looked_at_is_not_told, .timeout = 10)
{
  Fixture fixture;
  start(&fixture);
  BgNode unknown = {0};
  bgfs_notify_listener.state_changed(fixture.notify, &unknown);
  bgfs_notify_listener.state_changed(fixture.notify, &fixture.node);
  wait_until(&attributes, 1);
  g_usleep(20 * 1000);
  cr_assert_eq(counted(&attributes), 1);
  stop(&fixture);
}

Test(notify, a_burst_is_told_once, .timeout = 10)
{
  enum { BURST = 1000 };
  Fixture fixture;
  start(&fixture);
  data_delay = 50;
  for (int i = 0; i < BURST; i++)
    bgfs_notify_listener.content_changed(fixture.notify, &fixture.node);
  bgfs_notify_drop_data(fixture.notify, fixture.inode, 5000);
  cr_assert_leq(counted(&data), 3);
  stop(&fixture);
}

Test(notify, attributes_do_not_wait_for_data, .timeout = 10)
{
  Fixture fixture;
  start(&fixture);
  data_delay = 500;
  bgfs_notify_listener.content_changed(fixture.notify, &fixture.node);
  bgfs_notify_listener.state_changed(fixture.notify, &fixture.node);
  wait_until(&attributes, 1);
  cr_assert_eq(counted(&data), 0);
  stop(&fixture);
}

Test(notify, dropping_data_returns_when_it_is_dropped_or_late, .timeout = 10)
{
  Fixture fixture;
  start(&fixture);
  data_delay = 50;
  bgfs_notify_drop_data(fixture.notify, fixture.inode, 5000);
  cr_assert_eq(counted(&data), 1);
  data_delay = 1000;
  int64_t begin = g_get_monotonic_time();
  bgfs_notify_drop_data(fixture.notify, fixture.inode, 100);
  cr_assert_lt(g_get_monotonic_time() - begin, 800 * 1000);
  stop(&fixture);
}

Test(notify, nothing_is_sent_before_start_and_after_stop, .timeout = 10)
{
  Fixture fixture;
  start(&fixture);
  bgfs_notify_stop(fixture.notify);
  bgfs_notify_listener.state_changed(fixture.notify, &fixture.node);
  bgfs_notify_drop_data(fixture.notify, fixture.inode, 5000);
  g_usleep(20 * 1000);
  cr_assert_eq(counted(&attributes) + counted(&data), 0);
  bgfs_notify_free(fixture.notify);

  fixture.notify = bgfs_notify_new();
  bgfs_notify_listener.state_changed(fixture.notify, &fixture.node);
  stop(&fixture);
  cr_assert_eq(counted(&attributes), 0);
}

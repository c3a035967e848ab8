#include "fake-silent.h"

#include <criterion/criterion.h>
#include <errno.h>

typedef struct Silent {
  pthread_mutex_t lock;
  pthread_cond_t abandoned_cond;
  bool abandoned;
  unsigned waiting;
} Silent;

static _Atomic unsigned waiting_in_all;

static void *silent_open(BgHost *host, const void *options, const BgMode *mode, GError **error)
{
  (void)host, (void)options, (void)mode, (void)error;
  Silent *silent = g_new0(Silent, 1);
  pthread_mutex_init(&silent->lock, NULL);
  pthread_cond_init(&silent->abandoned_cond, NULL);
  return silent;
}

static void silent_close(void *instance)
{
  Silent *silent = instance;
  pthread_cond_destroy(&silent->abandoned_cond);
  pthread_mutex_destroy(&silent->lock);
  g_free(silent);
}

static bool silent_abandon(void *instance, unsigned silence)
{
  Silent *silent = instance;
  (void)silence;
  pthread_mutex_lock(&silent->lock);
  bool waits = silent->waiting > 0;
  silent->abandoned = silent->abandoned || waits;
  pthread_cond_broadcast(&silent->abandoned_cond);
  pthread_mutex_unlock(&silent->lock);
  return waits;
}

static int64_t silent_size(void *instance)
{
  (void)instance;
  return 1 << 20;
}

static int silent_preadv(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  Silent *silent = instance;
  (void)iov, (void)iovcnt, (void)offset;
  pthread_mutex_lock(&silent->lock);
  silent->waiting++;
  waiting_in_all++;
  while (!silent->abandoned)
    pthread_cond_wait(&silent->abandoned_cond, &silent->lock);
  silent->waiting--;
  waiting_in_all--;
  pthread_mutex_unlock(&silent->lock);
  return -EIO;
}

const BgDriver bg_driver_silent = {
    .name = "silent",
    .summary = "silence, for tests",
    .kind = BG_KIND_PROTOCOL,
    .waits = true,
    .open = silent_open,
    .close = silent_close,
    .abandon = silent_abandon,
    .size = silent_size,
    .preadv = silent_preadv,
};

static void *run(void *data)
{
  SilentRead *read = data;
  char byte;
  struct iovec iov = {&byte, 1};
  read->result = bg_user_preadv(read->user, &iov, 1, 0);
  read->ended = true;
  return NULL;
}

void silent_read_start(SilentRead *read, BgUser *user, unsigned count)
{
  *read = (SilentRead){.user = user};
  cr_assert_eq(pthread_create(&read->thread, NULL, run, read), 0);
  while (waiting_in_all < count)
    g_usleep(1000);
}

ssize_t silent_read_end(SilentRead *read)
{
  pthread_join(read->thread, NULL);
  return read->result;
}

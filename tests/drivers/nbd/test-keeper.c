#include "tests/drivers/nbd/connect.h"

#include <criterion/criterion.h>
#include <errno.h>

#define SIZE ((uint64_t)1 << 20)

TestSuite(nbd_keeper, .timeout = 60);

static int write_at(BgNbdSession *s, int byte, uint64_t offset)
{
  char data[4096];
  memset(data, byte, sizeof data);
  struct iovec iov = {data, sizeof data};
  return bg_nbd_session_write(s, &iov, 1, offset);
}

static int read_at(BgNbdSession *s, int *byte, uint64_t offset)
{
  char data[4096];
  int result = bg_nbd_session_read(s, data, sizeof data, offset);
  *byte = data[0];
  return result;
}

/* The plugin `memory` forgets everything when it dies. */
Test(nbd_keeper, what_was_acknowledged_is_written_again)
{
  NbdPair pair;
  nbd_pair_init(&pair, SIZE, "memory 1M", 60);
  BgNbdSession *s = pair.s;
  cr_assert_eq(write_at(s, 'a', 0), 0);
  cr_assert_eq(write_at(s, 'b', 0), 0);
  cr_assert_eq(write_at(s, 'c', 8192), 0);
  cr_assert_eq(bg_nbd_session_zero(s, 8192, 4096, 0), 0);
  cr_assert_eq(write_at(s, 'd', 16384), 0);
  nbd_server_restart(&pair.server, "memory 1M");
  int byte;
  cr_assert_eq(read_at(s, &byte, 0), 0);
  cr_assert_eq(byte, 'b');
  cr_assert_eq(read_at(s, &byte, 8192), 0);
  cr_assert_eq(byte, 0);
  cr_assert_eq(read_at(s, &byte, 16384), 0);
  cr_assert_eq(byte, 'd');
  cr_assert_eq(bg_nbd_session_flush(s), 0);
  cr_assert_eq(s->unstable.bytes, 0);
  cr_assert_eq(s->outages, 1);
  nbd_pair_clear(&pair);
}

typedef struct Writer {
  BgNbdSession *s;
  int stop; /* atomic */
  int result;
  int rounds;
} Writer;

/* Each block holds the number of the last round that was acknowledged in it. */
static void *write_on(void *data)
{
  Writer *writer = data;
  while (!__atomic_load_n(&writer->stop, __ATOMIC_RELAXED) && writer->result == 0) {
    writer->rounds++;
    for (int i = 0; i < 8 && writer->result == 0; i++)
      writer->result = write_at(writer->s, writer->rounds % 128, (uint64_t)i * 4096);
  }
  return NULL;
}

Test(nbd_keeper, a_server_that_dies_in_the_middle_of_writes)
{
  NbdPair pair;
  nbd_pair_init(&pair, SIZE, "memory 1M", 60);
  Writer writer = {pair.s};
  pthread_t thread;
  pthread_create(&thread, NULL, write_on, &writer);
  for (int i = 0; i < 5; i++) {
    g_usleep(20000);
    nbd_server_restart(&pair.server, "memory 1M");
  }
  __atomic_store_n(&writer.stop, 1, __ATOMIC_RELAXED);
  pthread_join(thread, NULL);
  cr_assert_eq(writer.result, 0);
  for (int i = 0; i < 8; i++) {
    int byte;
    cr_assert_eq(read_at(writer.s, &byte, (uint64_t)i * 4096), 0);
    cr_assert_eq(byte, writer.rounds % 128, "block %d", i);
  }
  cr_assert_eq(bg_nbd_session_flush(writer.s), 0);
  nbd_pair_clear(&pair);
}

Test(nbd_keeper, without_a_grace_requests_fail_and_the_loss_is_told)
{
  NbdPair pair;
  nbd_pair_init(&pair, SIZE, "memory 1M", 0);
  BgNbdSession *s = pair.s;
  int byte;
  cr_assert_eq(write_at(s, 'a', 0), 0);
  nbd_server_kill(&pair.server);
  cr_assert_eq(read_at(s, &byte, 0), -EIO);
  nbd_server_start(&pair.server, "memory 1M");
  cr_assert_eq(nbd_read_until_back(s), 0, "it is reconnected all the same");
  cr_assert_eq(bg_nbd_session_flush(s), -EIO);
  cr_assert_eq(bg_nbd_session_flush(s), -EIO, "for good");
  nbd_pair_clear(&pair);
}

Test(nbd_keeper, without_a_grace_flushed_writes_are_no_loss)
{
  NbdPair pair;
  nbd_pair_init(&pair, SIZE, "memory 1M", 0);
  BgNbdSession *s = pair.s;
  cr_assert_eq(write_at(s, 'a', 0), 0);
  cr_assert_eq(bg_nbd_session_flush(s), 0);
  nbd_server_restart(&pair.server, "memory 1M");
  cr_assert_eq(nbd_read_until_back(s), 0);
  cr_assert_eq(bg_nbd_session_flush(s), 0);
  nbd_pair_clear(&pair);
}

static char *failure_after(NbdServer *server, BgNbdSession *s, const char *arguments)
{
  int byte;
  nbd_server_restart(server, arguments);
  cr_assert_eq(read_at(s, &byte, 0), -EIO);
  pthread_mutex_lock(&s->lock);
  cr_assert_eq(s->state, BG_NBD_FAILED);
  char *failure = g_strdup(s->failure);
  pthread_mutex_unlock(&s->lock);
  return failure;
}

Test(nbd_keeper, another_export_than_before_fails_for_good)
{
  static const struct {
    const char *arguments, *said;
  } cases[] = {
      {"memory 2M", "2097152 bytes"},
      {"-r memory 1M", "read-only"},
      {"--filter=blocksize-policy memory 1M blocksize-minimum=4096 blocksize-preferred=4096", "sizes of blocks"}};
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
    NbdPair pair;
    nbd_pair_init(&pair, SIZE, "memory 1M", 60);
    BgNbdSession *s = pair.s;
    s->writable = true;
    g_autofree char *failure = failure_after(&pair.server, s, cases[i].arguments);
    cr_assert_not_null(strstr(failure, cases[i].said), "%s", failure);
    cr_assert_not_null(strstr(failure, pair.server.socket), "%s", failure);
    nbd_pair_clear(&pair);
  }
}

Test(nbd_keeper, the_grace_ends)
{
  NbdPair pair;
  nbd_pair_init(&pair, SIZE, "memory 1M", 1);
  BgNbdSession *s = pair.s;
  nbd_server_kill(&pair.server);
  int byte;
  int64_t start = g_get_monotonic_time();
  cr_assert_eq(read_at(s, &byte, 0), -EIO);
  int64_t took = g_get_monotonic_time() - start;
  cr_assert(took > G_USEC_PER_SEC / 2 && took < 5 * G_USEC_PER_SEC, "%d ms", (int)(took / 1000));
  nbd_pair_clear(&pair);
}

/* 80 MiB are more than what is kept. */
Test(nbd_keeper, what_is_kept_is_bounded)
{
  NbdPair pair;
  nbd_pair_init(&pair, SIZE, "memory 1M", 60);
  BgNbdSession *s = pair.s;
  g_autofree char *data = g_malloc0(SIZE);
  struct iovec iov = {data, SIZE};
  for (int i = 0; i < 80; i++)
    cr_assert_eq(bg_nbd_session_write(s, &iov, 1, 0), 0);
  cr_assert_gt(s->unstable.flushes, 0);
  cr_assert_leq(s->unstable.bytes, (uint64_t)65 << 20);
  nbd_pair_clear(&pair);
}

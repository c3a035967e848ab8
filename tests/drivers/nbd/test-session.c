#include "tests/drivers/nbd/connect.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>

#define SIZE ((uint64_t)4 << 20)

TestSuite(nbd_session, .timeout = 60);

static void write_byte(BgNbdSession *s, int byte, uint64_t offset, uint64_t length)
{
  g_autofree char *data = g_malloc(length);
  memset(data, byte, length);
  struct iovec iov = {data, length};
  cr_assert_eq(bg_nbd_session_write(s, &iov, 1, offset), 0);
}

static void expect_byte(BgNbdSession *s, int byte, uint64_t offset, uint64_t length)
{
  g_autofree char *data = g_malloc(length);
  cr_assert_eq(bg_nbd_session_read(s, data, length, offset), 0);
  for (uint64_t i = 0; i < length; i++)
    cr_assert_eq(data[i], byte, "byte %d of %d", (int)i, (int)length);
}

static void wait_for_all_connections(BgNbdSession *s)
{
  unsigned usable = 0;
  for (int i = 0; i < 500 && usable < BG_NBD_CONNECTIONS; i++, g_usleep(10000)) {
    pthread_mutex_lock(&s->lock);
    usable = 0;
    for (int j = 0; j < BG_NBD_CONNECTIONS; j++)
      usable += s->connections[j].usable;
    pthread_mutex_unlock(&s->lock);
  }
  cr_assert_eq(usable, BG_NBD_CONNECTIONS);
}

Test(nbd_session, several_connections_where_the_server_allows_it)
{
  NbdPair pair;
  nbd_pair_init(&pair, SIZE, "memory 4M", 0);
  BgNbdSession *s = pair.s;
  cr_assert(s->facts.multi_conn);
  wait_for_all_connections(s);
  write_byte(s, 'a', 0, SIZE);
  cr_assert_eq(bg_nbd_session_flush(s), 0);
  expect_byte(s, 'a', 0, SIZE);
  nbd_pair_clear(&pair);
}

Test(nbd_session, requests_are_cut_to_what_the_server_takes)
{
  NbdPair pair;
  nbd_pair_init(&pair, SIZE,
                "--filter=blocksize-policy memory 4M blocksize-minimum=4096 blocksize-preferred=4096 "
                "blocksize-maximum=64K blocksize-error-policy=error",
                0);
  BgNbdSession *s = pair.s;
  cr_assert_eq(s->facts.minimum, 4096);
  cr_assert_eq(s->facts.maximum, 65536);
  write_byte(s, 'b', 4096, 1 << 20);
  expect_byte(s, 'b', 4096, 1 << 20);
  nbd_pair_clear(&pair);
}

typedef struct Reader {
  BgNbdSession *s;
  int result;
} Reader;

static void *read_one(void *data)
{
  Reader *reader = data;
  char buffer[512];
  reader->result = bg_nbd_session_read(reader->s, buffer, sizeof buffer, 0);
  return NULL;
}

static void wait_for_waiter(BgNbdSession *s)
{
  for (unsigned waiting = 0; waiting == 0; g_usleep(5000)) {
    pthread_mutex_lock(&s->lock);
    waiting = s->waiting;
    pthread_mutex_unlock(&s->lock);
  }
}

/* Also within the grace; and once it answers again all is well. */
Test(nbd_session, a_server_that_hangs_is_abandoned_at_once)
{
  NbdPair pair;
  nbd_pair_init(&pair, SIZE, "memory 4M", 600);
  BgNbdSession *s = pair.s;
  cr_assert_not(bg_nbd_session_abandon(s, 0), "nobody waits");
  nbd_server_hang(&pair.server);
  Reader reader = {s};
  pthread_t thread;
  pthread_create(&thread, NULL, read_one, &reader);
  wait_for_waiter(s);
  int64_t start = g_get_monotonic_time();
  cr_assert_not(bg_nbd_session_abandon(s, 60000), "not for so long");
  cr_assert(bg_nbd_session_abandon(s, 0));
  pthread_join(thread, NULL);
  cr_assert_eq(reader.result, -EIO);
  char buffer[512];
  cr_assert_eq(bg_nbd_session_read(s, buffer, sizeof buffer, 0), -EIO, "nobody waits for it any more");
  cr_assert_lt(g_get_monotonic_time() - start, 2 * G_USEC_PER_SEC);
  kill(pair.server.pid, SIGCONT);
  cr_assert_eq(nbd_read_until_back(s), 0);
  nbd_pair_clear(&pair);
}

Test(nbd_session, taking_leave_of_a_server_that_hangs_does_not)
{
  NbdPair pair;
  nbd_pair_init(&pair, SIZE, "memory 4M", 600);
  BgNbdSession *s = pair.s;
  wait_for_all_connections(s);
  nbd_server_hang(&pair.server);
  int64_t start = g_get_monotonic_time();
  bg_nbd_session_free(s);
  cr_assert_lt(g_get_monotonic_time() - start, 2 * G_USEC_PER_SEC, "it is tried once, not over each connection");
  nbd_server_clear(&pair.server);
}

Test(nbd_session, errors_of_the_server_are_the_callers)
{
  NbdPair pair;
  nbd_pair_init(&pair, SIZE, "--filter=error memory 4M error-pwrite=ENOSPC error-pwrite-rate=100%", 5);
  BgNbdSession *s = pair.s;
  char buffer[512] = "x";
  struct iovec iov = {buffer, sizeof buffer};
  cr_assert_eq(bg_nbd_session_write(s, &iov, 1, 0), -ENOSPC);
  cr_assert_eq(s->unstable.bytes, 0, "what failed is not kept");
  expect_byte(s, 0, 0, 512);
  nbd_pair_clear(&pair);
}

Test(nbd_session, a_server_that_is_not_there)
{
  NbdServer server;
  nbd_server_init(&server, SIZE);
  const BgNbdOptions options = {.server_type = BG_NBD_UNIX, .path = server.socket};
  g_autoptr(GError) error = NULL;
  BgNbdTarget *target = bg_nbd_target_new(&options, NULL);
  cr_assert_null(bg_nbd_session_new(target, NULL, &error));
  cr_assert_not_null(strstr(error->message, server.socket), "%s", error->message);
  bg_nbd_target_free(target);
  nbd_server_clear(&server);
}

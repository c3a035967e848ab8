#include "drivers/nbd/exchange.h"

#include "tests/drivers/nbd/connect.h"

#include <criterion/criterion.h>
#include <errno.h>

#define SIZE ((uint64_t)1 << 20)

TestSuite(nbd_exchange, .timeout = 60);

Test(nbd_exchange, the_connection_with_the_least_to_do_is_chosen)
{
  g_autoptr(BgNbdTarget) target = bg_nbd_target_new(&(BgNbdOptions){.filename = "nbd://host"}, NULL);
  BgNbdSession *s = bg_nbd_state_new(target, NULL, NULL);
  cr_assert_null(bg_nbd_exchange_choose(s), "there is none");
  s->connections[1] = (BgNbdConnection){.session = s, .wake_fd = s->connections[1].wake_fd, .usable = true};
  s->connections[3] = (BgNbdConnection){.session = s, .wake_fd = s->connections[3].wake_fd, .usable = true};
  BgNbdRequest requests[3];
  const unsigned expected[] = {1, 3, 1};
  for (size_t i = 0; i < G_N_ELEMENTS(requests); i++) {
    BgNbdConnection *chosen = bg_nbd_exchange_choose(s);
    cr_assert_eq(chosen, &s->connections[expected[i]], "request %zu", i);
    bg_nbd_request_init(&requests[i], BG_NBD_READ, 0, 512);
    bg_nbd_exchange_begin(chosen, &requests[i]);
    cr_assert_eq(requests[i].connection, chosen);
  }
  cr_assert_eq(s->connections[1].in_flight, 2);
  cr_assert_eq(s->connections[1].issuing, 2, "so it stays");
  cr_assert_eq(g_queue_get_length(&s->under_way), 3);
  for (size_t i = 0; i < G_N_ELEMENTS(requests); i++) {
    g_queue_unlink(&s->under_way, &requests[i].link);
    bg_nbd_request_clear(&requests[i]);
  }
  bg_nbd_state_free(s);
}

typedef struct Call {
  BgNbdRequest request;
  BgNbdConnection *connection;
  char data[512];
} Call;

static void begin(Call *call, BgNbdSession *s, BgNbdCommand command, uint64_t offset)
{
  *call = (Call){0};
  bg_nbd_request_init(&call->request, command, offset, sizeof call->data);
  call->request.buffer = call->data;
  pthread_mutex_lock(&s->lock);
  call->connection = bg_nbd_exchange_choose(s);
  cr_assert_not_null(call->connection);
  bg_nbd_exchange_begin(call->connection, &call->request);
  pthread_mutex_unlock(&s->lock);
}

/* The outcome; nothing is left of it. */
static BgNbdOutcome finish(Call *call, BgNbdSession *s)
{
  BgNbdOutcome outcome = bg_nbd_exchange(call->connection, &call->request);
  pthread_mutex_lock(&s->lock);
  cr_assert_eq(g_queue_get_length(&s->under_way), 0);
  cr_assert_eq(call->connection->in_flight, 0);
  cr_assert_eq(call->connection->issuing, 0);
  pthread_mutex_unlock(&s->lock);
  bg_nbd_request_clear(&call->request);
  return outcome;
}

Test(nbd_exchange, an_answered_write_is_acknowledged)
{
  NbdPair pair;
  nbd_pair_init(&pair, SIZE, "memory 1M", 0);
  Call call;
  BgNbdKept kept = {0};
  begin(&call, pair.s, BG_NBD_WRITE, 4096);
  call.request.kept = &kept;
  memset(call.data, 'x', sizeof call.data);
  cr_assert_eq(finish(&call, pair.s), BG_NBD_ANSWERED);
  cr_assert_eq(call.request.error, 0);
  cr_assert(kept.acknowledged);
  cr_assert_eq(pair.s->written, 1);
  cr_assert(pair.s->answered);
  begin(&call, pair.s, BG_NBD_READ, 4096);
  cr_assert_eq(finish(&call, pair.s), BG_NBD_ANSWERED);
  cr_assert_eq(call.data[0], 'x');
  cr_assert_eq(pair.s->written, 1, "a read is no write");
  nbd_pair_clear(&pair);
}

static void assert_refused(const char *arguments, BgNbdCommand command, int error)
{
  NbdPair pair;
  nbd_pair_init(&pair, SIZE, arguments, 0);
  Call call;
  BgNbdKept kept = {0};
  begin(&call, pair.s, command, 0);
  call.request.kept = &kept;
  cr_assert_eq(finish(&call, pair.s), BG_NBD_ANSWERED);
  cr_assert_eq(call.request.error, error, "%s", g_strerror(call.request.error));
  cr_assert_not(kept.acknowledged);
  cr_assert_eq(pair.s->written, 0);
  cr_assert_eq(pair.s->outages, 0);
  nbd_pair_clear(&pair);
}

Test(nbd_exchange, a_refused_write_is_not_and_breaks_nothing)
{
  assert_refused("--filter=error memory 1M error-pwrite=ENOSPC error-pwrite-rate=100%", BG_NBD_WRITE, ENOSPC);
  assert_refused("--filter=nozero memory 1M", BG_NBD_ZERO, EINVAL); /* libnbd does not even send it */
}

static bool is_lost(BgNbdSession *s)
{
  pthread_mutex_lock(&s->lock);
  bool lost = s->lost || s->outages > 0;
  pthread_mutex_unlock(&s->lock);
  return lost;
}

Test(nbd_exchange, what_a_server_takes_with_it_is_lost)
{
  NbdPair pair;
  nbd_pair_init(&pair, SIZE, "memory 1M", 0);
  Call call;
  BgNbdKept kept = {0};
  begin(&call, pair.s, BG_NBD_WRITE, 0);
  call.request.kept = &kept;
  nbd_server_kill(&pair.server);
  cr_assert_eq(finish(&call, pair.s), BG_NBD_LOST);
  cr_assert_not(kept.acknowledged);
  cr_assert_eq(pair.s->written, 0);
  cr_assert(is_lost(pair.s));
  nbd_pair_clear(&pair);
}

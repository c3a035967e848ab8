#include "tests/drivers/nbd/connect.h"

#include <criterion/criterion.h>

TestSuite(nbd_connection, .timeout = 60);

#define SIZE    ((uint64_t)4 << 20)
#define THREADS 8
#define ROUNDS  100

typedef struct Caller {
  pthread_t thread;
  BgNbdSession *s;
  unsigned number;
  int result;
} Caller;

/* Each has a part of the disk of its own. */
static void *write_and_read(void *data)
{
  Caller *caller = data;
  uint8_t block[4096];
  uint64_t offset = caller->number * sizeof block;
  for (unsigned i = 0; i < ROUNDS && caller->result == 0; i++) {
    struct iovec iov = {block, sizeof block};
    memset(block, (int)(caller->number + i), sizeof block);
    caller->result = bg_nbd_session_write(caller->s, &iov, 1, offset);
    memset(block, 0xee, sizeof block);
    if (caller->result == 0)
      caller->result = bg_nbd_session_read(caller->s, block, sizeof block, offset);
    for (size_t j = 0; j < sizeof block && caller->result == 0; j++)
      caller->result = block[j] == (uint8_t)(caller->number + i) ? 0 : -1;
  }
  return NULL;
}

/* Whoever has his answer leaves the connection to another one. */
Test(nbd_connection, many_callers_share_one)
{
  NbdPair pair;
  nbd_pair_init(&pair, SIZE, "--filter=multi-conn memory 4M multi-conn-mode=disable", 0);
  cr_assert_not(pair.s->facts.multi_conn);
  Caller callers[THREADS] = {0};
  for (unsigned i = 0; i < THREADS; i++) {
    callers[i].s = pair.s;
    callers[i].number = i;
    pthread_create(&callers[i].thread, NULL, write_and_read, &callers[i]);
  }
  for (unsigned i = 0; i < THREADS; i++) {
    pthread_join(callers[i].thread, NULL);
    cr_assert_eq(callers[i].result, 0, "caller %u: %d", i, callers[i].result);
  }
  cr_assert_eq(pair.s->outages, 0);
  nbd_pair_clear(&pair);
}

static unsigned outages(BgNbdSession *s)
{
  pthread_mutex_lock(&s->lock);
  unsigned count = s->outages;
  pthread_mutex_unlock(&s->lock);
  return count;
}

Test(nbd_connection, that_it_broke_is_seen_while_nobody_waits)
{
  NbdPair pair;
  nbd_pair_init(&pair, SIZE, "memory 4M", 0);
  char byte[512];
  cr_assert_eq(bg_nbd_session_read(pair.s, byte, sizeof byte, 0), 0);
  nbd_server_kill(&pair.server);
  for (int i = 0; i < 1000 && outages(pair.s) == 0; i++)
    g_usleep(10000);
  cr_assert_eq(outages(pair.s), 1);
  nbd_pair_clear(&pair);
}

#include "drivers/nbd/state.h"

#include "drivers/error.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

TestSuite(nbd_state, .timeout = 30);

static BgNbdTarget *some_target(void)
{
  BgNbdTarget *target = bg_nbd_target_new(&(BgNbdOptions){.filename = "nbd://host?reconnect-delay=7"}, NULL);
  cr_assert_not_null(target);
  return target;
}

static bool is_awake(int fd)
{
  struct pollfd poller = {fd, POLLIN, 0};
  return poll(&poller, 1, 0) == 1;
}

Test(nbd_state, begins_down_and_without_connections)
{
  g_autoptr(BgNbdTarget) target = some_target();
  BgNbdSession *s = bg_nbd_state_new(target, NULL, NULL);
  cr_assert_not_null(s);
  cr_assert_eq(s->target, target);
  cr_assert_eq(s->state, BG_NBD_DOWN);
  cr_assert_not(s->lost);
  cr_assert_eq(s->reconnect_delay, 7);
  cr_assert_not(is_awake(s->wake_fd));
  for (unsigned i = 0; i < BG_NBD_CONNECTIONS; i++) {
    cr_assert_eq(s->connections[i].session, s);
    cr_assert_null(s->connections[i].nbd);
    cr_assert_not(s->connections[i].usable);
  }
  eventfd_write(s->connections[1].wake_fd, 1);
  for (unsigned i = 0; i < BG_NBD_CONNECTIONS; i++)
    cr_assert_eq(is_awake(s->connections[i].wake_fd), i == 1, "each has an eventfd of its own");
  cr_assert_not(is_awake(s->wake_fd));
  bg_nbd_state_free(s);
}

static int next_descriptor(void)
{
  int fd = dup(STDIN_FILENO);
  close(fd);
  return fd;
}

Test(nbd_state, too_few_descriptors_leave_nothing)
{
  g_autoptr(BgNbdTarget) target = some_target();
  int next = next_descriptor();
  for (unsigned left = 0; left < BG_NBD_CONNECTIONS + 1; left++) {
    struct rlimit limit, before;
    getrlimit(RLIMIT_NOFILE, &before);
    limit = (struct rlimit){(rlim_t)next + left, before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    g_autoptr(GError) error = NULL;
    BgNbdSession *s = bg_nbd_state_new(target, NULL, &error);
    setrlimit(RLIMIT_NOFILE, &before);
    cr_assert_null(s, "with %u descriptors", left);
    cr_assert_eq(bg_error_errno(error), EMFILE);
    cr_assert_eq(next_descriptor(), next, "with %u descriptors", left);
  }
}

static void *wait_until_lost(void *data)
{
  BgNbdSession *s = data;
  pthread_mutex_lock(&s->lock);
  s->waiting++;
  while (!s->lost)
    pthread_cond_wait(&s->changed, &s->lock);
  pthread_mutex_unlock(&s->lock);
  return NULL;
}

static unsigned waiting(BgNbdSession *s)
{
  pthread_mutex_lock(&s->lock);
  unsigned count = s->waiting;
  pthread_mutex_unlock(&s->lock);
  return count;
}

Test(nbd_state, all_who_wait_hear_of_a_loss)
{
  g_autoptr(BgNbdTarget) target = some_target();
  BgNbdSession *s = bg_nbd_state_new(target, NULL, NULL);
  pthread_t threads[3];
  for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
    cr_assert_eq(pthread_create(&threads[i], NULL, wait_until_lost, s), 0);
  while (waiting(s) < G_N_ELEMENTS(threads))
    g_usleep(1000);
  pthread_mutex_lock(&s->lock);
  bg_nbd_state_lose(s);
  pthread_mutex_unlock(&s->lock);
  for (size_t i = 0; i < G_N_ELEMENTS(threads); i++)
    pthread_join(threads[i], NULL);
  bg_nbd_state_free(s);
}

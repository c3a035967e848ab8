#include "drivers/nbd/handshake.h"

#include "drivers/error.h"
#include "tests/drivers/nbdkit.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

TestSuite(nbd_handshake, .timeout = 60);

enum { LONG = 20000, SHORT = 200 /* ms */ };

typedef struct Setup {
  NbdServer server;
  BgNbdTarget *target;
  int wake_fd;
} Setup;

static void set_up(Setup *setup)
{
  nbd_server_init(&setup->server, 0);
  setup->target = bg_nbd_target_new(&(BgNbdOptions){.filename = setup->server.uri}, NULL);
  setup->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static void tear_down(Setup *setup)
{
  nbd_server_clear(&setup->server);
  bg_nbd_target_free(setup->target);
  close(setup->wake_fd);
}

static struct nbd_handle *shake_hands(Setup *setup, int milliseconds, BgNbdFacts *facts, GError **error)
{
  return bg_nbd_handshake(setup->target, setup->wake_fd, g_get_monotonic_time() + milliseconds * 1000, facts, error);
}

/* What `nbdkit ARGUMENT…` says of its export. */
static BgNbdFacts facts_of(const char *arguments)
{
  Setup setup;
  set_up(&setup);
  nbd_server_start(&setup.server, arguments);
  BgNbdFacts facts;
  g_autoptr(GError) error = NULL;
  struct nbd_handle *nbd = shake_hands(&setup, LONG, &facts, &error);
  cr_assert_not_null(nbd, "%s: %s", arguments, error ? error->message : "");
  nbd_close(nbd);
  tear_down(&setup);
  return facts;
}

Test(nbd_handshake, what_the_server_says_counts)
{
  BgNbdFacts facts = facts_of("--filter=blocksize-policy memory 4M blocksize-minimum=4096 blocksize-preferred=65536 "
                              "blocksize-maximum=1M");
  cr_assert_eq(facts.size, 4 << 20);
  cr_assert_eq(facts.minimum, 4096);
  cr_assert_eq(facts.preferred, 65536);
  cr_assert_eq(facts.maximum, 1 << 20);
  cr_assert(!facts.read_only && facts.flush && facts.trim && facts.zero && facts.multi_conn && facts.allocation);
}

Test(nbd_handshake, what_it_does_not_say_is_chosen)
{
  BgNbdFacts whole = facts_of("memory 1M"), odd = facts_of("memory 1000");
  cr_assert_eq(whole.minimum, 512);
  cr_assert_eq(odd.minimum, 1, "there are no sectors");
  cr_assert_eq(odd.size, 1000);
  cr_assert_eq(whole.preferred, 4096);
  cr_assert_eq(whole.maximum, 32 << 20);
}

Test(nbd_handshake, what_it_cannot_do_is_known)
{
  cr_assert(facts_of("-r memory 1M").read_only);
  cr_assert_not(facts_of("--no-sr memory 1M").allocation);
  cr_assert_not(facts_of("--filter=multi-conn memory 1M multi-conn-mode=disable").multi_conn);
  cr_assert_not(facts_of("--filter=nozero memory 1M").zero);
}

static void assert_fails(Setup *setup, int milliseconds, int code, const char *part)
{
  BgNbdFacts facts = {.size = 7};
  g_autoptr(GError) error = NULL;
  int64_t begin = g_get_monotonic_time();
  cr_assert_null(shake_hands(setup, milliseconds, &facts, &error));
  cr_assert_eq(bg_error_errno(error), code, "%s", error->message);
  cr_assert_not_null(strstr(error->message, part), "%s", error->message);
  cr_assert_not_null(strstr(error->message, setup->server.socket), "%s", error->message);
  cr_assert_null(strchr(error->message, '\n'));
  cr_assert_eq(facts.size, 7, "untouched");
  cr_assert_lt(g_get_monotonic_time() - begin, LONG * INT64_C(1000));
}

Test(nbd_handshake, sizes_that_do_not_fit_are_refused)
{
  Setup setup;
  set_up(&setup);
  nbd_server_start(&setup.server, "--filter=blocksize-policy memory 5000 blocksize-minimum=4096 "
                                  "blocksize-preferred=4096");
  assert_fails(&setup, LONG, EINVAL, "sizes of blocks");
  tear_down(&setup);
}

Test(nbd_handshake, nobody_there)
{
  Setup setup;
  set_up(&setup);
  assert_fails(&setup, LONG, ENOENT, "No such file");
  tear_down(&setup);
}

Test(nbd_handshake, a_server_that_says_nothing)
{
  Setup setup;
  set_up(&setup);
  nbd_server_start(&setup.server, "memory 1M");
  nbd_server_hang(&setup.server);
  assert_fails(&setup, SHORT, ETIMEDOUT, "does not answer");
  eventfd_write(setup.wake_fd, 1);
  assert_fails(&setup, 2 * LONG, ECANCELED, "given up");
  eventfd_t count = 0;
  eventfd_read(setup.wake_fd, &count);
  cr_assert_eq(count, 1, "left as it was");
  tear_down(&setup);
}

/* ── steps of a handle that is connected ── */

Test(nbd_handshake, a_step_ends_by_time_by_waking_and_with_the_connection)
{
  Setup setup;
  set_up(&setup);
  nbd_server_start(&setup.server, "memory 1M");
  BgNbdFacts facts;
  struct nbd_handle *nbd = shake_hands(&setup, LONG, &facts, NULL);
  cr_assert_not_null(nbd);
  int64_t begin = g_get_monotonic_time();
  cr_assert(bg_nbd_pump(nbd, setup.wake_fd, SHORT));
  cr_assert_geq(g_get_monotonic_time() - begin, SHORT / 2 * 1000);
  eventfd_write(setup.wake_fd, 1);
  cr_assert(bg_nbd_pump(nbd, setup.wake_fd, -1));
  eventfd_t count;
  eventfd_read(setup.wake_fd, &count);
  nbd_server_kill(&setup.server);
  bool whole = true;
  for (int i = 0; i < 10 && whole; i++)
    whole = bg_nbd_pump(nbd, setup.wake_fd, LONG);
  cr_assert_not(whole);
  nbd_close(nbd);
  tear_down(&setup);
}

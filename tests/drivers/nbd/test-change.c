#include "drivers/error.h"
#include "tests/drivers/core-shim.h"
#include "tests/drivers/nbd/connect.h"

#include "drivers/registry.h"

#include <criterion/criterion.h>
#include <errno.h>

TestSuite(nbd_change, .timeout = 60);

static Shim *open_node(const NbdServer *server)
{
  const char *const options[] = {"server.type", "unix", "server.path", server->socket, NULL};
  ShimSetup setup = {.driver = bg_driver_find("nbd"), .options = options};
  g_autoptr(GError) error = NULL;
  Shim *shim = shim_open(&setup, &error);
  cr_assert_not_null(shim, "%s", error ? error->message : "");
  return shim;
}

Test(nbd_change, a_read_only_export_is_never_writable)
{
  NbdServer server;
  nbd_server_init(&server, 1 << 20);
  nbd_server_start(&server, "-r file \"$FILE\"");
  Shim *shim = open_node(&server);
  const BgMode writable = {.writable = true, .perm = BG_PERM_WRITE, .shared = BG_PERM_ALL};
  g_autoptr(GError) refusal = NULL, error = NULL;
  cr_assert_not(bg_driver_find("nbd")->can_change(shim_instance(shim), &writable, &refusal));
  cr_assert_eq(bg_error_errno(refusal), EROFS);
  cr_assert_not_null(strstr(refusal->message, server.socket), "%s", refusal->message);
  cr_assert_not(shim_set_writable(shim, true, &error));
  cr_assert_eq(bg_error_errno(error), EROFS);
  char byte = 1;
  cr_assert_eq(shim_read(shim, &byte, 1, 1000), 0);
  cr_assert_eq(byte, 0);
  shim_close(shim);
  nbd_server_clear(&server);
}

/* It notices by itself, for it was connected anew. */
Test(nbd_change, a_server_that_comes_back_writable)
{
  NbdServer server;
  nbd_server_init(&server, 1 << 20);
  nbd_server_start(&server, "-r file \"$FILE\"");
  Shim *shim = open_node(&server);
  nbd_server_restart(&server, "file \"$FILE\"");
  bool writable = false;
  for (int i = 0; i < 1000 && !writable; i++, g_usleep(10000))
    writable = shim_set_writable(shim, true, NULL);
  cr_assert(writable);
  cr_assert_eq(shim_write(shim, "x", 1, 5), 0);
  cr_assert(shim_set_writable(shim, false, NULL));
  shim_close(shim);
  nbd_server_clear(&server);
}

/* A size of its own is what only a reopen takes. */
Test(nbd_change, a_reopen_connects_anew)
{
  NbdServer server;
  nbd_server_init(&server, 1 << 20);
  nbd_server_start(&server, "memory 1M");
  const char *const other[] = {"server.type", "unix", "server.path", server.socket, "reconnect-delay", "60", NULL};
  Shim *shim = open_node(&server);
  nbd_server_restart(&server, "memory 2M");
  char byte;
  cr_assert_eq(shim_read(shim, &byte, 1, 0), -EIO);
  cr_assert_eq(shim_size(shim), 1 << 20);
  g_autoptr(GError) error = NULL;
  cr_assert(shim_set_options(shim, other, &error), "%s", error ? error->message : "");
  cr_assert_eq(shim_size(shim), 2 << 20);
  cr_assert_eq(shim_read(shim, &byte, 1, 0), 0);
  shim_close(shim);
  nbd_server_clear(&server);
}

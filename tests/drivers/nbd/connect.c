#include "tests/drivers/nbd/connect.h"

#include <criterion/criterion.h>

BgNbdSession *nbd_server_connect(NbdServer *server, uint64_t reconnect_delay)
{
  const BgNbdOptions options = {.server_type = BG_NBD_UNIX, .path = server->socket, .reconnect_delay = reconnect_delay};
  g_autoptr(GError) error = NULL;
  BgNbdTarget *target = bg_nbd_target_new(&options, &error);
  cr_assert_not_null(target, "%s", error ? error->message : "");
  BgNbdSession *session = bg_nbd_session_new(target, NULL, &error);
  cr_assert_not_null(session, "%s", error ? error->message : "");
  return session;
}

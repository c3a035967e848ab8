#include "tests/drivers/nbd/connect.h"

#include <criterion/criterion.h>
#include <errno.h>

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

void nbd_pair_init(NbdPair *pair, uint64_t file_size, const char *arguments, uint64_t reconnect_delay)
{
  nbd_server_init(&pair->server, file_size);
  nbd_server_start(&pair->server, arguments);
  pair->s = nbd_server_connect(&pair->server, reconnect_delay);
}

void nbd_pair_clear(NbdPair *pair)
{
  bg_nbd_session_free(pair->s);
  nbd_server_clear(&pair->server);
}

int nbd_read_until_back(BgNbdSession *s)
{
  char buffer[512];
  int result = -EIO;
  for (int i = 0; i < 1000 && result; i++, g_usleep(10000))
    result = bg_nbd_session_read(s, buffer, sizeof buffer, 0);
  return result;
}

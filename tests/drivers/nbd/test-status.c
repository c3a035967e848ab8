#include "tests/drivers/nbd/connect.h"

#include <criterion/criterion.h>

TestSuite(nbd_status, .timeout = 60);

#define SIZE ((uint64_t)4 << 20)

static BgExtent map_at(BgNbdStatus *status, BgNbdSession *s, uint64_t offset)
{
  BgExtent extent;
  cr_assert_eq(bg_nbd_status_map(status, s, offset, SIZE - offset, &extent), 0);
  return extent;
}

static void write_block(BgNbdStatus *status, BgNbdSession *s, uint64_t offset)
{
  g_autofree char *data = g_malloc(65536);
  memset(data, 1, 65536);
  struct iovec iov = {data, 65536};
  bg_nbd_status_note_write(status);
  cr_assert_eq(bg_nbd_session_write(s, &iov, 1, offset), 0);
  bg_nbd_status_note_write(status);
}

Test(nbd_status, holes_are_told_and_writes_seen)
{
  NbdServer server;
  nbd_server_init(&server, SIZE);
  nbd_server_start(&server, "file \"$FILE\"");
  BgNbdSession *s = nbd_server_connect(&server, 0);
  BgNbdStatus status;
  bg_nbd_status_init(&status);
  BgExtent extent = map_at(&status, s, 1000);
  cr_assert_eq(extent.kind, BG_EXTENT_ZERO);
  cr_assert_eq(extent.length, SIZE - 1000);
  write_block(&status, s, 1 << 20);
  extent = map_at(&status, s, 0);
  cr_assert_eq(extent.kind, BG_EXTENT_ZERO);
  cr_assert_eq(extent.length, 1 << 20);
  extent = map_at(&status, s, (1 << 20) + 4096);
  cr_assert_eq(extent.kind, BG_EXTENT_DATA);
  cr_assert_eq(extent.length, 65536 - 4096);
  cr_assert_eq(extent.offset, (1 << 20) + 4096);
  bg_nbd_status_clear(&status);
  bg_nbd_session_free(s);
  nbd_server_clear(&server);
}

Test(nbd_status, where_the_server_does_not_tell_all_is_data)
{
  NbdServer server;
  nbd_server_init(&server, SIZE);
  nbd_server_start(&server, "--no-sr file \"$FILE\"");
  BgNbdSession *s = nbd_server_connect(&server, 0);
  cr_assert_not(s->facts.allocation);
  BgNbdStatus status;
  bg_nbd_status_init(&status);
  BgExtent extent = map_at(&status, s, 0);
  cr_assert_eq(extent.kind, BG_EXTENT_DATA);
  cr_assert_eq(extent.length, SIZE);
  bg_nbd_status_clear(&status);
  bg_nbd_session_free(s);
  nbd_server_clear(&server);
}

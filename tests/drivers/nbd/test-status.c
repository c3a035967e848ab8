#include "drivers/nbd/status.h"
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
  NbdPair pair;
  nbd_pair_init(&pair, SIZE, "file \"$FILE\"", 0);
  BgNbdSession *s = pair.s;
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
  nbd_pair_clear(&pair);
}

Test(nbd_status, where_the_server_does_not_tell_all_is_data)
{
  NbdPair pair;
  nbd_pair_init(&pair, SIZE, "--no-sr file \"$FILE\"", 0);
  BgNbdSession *s = pair.s;
  cr_assert_not(s->facts.allocation);
  BgNbdStatus status;
  bg_nbd_status_init(&status);
  BgExtent extent = map_at(&status, s, 0);
  cr_assert_eq(extent.kind, BG_EXTENT_DATA);
  cr_assert_eq(extent.length, SIZE);
  bg_nbd_status_clear(&status);
  nbd_pair_clear(&pair);
}

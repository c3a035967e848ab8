#include "drivers/nbd/request.h"

#include <criterion/criterion.h>
#include <errno.h>

TestSuite(nbd_request, .timeout = 30);

Test(nbd_request, the_first_end_counts)
{
  BgNbdRequest request;
  bool appointed;
  bg_nbd_request_init(&request, BG_NBD_WRITE, 0, 512);
  cr_assert_eq(bg_nbd_request_outcome(&request), BG_NBD_UNDER_WAY);
  bg_nbd_request_answer(&request, ENOSPC);
  cr_assert_not(bg_nbd_request_lose(&request), "it was answered");
  cr_assert_eq(bg_nbd_request_wait(&request, &appointed), BG_NBD_ANSWERED);
  cr_assert_not(appointed);
  cr_assert_eq(request.error, ENOSPC);
  bg_nbd_request_rewind(&request);
  cr_assert_eq(bg_nbd_request_outcome(&request), BG_NBD_UNDER_WAY);
  cr_assert_eq(request.error, 0);
  cr_assert(bg_nbd_request_lose(&request));
  bg_nbd_request_answer(&request, 0);
  cr_assert_eq(bg_nbd_request_wait(&request, &appointed), BG_NBD_LOST);
  bg_nbd_request_clear(&request);
}

Test(nbd_request, only_who_waits_is_appointed_and_is_told_once)
{
  BgNbdRequest request;
  bool appointed = false;
  bg_nbd_request_init(&request, BG_NBD_READ, 0, 512);
  cr_assert(bg_nbd_request_appoint(&request));
  cr_assert_eq(bg_nbd_request_wait(&request, &appointed), BG_NBD_UNDER_WAY);
  cr_assert(appointed);
  bg_nbd_request_answer(&request, 0);
  cr_assert_eq(bg_nbd_request_wait(&request, &appointed), BG_NBD_ANSWERED);
  cr_assert_not(appointed);
  cr_assert_not(bg_nbd_request_appoint(&request), "it has ended");
  bg_nbd_request_clear(&request);
}

#include "fs/stderr.h"

#include <criterion/criterion.h>
#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

Test(stderr, what_is_printed_meanwhile_comes_back)
{
  struct stat before, after;
  fstat(STDERR_FILENO, &before);
  BgfsStderr capture;
  bgfs_stderr_begin(&capture);
  fprintf(stderr, "one\n");
  cr_assert_eq(write(STDERR_FILENO, "two\n", 4), 4);
  g_autofree char *text = bgfs_stderr_end(&capture);
  fstat(STDERR_FILENO, &after);
  cr_assert_not_null(strstr(text, "one\n"));
  cr_assert_not_null(strstr(text, "two\n"));
  cr_assert(before.st_dev == after.st_dev && before.st_ino == after.st_ino, "stderr is where it was");
}

Test(stderr, nothing_printed_is_an_empty_text)
{
  BgfsStderr capture;
  bgfs_stderr_begin(&capture);
  g_autofree char *text = bgfs_stderr_end(&capture);
  cr_assert_str_empty(text);
}

Test(stderr, a_flood_is_cut)
{
  BgfsStderr capture;
  bgfs_stderr_begin(&capture);
  for (int i = 0; i < 10000; i++)
    fprintf(stderr, "0123456789");
  g_autofree char *text = bgfs_stderr_end(&capture);
  cr_assert_gt(strlen(text), 1000);
  cr_assert_lt(strlen(text), 10000);
}

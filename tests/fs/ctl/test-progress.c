#include "fs/ctl/progress.h"

#include "fs/ctl/units.h"

#include <criterion/criterion.h>
#include <glib.h>
#include <string.h>

#define MIB    UINT64_C(1048576)
#define SECOND 1000000

static void assert_text(char *got, const char *wanted)
{
  cr_assert_str_eq(got, wanted);
  g_free(got);
}

Test(units, sizes_and_durations)
{
  assert_text(bgfs_ctl_size_text(0), "0 B");
  assert_text(bgfs_ctl_size_text(999), "999 B");
  assert_text(bgfs_ctl_size_text(1000), "0.977 KiB");
  assert_text(bgfs_ctl_size_text(1536), "1.5 KiB");
  assert_text(bgfs_ctl_size_text(10 * 1024 * MIB), "10 GiB");
  assert_text(bgfs_ctl_size_text(UINT64_MAX), "16 EiB");
  assert_text(bgfs_ctl_duration_text(0), "0:00");
  assert_text(bgfs_ctl_duration_text(69), "1:09");
  assert_text(bgfs_ctl_duration_text(3723), "1:02:03");
}

Test(progress, rate_and_remaining_time)
{
  BgfsCtlProgress progress = {0};
  assert_text(bgfs_ctl_progress_text(&progress, "j", NULL), "j begins");
  bgfs_ctl_progress_sample(&progress, 1 * SECOND, 0, 100 * MIB);
  assert_text(bgfs_ctl_progress_text(&progress, "j", NULL), "j   0% of 100 MiB");
  bgfs_ctl_progress_sample(&progress, 2 * SECOND, 10 * MIB, 100 * MIB);
  assert_text(bgfs_ctl_progress_text(&progress, "j", NULL), "j  10% of 100 MiB, 10 MiB/s, 0:09 left");
  assert_text(bgfs_ctl_progress_text(&progress, "j", "paused"), "j  10% of 100 MiB, paused");
  bgfs_ctl_progress_sample(&progress, 3 * SECOND, 20 * MIB, 100 * MIB);
  assert_text(bgfs_ctl_progress_text(&progress, "j", NULL), "j  20% of 100 MiB, 10 MiB/s, 0:08 left");
}

Test(progress, a_rate_follows_slowly)
{
  BgfsCtlProgress progress = {0};
  bgfs_ctl_progress_sample(&progress, 1 * SECOND, 0, 100 * MIB);
  bgfs_ctl_progress_sample(&progress, 2 * SECOND, 10 * MIB, 100 * MIB);
  bgfs_ctl_progress_sample(&progress, 3 * SECOND, 10 * MIB, 100 * MIB);
  cr_assert(progress.rate < 10.0 * MIB && progress.rate > 5.0 * MIB, "%f", progress.rate);
}

Test(progress, what_a_server_says_is_bounded)
{
  BgfsCtlProgress progress = {0};
  bgfs_ctl_progress_sample(&progress, 1 * SECOND, 500, 100);
  assert_text(bgfs_ctl_progress_text(&progress, "j", NULL), "j 100% of 100 B");
  bgfs_ctl_progress_sample(&progress, 2 * SECOND, 0, 0);
  assert_text(bgfs_ctl_progress_text(&progress, "j", NULL), "j begins");
  bgfs_ctl_progress_sample(&progress, 2 * SECOND, 5, UINT64_MAX);
  bgfs_ctl_progress_sample(&progress, 3 * SECOND, 4, UINT64_MAX);
  cr_assert(progress.rate >= 0);
}

Test(progress, a_bar_fits_its_line)
{
  BgfsCtlProgress progress = {.since = 1, .current = 50, .total = 100};
  assert_text(bgfs_ctl_progress_bar(&progress, "j", NULL, 36, false), "j [#########         ]  50% of 100 B");
  assert_text(bgfs_ctl_progress_bar(&progress, "j", NULL, 20, false), "j  50% of 100 B");
  progress.current = 53;
  g_autofree char *blocks = bgfs_ctl_progress_bar(&progress, "j", NULL, 28, true);
  cr_assert_not_null(strstr(blocks, "[█████▎    ]"), "%s", blocks);
  for (unsigned columns = 5; columns < 100; columns++) {
    g_autofree char *bar = bgfs_ctl_progress_bar(&progress, "commit0", NULL, columns, true);
    cr_assert_leq((unsigned)g_utf8_strlen(bar, -1), columns);
  }
}

Test(progress, words)
{
  BgfsCtlProgressStyle style;
  cr_assert(bgfs_ctl_progress_parse("plain", &style) && style == BGFS_CTL_PROGRESS_PLAIN);
  cr_assert(bgfs_ctl_progress_parse("none", &style) && style == BGFS_CTL_PROGRESS_NONE);
  cr_assert(bgfs_ctl_progress_parse("bar", &style) && style == BGFS_CTL_PROGRESS_BAR);
  cr_assert(bgfs_ctl_progress_parse("auto", &style));
  cr_assert_not(bgfs_ctl_progress_parse("loud", &style));
}

#include "fs/tendency.h"

#include <criterion/criterion.h>

Test(tendency, goes_up_and_down_within_its_bounds)
{
  static const BgfsTendency tendency = {.up = 3, .down = 2, .much = 5, .most = 7};
  atomic_uint value = 0;
  const struct {
    bool seen;
    unsigned now;
  } steps[] = {{false, 0}, {true, 3}, {true, 6}, {true, 7}, {true, 7}, {false, 5}, {false, 3}, {false, 1}, {false, 0}};
  for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
    bgfs_tendency_note(&value, &tendency, steps[i].seen);
    cr_expect_eq(bgfs_tendency_of(&value), steps[i].now, "step %zu: %u", i, bgfs_tendency_of(&value));
    cr_expect_eq(bgfs_tendency_is_much(&value, &tendency), steps[i].now >= 5, "step %zu", i);
  }
}

#include "drivers/dict.h"

#include <criterion/criterion.h>

Test(dict, set_get_replace)
{
  g_autoptr(BgDict) dict = bg_dict_new();
  cr_assert_null(bg_dict_get(dict, "a"));
  bg_dict_set(dict, "a", "1");
  bg_dict_set(dict, "a", "2");
  cr_assert_str_eq(bg_dict_get(dict, "a"), "2");
  bg_dict_set_default(dict, "a", "3");
  bg_dict_set_default(dict, "b", "");
  cr_assert_str_eq(bg_dict_get(dict, "a"), "2");
  cr_assert_str_eq(bg_dict_get(dict, "b"), "");
}

Test(dict, take_removes)
{
  g_autoptr(BgDict) dict = bg_dict_new();
  bg_dict_set(dict, "a", "1");
  g_autofree char *value = bg_dict_take(dict, "a");
  cr_assert_str_eq(value, "1");
  cr_assert_null(bg_dict_get(dict, "a"));
  cr_assert_null(bg_dict_take(dict, "a"));
}

Test(dict, copy_is_independent)
{
  g_autoptr(BgDict) dict = bg_dict_new();
  bg_dict_set(dict, "a", "1");
  g_autoptr(BgDict) copy = bg_dict_copy(dict);
  bg_dict_set(dict, "a", "2");
  cr_assert_str_eq(bg_dict_get(copy, "a"), "1");
}

Test(dict, trees)
{
  g_autoptr(BgDict) dict = bg_dict_new();
  bg_dict_set(dict, "driver", "qcow2");
  bg_dict_set(dict, "file.driver", "file");
  bg_dict_set(dict, "file.cache.direct", "on");
  bg_dict_set(dict, "filename", "x");
  bg_dict_set(dict, "backing", "base");
  cr_assert(bg_dict_has_tree(dict, "file"));
  cr_assert(bg_dict_has_tree(dict, "backing"));
  cr_assert_not(bg_dict_has_tree(dict, "fil"));
  cr_assert_not(bg_dict_has_tree(dict, "data-file"));

  g_autoptr(BgDict) file = bg_dict_take_tree(dict, "file");
  cr_assert_eq(g_hash_table_size(file), 2);
  cr_assert_str_eq(bg_dict_get(file, "driver"), "file");
  cr_assert_str_eq(bg_dict_get(file, "cache.direct"), "on");
  cr_assert_not(bg_dict_has_tree(dict, "file"));
  cr_assert_str_eq(bg_dict_get(dict, "filename"), "x");

  g_autoptr(BgDict) none = bg_dict_take_tree(dict, "backing");
  cr_assert_eq(g_hash_table_size(none), 0);
  cr_assert_str_eq(bg_dict_get(dict, "backing"), "base");
}

Test(dict, first_key)
{
  g_autoptr(BgDict) dict = bg_dict_new();
  cr_assert_null(bg_dict_first_key(dict));
  bg_dict_set(dict, "c", "");
  bg_dict_set(dict, "b.x", "");
  bg_dict_set(dict, "d", "");
  cr_assert_str_eq(bg_dict_first_key(dict), "b.x");
  bg_dict_free(NULL);
}

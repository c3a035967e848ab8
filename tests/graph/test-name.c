#include "graph/name.h"

#include <criterion/criterion.h>
#include <glib.h>
#include <string.h>

static char *long_name(size_t length)
{
  char *name = g_malloc(length + 1);
  memset(name, 'n', length);
  name[length] = '\0';
  return name;
}

Test(name, valid)
{
  cr_assert(bg_name_valid("disk"));
  cr_assert(bg_name_valid("d"));
  cr_assert(bg_name_valid("disk.backing2-x_Y"));
}

Test(name, invalid)
{
  static const char *const names[] = {"",       "1disk", ".disk", "-x", "_x", "a/b", "a b", "a\n", "gr\xc3\xb6\xc3\x9f",
                                      "#block1"};
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
    cr_assert(!bg_name_valid(names[i]), "%s", names[i]);
}

Test(name, stays_under_255_bytes)
{
  g_autofree char *fits = long_name(254), *too_long = long_name(255);
  cr_assert(bg_name_valid(fits));
  cr_assert(!bg_name_valid(too_long));
}

static void check_file(const char *filename, const char *expected)
{
  g_autofree char *name = bg_name_from_file(filename);
  cr_assert_str_eq(name, expected, "%s: %s", filename, name);
  cr_assert(bg_name_valid(name));
}

Test(name, after_a_file)
{
  check_file("/x/disk.qcow2", "disk");
  check_file("disk", "disk");
  check_file("./a.tar.gz", "a.tar");
  check_file("my disk (1).img", "my_disk__1_");
}

Test(name, after_a_file_that_is_no_name)
{
  check_file("12.qcow2", "disk-12");
  check_file("/x/.qcow2", "disk-.qcow2");
  check_file("\xff\n.img", "disk-__");
  check_file("", "disk-.");
  check_file("/", "disk-_");
  check_file("a.", "a.");
}

Test(name, after_a_long_file)
{
  g_autofree char *base = long_name(300), *other = g_strconcat(base, "2", NULL);
  g_autofree char *first = bg_name_from_file(base), *second = bg_name_from_file(other);
  cr_assert(bg_name_valid(first));
  cr_assert_str_neq(first, second);
}

static void check_child(const char *parent, const char *child, const char *expected)
{
  g_autofree char *name = bg_name_for_child(parent, child);
  cr_assert_str_eq(name, expected, "%s.%s: %s", parent, child, name);
}

Test(name, of_a_child)
{
  check_child("disk", "file", "disk.file");
  check_child("disk.backing2", "file", "disk.backing2.file");
}

Test(name, backing_disks_are_counted)
{
  check_child("disk", "backing", "disk.backing");
  check_child("disk.backing", "backing", "disk.backing2");
  check_child("disk.backing2", "backing", "disk.backing3");
  check_child("disk.backing99", "backing", "disk.backing100");
  check_child("a.backing.b.backing", "backing", "a.backing.b.backing2");
}

Test(name, only_backing_disks_are_counted)
{
  check_child("backing", "backing", "backing.backing");
  check_child("disk.backing.file", "backing", "disk.backing.file.backing");
  check_child("disk.backing1", "backing", "disk.backing1.backing");
  check_child("disk.backing02", "backing", "disk.backing02.backing");
  check_child("disk.backing99999999999999999999", "backing", "disk.backing99999999999999999999.backing");
}

Test(name, long_chains_of_long_names_stay_valid_and_apart)
{
  g_autofree char *name = long_name(254);
  g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  for (unsigned depth = 0; depth < 256; depth++) {
    char *next = bg_name_for_child(name, "backing");
    g_autofree char *file = bg_name_for_child(next, "file");
    cr_assert(bg_name_valid(next), "%s", next);
    cr_assert(bg_name_valid(file), "%s", file);
    cr_assert(g_hash_table_add(seen, g_strdup(next)), "%s", next);
    cr_assert(g_hash_table_add(seen, g_strdup(file)), "%s", file);
    g_free(name);
    name = next;
  }
}

static void check_uri(const char *uri, const char *expected)
{
  g_autofree char *name = bg_name_from_uri(uri);
  cr_assert_str_eq(name, expected, "%s", uri);
  cr_assert(bg_name_valid(name));
}

Test(name, after_a_uri)
{
  check_uri("nbd://host/a/disk.qcow2", "disk");
  check_uri("nbd://host:10809/", "host_10809");
  check_uri("nbd://server", "server");
  check_uri("nbd+unix:///vm?socket=/run/s", "vm");
  check_uri("nbd+unix:///?socket=/run/vm.sock&x=1", "vm");
  check_uri("nbd+unix:///?x=1", "disk");
  check_uri("nbd:unix:/run/vm.sock", "vm");
}

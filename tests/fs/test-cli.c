#include "fs/cli.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <string.h>

static BgfsOptions *parse_list(va_list list, GError **error)
{
  g_autoptr(GPtrArray) arguments = g_ptr_array_new_with_free_func(g_free);
  g_ptr_array_add(arguments, g_strdup("blockgraphfs"));
  for (const char *argument; (argument = va_arg(list, const char *));)
    g_ptr_array_add(arguments, g_strdup(argument));
  g_autofree char **argv = g_new0(char *, arguments->len + 1);
  memcpy(argv, arguments->pdata, arguments->len * sizeof(*argv));
  return bgfs_options_parse(arguments->len, argv, error);
}

/* Parses the arguments up to NULL. */
static BgfsOptions *parse(const char *first, ...)
{
  va_list list;
  va_start(list, first);
  g_autoptr(GError) error = NULL;
  BgfsOptions *options = parse_list(list, &error);
  va_end(list);
  cr_assert_not_null(options, "%s", error ? error->message : first);
  return options;
}

/* The arguments up to NULL are refused in one line that holds `word`. */
static void assert_refused(const char *word, ...)
{
  va_list list;
  va_start(list, word);
  g_autoptr(GError) error = NULL;
  g_autoptr(BgfsOptions) options = parse_list(list, &error);
  va_end(list);
  cr_assert_null(options);
  cr_assert_not_null(strstr(error->message, word), "'%s' does not name '%s'", error->message, word);
  cr_assert_null(strchr(error->message, '\n'));
}

Test(cli, image_and_mountpoint)
{
  g_autoptr(BgfsOptions) options = parse("", "disk.qcow2", "mnt", NULL);
  cr_assert_eq(options->command, BGFS_COMMAND_MOUNT);
  cr_assert_str_eq(options->image, "disk.qcow2");
  cr_assert_str_eq(options->mountpoint, "mnt");
  cr_assert_null(options->format);
  cr_assert_not(options->read_only || options->snapshot || options->foreground || options->trust_images);
}

Test(cli, options_may_follow_as_mount_writes_them)
{
  g_autoptr(BgfsOptions) options =
      parse("", "disk.qcow2", "mnt", "-o", "rw,noauto,format=qcow2,x-systemd.automount", NULL);
  cr_assert_str_eq(options->image, "disk.qcow2");
  cr_assert_str_eq(options->format, "qcow2");
  cr_assert_str_eq(options->fuse->str, "rw");
}

Test(cli, every_setting)
{
  g_autoptr(BgfsOptions) options =
      parse("", "-f", "--format", "raw", "--read-only", "--trust-images", "--allow-reference", "/a",
            "--allow-reference=nbd://b", "-owriteback", "-o", "ro", "i", "m", NULL);
  cr_assert(options->foreground && options->read_only && options->trust_images &&
            options->caching == BGFS_CACHING_WRITEBACK);
  cr_assert_str_eq(options->format, "raw");
  cr_assert_eq(options->allowed->len, 2);
  cr_assert_str_eq(options->allowed->pdata[0], "/a");
  cr_assert_str_eq(options->allowed->pdata[1], "nbd://b");
}

Test(cli, debug_stays_in_front)
{
  g_autoptr(BgfsOptions) options = parse("", "-d", "i", "m", NULL);
  cr_assert(options->foreground);
}

Test(cli, blockdevs_take_the_place_of_the_image)
{
  g_autoptr(BgfsOptions) options = parse("", "--blockdev", "driver=file,filename=a", "--blockdev", "{}", "mnt", NULL);
  cr_assert_null(options->image);
  cr_assert_str_eq(options->mountpoint, "mnt");
  cr_assert_eq(options->blockdevs->len, 2);
  cr_assert_str_eq(options->blockdevs->pdata[1], "{}");
}

Test(cli, usage_errors)
{
  assert_refused("IMAGE", NULL);
  assert_refused("MOUNTPOINT", "disk", NULL);
  assert_refused("more", "disk", "mnt", "more", NULL);
  assert_refused("--blockdev", "--blockdev", "x", "disk", "mnt", NULL);
  assert_refused("--nonsense", "--nonsense", "disk", "mnt", NULL);
  assert_refused("--format", "--blockdev", "x", "--format", "raw", "mnt", NULL);
  assert_refused("--snapshot", "--blockdev", "x", "--snapshot", "mnt", NULL);
  assert_refused("--compress", "--blockdev", "x", "--compress", "mnt", NULL);
  assert_refused("--compress", "--compress", "--read-only", "disk", "mnt", NULL);
  assert_refused("--compress", "--snapshot", "--compress", "disk", "mnt", NULL);
  assert_refused("--read-only", "--snapshot", "--read-only", "disk", "mnt", NULL);
  assert_refused("nonsense", "-o", "nonsense", "disk", "mnt", NULL);
}

Test(cli, commands_need_no_arguments)
{
  g_autoptr(BgfsOptions) list = parse("", "--list-drivers", NULL);
  cr_assert_eq(list->command, BGFS_COMMAND_LIST_DRIVERS);
  g_autoptr(BgfsOptions) help = parse("", "--help", NULL);
  cr_assert_eq(help->command, BGFS_COMMAND_HELP);
  g_autoptr(BgfsOptions) version = parse("", "--version", NULL);
  cr_assert_eq(version->command, BGFS_COMMAND_VERSION);
  g_autoptr(BgfsOptions) driver = parse("", "--driver-help", "qcow2", NULL);
  cr_assert_eq(driver->command, BGFS_COMMAND_DRIVER_HELP);
  cr_assert_str_eq(driver->driver, "qcow2");
}

Test(cli, names_need_not_be_utf8)
{
  g_autoptr(BgfsOptions) options = parse("", "d\xff.qcow2", "m\xe9", NULL);
  cr_assert_str_eq(options->image, "d\xff.qcow2");
  cr_assert_str_eq(options->mountpoint, "m\xe9");
}

Test(cli, help_names_every_option)
{
  g_autofree char *help = bgfs_options_help();
  const char *names[] = {"--format",   "--read-only",    "--blockdev",     "--snapshot",    "--allow-reference",
                         "--compress", "--trust-images", "--list-drivers", "--driver-help", "unmount",
                         "create",     "writeback",      "allow_other",    "allow_root",    "/etc/fuse.conf"};
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
    cr_assert_not_null(strstr(help, names[i]), "%s", names[i]);
}

Test(cli, a_control_socket_turns_passthrough_off_unless_it_is_asked_for)
{
  g_autoptr(BgfsOptions) plain = parse("", "disk.qcow2", "mnt", NULL);
  cr_assert(!plain->qmp && !plain->no_passthrough);
  g_autoptr(BgfsOptions) socket = parse("", "--qmp", "unix:/run/s,server=on,wait=off", "disk.qcow2", "mnt", NULL);
  cr_assert_str_eq(socket->qmp, "/run/s");
  cr_assert(socket->no_passthrough);
  g_autoptr(BgfsOptions) both = parse("", "-o", "qmp=unix:/run/s,passthrough=auto", "disk.qcow2", "mnt", NULL);
  cr_assert_str_eq(both->qmp, "/run/s");
  cr_assert_not(both->no_passthrough);
  assert_refused("names no socket", "--qmp", "tcp:x:1", "disk.qcow2", "mnt", NULL);
}

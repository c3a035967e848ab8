#include "fs/cli.h"

#include "drivers/error.h"
#include "fs/qmp/socket.h"

#include <errno.h>

/* Where GOption puts what it finds. */
typedef struct Parsed {
  gboolean help, version, list_drivers, qmp_manual, foreground, debug, read_only, snapshot, compress, trust_images;
  char *driver, *format, *key_secret, *qmp;
  char **blockdevs, **allowed, **secrets, **mount_options, **rest;
} Parsed;

static void parsed_clear(Parsed *parsed)
{
  g_free(parsed->driver);
  g_free(parsed->format);
  g_free(parsed->key_secret);
  g_free(parsed->qmp);
  g_strfreev(parsed->blockdevs);
  g_strfreev(parsed->allowed);
  g_strfreev(parsed->secrets);
  g_strfreev(parsed->mount_options);
  g_strfreev(parsed->rest);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Parsed, parsed_clear)

static const char help_head[] =
    "Shows a disk image and everything it is made of as a directory: the disk inside it, its backing disks and the "
    "bytes of every\n"
    "image file are files, and the w bits of a file tell whether it can be written right now. Nothing is held open "
    "for\n"
    "writing until somebody writes.\n"
    "\n"
    "Commands:\n"
    "  blockgraphfs [OPTION…] IMAGE MOUNTPOINT           mount IMAGE\n"
    "  blockgraphfs [OPTION…] --blockdev … MOUNTPOINT    mount a graph of nodes\n"
    "  blockgraphfs unmount MOUNTPOINT                   unmount, return when images and locks are released\n"
    "  blockgraphfs create -f qcow2 FILE SIZE            make an image\n"
    "  blockgraphfs check [--repair leaks|all] IMAGE     check an image, and mend it\n"
    "  blockgraphfs info IMAGE                           tell what an image is\n"
    "  blockgraphfs map IMAGE                            tell where a disk's bytes are";

static const char help_tail[] =
    "Settings for -o, besides those of mount(8) and FUSE (allow_other, allow_root, auto_unmount, …):\n"
    "  read-only            as --read-only\n"
    "  ro                   the same, and the kernel refuses writes too\n"
    "  format=FORMAT        as --format\n"
    "  snapshot             as --snapshot\n"
    "  compress             as --compress\n"
    "  allow-reference=WHAT as --allow-reference\n"
    "  trust-images         as --trust-images\n"
    "  secret=id=ID\\\\,file=PATH, key-secret=ID  as --secret and --key-secret (a comma in a value wants a backslash)\n"
    "  qmp=unix:PATH        as --qmp\n"
    "  cache=auto           the kernel keeps what it has read as long as nothing changes beneath (default)\n"
    "  cache=none           every request comes to the program\n"
    "  cache=writeback      the kernel caches writes too: faster, but only fsync makes them safe and tells errors, "
    "and\n"
    "                       disks cannot be truncated (use conv=notrunc with dd); -o writeback is the same\n"
    "  io_uring=auto|off    whether requests come through io_uring where the kernel offers it (default: auto; Linux "
    "6.14 and its\n"
    "                       module parameter fuse.enable_uring)\n"
    "  passthrough=auto|off whether the kernel reads and writes plain image bytes itself where it can (default: auto, "
    "but off\n"
    "                       with --qmp: graphs cannot change under files that are open so)\n"
    "\n"
    "Who may look: as root the mount is open to all users and every file shows its image's own owner and mode. "
    "Otherwise it is\n"
    "the user's own; with -o allow_other others see it too, which needs a line user_allow_other in /etc/fuse.conf. "
    "losetup as\n"
    "root on a user's mount needs -o allow_root (and that line).\n"
    "\n"
    "Examples:\n"
    "  blockgraphfs disk.qcow2 mnt && ls -l mnt\n"
    "  blockgraphfs --blockdev driver=file,node-name=f,filename=a.raw --blockdev driver=raw,node-name=r,file=f mnt\n"
    "  blockgraphfs unmount mnt\n"
    "\n"
    "The manual is blockgraphfs(1).\n";

static GOptionContext *make_context(Parsed *parsed)
{
  const GOptionEntry entries[] = {
      {"format", 0, 0, G_OPTION_ARG_FILENAME, &parsed->format, "IMAGE's format (default: found by content)", "FORMAT"},
      {"read-only", 'r', 0, G_OPTION_ARG_NONE, &parsed->read_only, "Open the whole chain read-only, for good", NULL},
      {"snapshot", 0, 0, G_OPTION_ARG_NONE, &parsed->snapshot, "Write to a temporary overlay that vanishes", NULL},
      {"compress", 0, 0, G_OPTION_ARG_NONE, &parsed->compress, "Compress what is written to IMAGE", NULL},
      {"blockdev", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &parsed->blockdevs,
       "Add a node: key=value,child.key=value or JSON (repeatable; instead of IMAGE)", "NODE"},
      {"allow-reference", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &parsed->allowed,
       "Let images refer to what begins with this path or URI (repeatable)", "PATH|URI"},
      {"trust-images", 0, 0, G_OPTION_ARG_NONE, &parsed->trust_images, "Let images refer to anything", NULL},
      {"secret", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &parsed->secrets,
       "A passphrase; without file= it is asked for (repeatable)", "id=ID[,file=PATH][,format=raw|base64]"},
      {"object", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &parsed->secrets, "The same, as QEMU spells it", "secret,id=ID,…"},
      {"key-secret", 0, 0, G_OPTION_ARG_FILENAME, &parsed->key_secret,
       "Which secret opens IMAGE (default: the only one)", "ID"},
      {"qmp", 0, 0, G_OPTION_ARG_FILENAME, &parsed->qmp, "Take commands on a socket, as blockgraphfs-qmp(7) has them",
       "unix:PATH"},
      {"options", 'o', 0, G_OPTION_ARG_FILENAME_ARRAY, &parsed->mount_options, "Mount options (repeatable; see below)",
       "OPT[=VALUE][,…]"},
      {"foreground", 'f', 0, G_OPTION_ARG_NONE, &parsed->foreground, "Stay in the foreground", NULL},
      {"debug", 'd', 0, G_OPTION_ARG_NONE, &parsed->debug, "Stay in the foreground and print every request", NULL},
      {"list-drivers", 0, 0, G_OPTION_ARG_NONE, &parsed->list_drivers, "List the drivers", NULL},
      {"driver-help", 0, 0, G_OPTION_ARG_FILENAME, &parsed->driver, "Describe a driver and its options", "DRIVER"},
      {"qmp-manual", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_NONE, &parsed->qmp_manual, NULL, NULL},
      {"version", 'V', 0, G_OPTION_ARG_NONE, &parsed->version, "Print the version", NULL},
      {"help", 'h', 0, G_OPTION_ARG_NONE, &parsed->help, "Print this text", NULL},
      {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &parsed->rest, NULL, NULL},
      {NULL},
  };
  GOptionContext *context = g_option_context_new("IMAGE MOUNTPOINT");
  g_option_context_set_summary(context, help_head);
  g_option_context_set_description(context, help_tail);
  g_option_context_set_help_enabled(context, FALSE);
  g_option_context_add_main_entries(context, entries, NULL);
  return context;
}

char *bgfs_options_help(void)
{
  g_auto(Parsed) parsed = {0};
  g_autoptr(GOptionContext) context = make_context(&parsed);
  return g_option_context_get_help(context, TRUE, NULL);
}

static BgfsOptions *options_new(void)
{
  BgfsOptions *options = g_new0(BgfsOptions, 1);
  options->blockdevs = g_ptr_array_new_with_free_func(g_free);
  options->allowed = g_ptr_array_new_with_free_func(g_free);
  options->secret_texts = g_ptr_array_new_with_free_func(g_free);
  options->fuse = g_string_new(NULL);
  return options;
}

void bgfs_options_free(BgfsOptions *options)
{
  if (!options)
    return;
  g_free(options->image);
  g_free(options->mountpoint);
  g_free(options->format);
  g_free(options->driver);
  g_ptr_array_unref(options->blockdevs);
  g_ptr_array_unref(options->allowed);
  g_ptr_array_unref(options->secret_texts);
  g_free(options->key_secret);
  g_free(options->qmp);
  g_string_free(options->fuse, TRUE);
  g_free(options);
}

static void add_strings(GPtrArray *array, char **strings)
{
  for (char **string = strings; string && *string; string++)
    g_ptr_array_add(array, g_strdup(*string));
}

static void take_flags(BgfsOptions *options, Parsed *parsed)
{
  options->format = g_steal_pointer(&parsed->format);
  options->driver = g_steal_pointer(&parsed->driver);
  options->key_secret = g_steal_pointer(&parsed->key_secret);
  options->qmp = g_steal_pointer(&parsed->qmp);
  options->read_only = parsed->read_only;
  options->snapshot = parsed->snapshot;
  options->compress = parsed->compress;
  options->trust_images = parsed->trust_images;
  options->debug = parsed->debug;
  options->foreground = parsed->foreground;
  add_strings(options->blockdevs, parsed->blockdevs);
  add_strings(options->allowed, parsed->allowed);
  add_strings(options->secret_texts, parsed->secrets);
  if (parsed->help)
    options->command = BGFS_COMMAND_HELP;
  else if (parsed->version)
    options->command = BGFS_COMMAND_VERSION;
  else if (parsed->list_drivers)
    options->command = BGFS_COMMAND_LIST_DRIVERS;
  else if (parsed->qmp_manual)
    options->command = BGFS_COMMAND_QMP_MANUAL;
  else if (options->driver)
    options->command = BGFS_COMMAND_DRIVER_HELP;
}

static bool take_positional(BgfsOptions *options, char **rest, GError **error)
{
  guint count = rest ? g_strv_length(rest) : 0;
  bool image = options->blockdevs->len == 0;
  if (count > (image ? 2 : 1)) {
    bg_set_error(error, EINVAL, "'%s' is one argument too many%s", rest[image ? 2 : 1],
                 image ? "" : " (--blockdev takes the place of IMAGE)");
    return false;
  }
  if (count < (image ? 2 : 1)) {
    bg_set_error(error, EINVAL, "%s is missing (see blockgraphfs --help)",
                 image && count == 0 ? "IMAGE" : "MOUNTPOINT");
    return false;
  }
  if (image)
    options->image = g_strdup(rest[0]);
  options->mountpoint = g_strdup(rest[count - 1]);
  return true;
}

/* The graph cannot be changed under what goes around it. */
static bool take_qmp(BgfsOptions *options, GError **error)
{
  if (!options->qmp)
    return true;
  if (!options->passthrough_named)
    options->no_passthrough = true;
  char *path = bgfs_qmp_socket_path(options->qmp, error);
  if (!path) {
    g_prefix_error(error, "--qmp: ");
    return false;
  }
  g_free(options->qmp);
  options->qmp = path;
  return true;
}

static bool check(const BgfsOptions *options, GError **error)
{
  if (options->blockdevs->len > 0 && options->format) {
    bg_set_error(error, EINVAL, "--format describes an IMAGE: with --blockdev the driver is the format");
    return false;
  }
  if (options->blockdevs->len > 0 && options->key_secret) {
    bg_set_error(error, EINVAL, "--key-secret is IMAGE's: with --blockdev it is the node's option encrypt.key-secret");
    return false;
  }
  if (options->blockdevs->len > 0 && options->snapshot) {
    bg_set_error(error, EINVAL, "--snapshot needs an IMAGE: with --blockdev add the overlay as a node");
    return false;
  }
  if (options->compress && options->blockdevs->len > 0) {
    bg_set_error(error, EINVAL, "--compress needs an IMAGE: with --blockdev add a node with driver=compress");
    return false;
  }
  if (options->compress && (options->snapshot || options->read_only)) {
    bg_set_error(error, EINVAL, "--compress and %s exclude each other",
                 options->snapshot ? "--snapshot" : "--read-only");
    return false;
  }
  if (options->snapshot && options->read_only) {
    bg_set_error(error, EINVAL, "--snapshot and --read-only exclude each other");
    return false;
  }
  return true;
}

/* mount(8) and its like also take -oVALUE in one word, GOption does not. */
static char **part_options(int argc, char **argv)
{
  GPtrArray *words = g_ptr_array_new();
  bool options = true;
  for (int i = 0; i < argc; i++) {
    options = options && strcmp(argv[i], "--") != 0;
    bool joined = options && g_str_has_prefix(argv[i], "-o") && argv[i][2];
    g_ptr_array_add(words, joined ? g_strconcat("--options=", argv[i] + 2, NULL) : g_strdup(argv[i]));
  }
  g_ptr_array_add(words, NULL);
  return (char **)g_ptr_array_free(words, FALSE);
}

BgfsOptions *bgfs_options_parse(int argc, char **argv, GError **error)
{
  g_auto(Parsed) parsed = {0};
  g_autoptr(GOptionContext) context = make_context(&parsed);
  g_auto(GStrv) words = part_options(argc, argv);
  if (!g_option_context_parse_strv(context, &words, error))
    return NULL;

  g_autoptr(BgfsOptions) options = options_new();
  take_flags(options, &parsed);
  if (options->command != BGFS_COMMAND_MOUNT)
    return g_steal_pointer(&options);
  for (char **text = parsed.mount_options; text && *text; text++) {
    if (!bgfs_mount_options_parse(options, *text, error))
      return NULL;
  }
  options->foreground |= options->debug;
  if (!take_positional(options, parsed.rest, error) || !take_qmp(options, error) || !check(options, error))
    return NULL;
  return g_steal_pointer(&options);
}

#include "drivers/error.h"
#include "fs/cli.h"

#include <errno.h>
#include <string.h>

/* What libfuse takes, with a value where the name ends in '='. */
static const char *const fuse_options[] = {"rw",           "suid",         "nosuid",
                                           "dev",          "nodev",        "exec",
                                           "noexec",       "async",        "sync",
                                           "dirsync",      "atime",        "noatime",
                                           "fsname=",      "subtype=",     "default_permissions",
                                           "auto_unmount", "context=",     "fscontext=",
                                           "defcontext=",  "rootcontext=", NULL};

/* What only mount(8), fstab and systemd care about. */
static const char *const mount_options[] = {
    "auto",        "noauto",   "defaults",   "user",     "user=",      "nouser",        "users",
    "owner",       "group",    "nofail",     "_netdev",  "comment=",   "relatime",      "norelatime",
    "strictatime", "lazytime", "nolazytime", "diratime", "nodiratime", "nostrictatime", NULL};

static bool listed(const char *const *names, const char *name, bool has_value)
{
  size_t length = strlen(name);
  for (; *names; names++) {
    if (strncmp(*names, name, length) == 0 && strcmp(*names + length, has_value ? "=" : "") == 0)
      return true;
  }
  return false;
}

void bgfs_mount_options_add(GString *list, const char *name, const char *value)
{
  if (list->len > 0)
    g_string_append_c(list, ',');
  g_string_append(list, name);
  if (!value)
    return;
  g_string_append_c(list, '=');
  for (const char *c = value; *c; c++) {
    if (*c == ',' || *c == '\\')
      g_string_append_c(list, '\\');
    g_string_append_c(list, *c);
  }
}

/* The settings that are flags; NULL: none of that name. */
static bool *own_flag(BgfsOptions *options, const char *name)
{
  const struct {
    const char *name;
    bool *flag;
  } flags[] = {
      {"ro", &options->read_only},
      {"read-only", &options->read_only},
      {"snapshot", &options->snapshot},
      {"compress", &options->compress},
      {"debug", &options->debug},
      {"trust-images", &options->trust_images},
      {"allow_other", &options->allow_other},
      {"allow_root", &options->allow_other},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(flags); i++) {
    if (strcmp(flags[i].name, name) == 0)
      return flags[i].flag;
  }
  return NULL;
}

static bool take_caching(BgfsOptions *options, const char *value)
{
  static const char *const words[] = {
      [BGFS_CACHING_AUTO] = "auto", [BGFS_CACHING_NONE] = "none", [BGFS_CACHING_WRITEBACK] = "writeback"};
  for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
    if (strcmp(words[i], value) == 0) {
      options->caching = (BgfsCachingPolicy)i;
      return true;
    }
  }
  return false;
}

static bool take_flag(BgfsOptions *options, const char *name)
{
  if (strcmp(name, "writeback") == 0)
    return take_caching(options, name);
  bool *flag = own_flag(options, name);
  if (!flag)
    return false;
  *flag = true;
  if (strcmp(name, "ro") == 0 || g_str_has_prefix(name, "allow_"))
    bgfs_mount_options_add(options->fuse, name, NULL);
  return true;
}

static bool take_value(BgfsOptions *options, const char *name, const char *value)
{
  if (strcmp(name, "cache") == 0)
    return take_caching(options, value);
  if (strcmp(name, "format") == 0) {
    g_free(options->format);
    options->format = g_strdup(value);
    return true;
  }
  if (strcmp(name, "io_uring") == 0 && (strcmp(value, "auto") == 0 || strcmp(value, "off") == 0)) {
    options->no_io_uring = strcmp(value, "off") == 0;
    return true;
  }
  if (strcmp(name, "passthrough") == 0 && (strcmp(value, "auto") == 0 || strcmp(value, "off") == 0)) {
    options->no_passthrough = strcmp(value, "off") == 0;
    options->passthrough_named = true;
    return true;
  }
  if (strcmp(name, "qmp") == 0) {
    g_free(options->qmp);
    options->qmp = g_strdup(value);
    return true;
  }
  if (strcmp(name, "key-secret") == 0) {
    g_free(options->key_secret);
    options->key_secret = g_strdup(value);
    return true;
  }
  if (strcmp(name, "secret") == 0) {
    g_ptr_array_add(options->secret_texts, g_strdup(value));
    return true;
  }
  if (strcmp(name, "allow-reference") == 0) {
    g_ptr_array_add(options->allowed, g_strdup(value));
    return true;
  }
  return false;
}

static bool take_option(BgfsOptions *options, char *text, GError **error)
{
  char *value = strchr(text, '=');
  if (value)
    *value++ = '\0';
  if (value ? take_value(options, text, value) : take_flag(options, text))
    return true;
  if (listed(fuse_options, text, value)) {
    bgfs_mount_options_add(options->fuse, text, value);
    return true;
  }
  if (listed(mount_options, text, value) || g_str_has_prefix(text, "x-"))
    return true;
  bg_set_error(error, EINVAL, "unknown mount option '%s'%s", text, value ? " with a value" : "");
  return false;
}

bool bgfs_mount_options_parse(BgfsOptions *options, const char *text, GError **error)
{
  g_autoptr(GString) option = g_string_new(NULL);
  for (const char *c = text;; c++) {
    if (*c == '\\' && c[1]) {
      g_string_append_c(option, *++c);
    } else if (*c && *c != ',') {
      g_string_append_c(option, *c);
    } else {
      if (option->len > 0 && !take_option(options, option->str, error))
        return false;
      g_string_truncate(option, 0);
      if (!*c)
        return true;
    }
  }
}

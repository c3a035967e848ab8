#include "fs/secret.h"

#include "drivers/crypto/memory.h"
#include "drivers/options.h"
#include "fs/prompt.h"
#include "graph/blockdev.h"
#include "graph/escape.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

/* Twice what a secret may hold: base64, with its newlines, takes more than the secret does. */
enum { ROOM = 2 * BG_SECRET_MAX };

typedef struct Given {
  char *id, *file, *data, *keyid;
  int base64;
} Given;

#define FIELD(name) offsetof(Given, name)

static const char *const formats[] = {"raw", "base64", NULL};

static const BgOption table[] = {
    {.name = "id", .type = BG_OPTION_STRING, .offset = FIELD(id), .required = true},
    {.name = "file", .type = BG_OPTION_STRING, .offset = FIELD(file)},
    {.name = "format", .type = BG_OPTION_ENUM, .offset = FIELD(base64), .values = formats},
    {.name = "data", .type = BG_OPTION_STRING, .offset = FIELD(data)},
    {.name = "keyid", .type = BG_OPTION_STRING, .offset = FIELD(keyid)},
    {0},
};

/* ── what is given ── */

static bool check(const Given *given, GError **error)
{
  if (given->data)
    bg_set_error(error, EINVAL,
                 "data=… shows the secret to all who list processes: put it into a file (file=PATH), or leave it out "
                 "to be asked");
  else if (given->keyid)
    bg_set_error(error, ENOTSUP, "secrets that are encrypted with others (keyid=…) are not supported");
  else
    return true;
  return false;
}

/* "secret," in front, as QEMU's --object has it. */
static const char *skip_type(const char *text)
{
  static const char *const types[] = {"secret,", "qom-type=secret,"};
  for (size_t i = 0; i < G_N_ELEMENTS(types); i++)
    if (g_str_has_prefix(text, types[i]))
      return text + strlen(types[i]);
  return text;
}

static bool parse(const char *text, Given *given, GError **error)
{
  g_autoptr(BgDict) dict = bg_blockdev_parse(skip_type(text), error);
  if (!dict || !bg_options_parse(table, dict, given, error))
    return false;
  const char *unknown = bg_dict_first_key(dict);
  if (!unknown)
    return check(given, error);
  g_autofree char *shown = bg_escape(unknown);
  bg_set_error(error, EINVAL, "a secret has no option '%s'", shown);
  return false;
}

/* ── what is in it ── */

static ssize_t read_all(int fd, uint8_t *out, size_t size)
{
  size_t length = 0;
  while (length < size) {
    ssize_t count = read(fd, out + length, size - length);
    if (count < 0 && errno == EINTR)
      continue;
    if (count < 0)
      return -errno;
    if (count == 0)
      break;
    length += (size_t)count;
  }
  return (ssize_t)length;
}

static bool read_file(const char *filename, uint8_t *out, size_t size, size_t *length, GError **error)
{
  bool standard = strcmp(filename, "-") == 0;
  int fd = standard ? STDIN_FILENO : open(filename, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  ssize_t count = fd < 0 ? -errno : read_all(fd, out, size);
  if (fd >= 0 && !standard)
    close(fd);
  if (count >= 0) {
    *length = (size_t)count;
    return true;
  }
  g_autofree char *shown = bg_escape(filename);
  bg_set_error_errno(error, (int)-count, "cannot read '%s'", shown);
  return false;
}

static bool fetch(const Given *given, uint8_t *out, size_t *length, GError **error)
{
  if (given->file && !(strcmp(given->file, "-") == 0 && isatty(STDIN_FILENO)))
    return read_file(given->file, out, ROOM, length, error);
  if (!isatty(STDIN_FILENO)) {
    bg_set_error(error, EINVAL, "file=PATH is missing, and there is no terminal to ask on");
    return false;
  }
  g_autofree char *shown = bg_escape(given->id), *question = g_strdup_printf("Secret '%s': ", shown);
  return bgfs_prompt(question, out, ROOM, length, error);
}

/* In place. Blanks and newlines are allowed, as in QEMU. */
static bool decode(uint8_t *data, size_t *length, GError **error)
{
  gint state = 0;
  guint save = 0;
  for (size_t i = 0; i < *length; i++)
    if (!data[i] || (!g_ascii_isalnum(data[i]) && !strchr("+/= \t\r\n", data[i]))) {
      bg_set_error(error, EINVAL, "it is not base64");
      return false;
    }
  *length = g_base64_decode_step((const char *)data, *length, data, &state, &save);
  explicit_bzero(&save, sizeof save);
  return true;
}

static bool add(BgSecrets *secrets, const Given *given, uint8_t *room, GError **error)
{
  size_t length;
  if (!fetch(given, room, &length, error))
    return false;
  if (length == ROOM) { /* perhaps not all of it */
    bg_set_error(error, EINVAL, "it is longer than a secret can be");
    return false;
  }
  return (!given->base64 || decode(room, &length, error)) && bg_secrets_add(secrets, given->id, room, length, error);
}

static bool load(BgSecrets *secrets, const char *text, GError **error)
{
  Given given = {0};
  if (!parse(text, &given, error)) {
    g_prefix_error(error, "--secret: ");
    bg_options_clear(table, &given);
    return false;
  }
  uint8_t *room = bg_secret_alloc(ROOM);
  bool good = room && add(secrets, &given, room, error);
  if (!room)
    bg_set_error_errno(error, ENOMEM, "no room");
  bg_secret_free(room, ROOM);
  if (!good) {
    g_autofree char *shown = bg_escape(given.id);
    g_prefix_error(error, "--secret %s: ", shown);
  }
  bg_options_clear(table, &given);
  return good;
}

static bool copy_data(const char *data, uint8_t *out, size_t *length, GError **error)
{
  *length = strlen(data);
  if (*length < ROOM)
    memcpy(out, data, *length);
  else
    bg_set_error(error, EINVAL, "it is longer than a secret can be");
  return *length < ROOM;
}

bool bgfs_secret_define(BgSecrets *secrets, const char *id, const char *file, const char *data, bool base64,
                        GError **error)
{
  size_t length;
  uint8_t *room = bg_secret_alloc(ROOM);
  if (!room) {
    bg_set_error_errno(error, ENOMEM, "no room");
    return false;
  }
  bool got = file ? read_file(file, room, ROOM, &length, error) : copy_data(data, room, &length, error);
  bool good = got && (!base64 || decode(room, &length, error)) && bg_secrets_add(secrets, id, room, length, error);
  bg_secret_free(room, ROOM);
  return good;
}

BgSecrets *bgfs_secrets_load(const GPtrArray *texts, GError **error)
{
  g_autoptr(BgSecrets) secrets = bg_secrets_new();
  for (guint i = 0; i < texts->len; i++)
    if (!load(secrets, texts->pdata[i], error))
      return NULL;
  return g_steal_pointer(&secrets);
}

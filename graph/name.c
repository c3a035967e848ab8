#include "graph/name.h"

#include "graph/escape.h"

#include <glib.h>
#include <string.h>

#define HASH_LENGTH 9 /* '_' and 8 hexadecimal digits */

static bool may_follow(char c)
{
  return g_ascii_isalnum(c) || c == '-' || c == '.' || c == '_';
}

bool bg_name_valid(const char *name)
{
  if (!g_ascii_isalpha(name[0]) || strlen(name) > BG_NAME_MAX)
    return false;
  for (const char *c = name; *c; c++)
    if (!may_follow(*c))
      return false;
  return true;
}

/* `name` in at most `max` bytes, cut between characters; what is cut still counts, by its hash, so that two long names stay two. */
static char *shorten(const char *name, size_t max)
{
  size_t kept = max - HASH_LENGTH;
  if (strlen(name) <= max)
    return g_strdup(name);
  while (kept && ((unsigned char)name[kept] & 0xc0) == 0x80)
    kept--;
  return g_strdup_printf("%.*s_%08x", (int)kept, name, g_str_hash(name));
}

/* The last extension goes, unless nothing else would be left. */
static void drop_extension(char *name)
{
  char *dot = strrchr(name, '.');
  if (dot && dot != name && dot[1])
    *dot = '\0';
}

char *bg_name_from_file(const char *filename)
{
  g_autofree char *base = g_path_get_basename(filename);
  drop_extension(base);
  for (char *c = base; *c; c++)
    if (!may_follow(*c))
      *c = '_';
  g_autofree char *name = g_strconcat(g_ascii_isalpha(base[0]) ? "" : "disk-", base, NULL);
  return shorten(name, BG_NAME_MAX);
}

char *bg_name_from_uri(const char *uri)
{
  static const char socket[] = "socket=";
  const char *query = strchr(uri, '?'), *named = query ? strstr(query, socket) : NULL;
  g_autofree char *path = query ? g_strndup(uri, query - uri) : g_strdup(uri);
  const char *scheme = strstr(path, "://");
  const char *begin = scheme ? scheme + 3 : path;
  size_t length = strlen(path);
  while (path + length > begin && path[length - 1] == '/')
    path[--length] = '\0';
  if (!*begin && !named)
    return g_strdup("disk");
  if (*begin)
    return bg_name_from_file(begin);
  g_autofree char *name = g_strndup(named + strlen(socket), strcspn(named + strlen(socket), "&;"));
  return bg_name_from_file(name);
}

/* The number of a name like "disk.backing" (1) or "disk.backing7" (7), and the length of "disk"; 0 if it is none. */
static guint64 backing_number(const char *name, size_t *stem)
{
  static const char tail[] = ".backing";
  const char *found = g_strrstr(name, tail);
  if (!found || found == name)
    return 0;
  const char *digits = found + strlen(tail);
  size_t length = strspn(digits, "0123456789");
  if (digits[length] || length > 9 || digits[0] == '0')
    return 0;
  guint64 number = length ? g_ascii_strtoull(digits, NULL, 10) : 1;
  if (length && number < 2)
    return 0;
  *stem = found - name;
  return number;
}

char *bg_name_for_child(const char *parent, const char *child)
{
  size_t stem = strlen(parent);
  guint64 number = strcmp(child, "backing") == 0 ? backing_number(parent, &stem) : 0;
  g_autofree char *tail =
      number ? g_strdup_printf(".backing%" G_GUINT64_FORMAT, number + 1) : g_strdup_printf(".%s", child);
  g_autofree char *above = g_strndup(parent, stem);
  g_autofree char *fitting = shorten(tail, BG_NAME_MAX / 2);
  g_autofree char *cut = shorten(above, BG_NAME_MAX - strlen(fitting));
  return g_strconcat(cut, fitting, NULL);
}

static char *escape_slashes(const char *text)
{
  g_auto(GStrv) parts = g_strsplit(text, "/", -1);
  return g_strjoinv("\\x2f", parts);
}

char *bg_name_for_snapshot(const char *node, const char *snapshot, unsigned number)
{
  g_autofree char *printable = bg_escape(snapshot), *escaped = escape_slashes(printable);
  g_autofree char *tail = number ? g_strdup_printf("-%u", number) : g_strdup("");
  g_autofree char *name = g_strdup_printf("%s@%s", node, escaped);
  g_autofree char *cut = shorten(name, BG_NAME_MAX - strlen(tail));
  return g_strconcat(cut, tail, NULL);
}

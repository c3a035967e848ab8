#include "graph/json.h"

#include "drivers/error.h"
#include "graph/escape.h"

#include <errno.h>
#include <string.h>

/* ── a look at the tokens, for what json-glib is lenient about ── */

/* Each skip function returns what follows the token at `c`, or NULL if there is none. */

static const char *skip_string(const char *c)
{
  for (c++; *c != '"'; c++) {
    if ((unsigned char)*c < 0x20)
      return NULL;
    if (*c == '\\' && (*++c == '\0' || g_str_has_prefix(c, "u0000")))
      return NULL;
  }
  return c + 1;
}

static const char *skip_digits(const char *c)
{
  return g_ascii_isdigit(*c) ? c + strspn(c, "0123456789") : NULL;
}

static bool fits(const char *from, const char *to)
{
  g_autofree char *number = g_strndup(from, to - from);
  return g_ascii_string_to_signed(number, 10, G_MININT64, G_MAXINT64, NULL, NULL);
}

static const char *skip_number(const char *start)
{
  const char *c = start + (*start == '-');
  c = *c == '0' ? c + 1 : skip_digits(c);
  if (!c)
    return NULL;
  const char *whole = c;
  if (*c == '.')
    c = skip_digits(c + 1);
  if (c && (*c == 'e' || *c == 'E'))
    c = skip_digits(c + 1 + (c[1] == '+' || c[1] == '-'));
  return !c || c > whole || fits(start, whole) ? c : NULL;
}

static const char *skip_token(const char *c)
{
  static const char *const words[] = {"true", "false", "null"};
  if (*c == '"')
    return skip_string(c);
  if (*c == '-' || g_ascii_isdigit(*c))
    return skip_number(c);
  if (strchr("{}[]:,", *c))
    return c + 1;
  for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
    if (g_str_has_prefix(c, words[i]))
      return c + strlen(words[i]);
  return NULL;
}

static bool refuse(const char *text, const char *place, const char *what, GError **error)
{
  g_autofree char *rest = g_strndup(place, 20);
  g_autofree char *shown = bg_escape(rest);
  bg_set_error(error, EINVAL, "%s at byte %zu of the JSON text: '%s'", what, (size_t)(place - text), shown);
  return false;
}

static bool check_tokens(const char *text, unsigned max_depth, GError **error)
{
  unsigned depth = 0;
  bool complete = false;
  const char *next;
  for (const char *c = text; *(c += strspn(c, " \t\r\n")); c = next) {
    next = skip_token(c);
    if (!next || (g_ascii_isalnum(next[-1]) && g_ascii_isalnum(*next)))
      return refuse(text, c, "Not a JSON value, or one too large,", error);
    if (complete)
      return refuse(text, c, "More than one value", error);
    if ((*c == '{' || *c == '[') && ++depth > max_depth)
      return refuse(text, c, "Nested too deep", error);
    if ((*c == '}' || *c == ']') && depth-- == 0)
      return refuse(text, c, "Closed without being opened", error);
    complete = depth == 0;
  }
  return true;
}

/* ── repeated members ── */

/* json-glib keeps the last of them and tells of each. */
typedef struct {
  GHashTable *seen; /* "ADDRESS OF THE OBJECT NAME" */
  char *repeated;   /* the first one */
} Members;

static void note_member(JsonParser *parser, JsonObject *object, const char *name, gpointer data)
{
  (void)parser;
  Members *members = data;
  if (!g_hash_table_add(members->seen, g_strdup_printf("%p %s", (void *)object, name)) && !members->repeated)
    members->repeated = bg_escape(name);
}

static bool parse(JsonParser *parser, const char *text, GError **error)
{
  g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
  Members members = {.seen = seen};
  g_signal_connect(parser, "object-member", G_CALLBACK(note_member), &members);
  g_autoptr(GError) syntax = NULL;
  bool parsed = json_parser_load_from_data(parser, text, -1, &syntax);
  g_autofree char *repeated = members.repeated;
  g_autofree char *said = parsed ? NULL : bg_escape(syntax->message); /* it quotes the text */
  if (!parsed)
    bg_set_error(error, EINVAL, "%s", said);
  else if (repeated)
    bg_set_error(error, EINVAL, "The member '%s' is given twice", repeated);
  return parsed && !repeated;
}

JsonNode *bg_json_parse(const char *text, unsigned max_depth, GError **error)
{
  g_autoptr(JsonParser) parser = json_parser_new();
  if (!check_tokens(text, max_depth, error) || !parse(parser, text, error))
    return NULL;
  JsonNode *root = json_parser_steal_root(parser);
  if (!root)
    bg_set_error(error, EINVAL, "The JSON text is empty");
  return root;
}

#include "fs/qmp/framing.h"

#include <glib.h>
#include <stdbool.h>
#include <string.h>

enum { KEPT = 64 * 1024 }; /* bytes of memory that a value leaves to the next */

typedef enum {
  BETWEEN, /* no value has begun */
  WORD,    /* a number, true, false, null: or something that is none */
  INSIDE,  /* an array or object */
  STRING,
  ESCAPE, /* behind a backslash in a string */
  SKIP    /* up to the end of the line */
} State;

struct BgfsQmpFraming {
  State state;
  size_t max_value;
  unsigned max_tokens;
  char quote;    /* that the string began with */
  GString *text; /* of the value so far, or why it is broken */
  unsigned depth, tokens;
  char closers[BGFS_QMP_MAX_NESTING]; /* what ends each level */
};

BgfsQmpFraming *bgfs_qmp_framing_new(void)
{
  return bgfs_qmp_framing_new_bounded(BGFS_QMP_MAX_VALUE, BGFS_QMP_MAX_TOKENS);
}

BgfsQmpFraming *bgfs_qmp_framing_new_bounded(size_t max_value, unsigned max_tokens)
{
  BgfsQmpFraming *framing = g_new0(BgfsQmpFraming, 1);
  framing->max_value = max_value;
  framing->max_tokens = max_tokens;
  framing->text = g_string_new(NULL);
  return framing;
}

void bgfs_qmp_framing_free(BgfsQmpFraming *framing)
{
  if (!framing)
    return;
  g_string_free(framing->text, TRUE);
  g_free(framing);
}

static bool is_blank(unsigned char c)
{
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool ends_skipping(unsigned char c)
{
  return c == '\n' || c == 0xff;
}

static BgfsQmpFrame broken(BgfsQmpFraming *framing, unsigned char c, const char *why)
{
  framing->state = ends_skipping(c) ? BETWEEN : SKIP;
  g_string_assign(framing->text, why);
  return BGFS_QMP_FRAME_BROKEN;
}

static BgfsQmpFrame complete(BgfsQmpFraming *framing)
{
  framing->state = BETWEEN;
  return BGFS_QMP_FRAME_VALUE;
}

static void keep(BgfsQmpFraming *framing, char c)
{
  g_string_append_c(framing->text, c);
}

static BgfsQmpFrame begin_string(BgfsQmpFraming *framing, char quote)
{
  framing->state = STRING;
  framing->quote = quote;
  keep(framing, '"');
  return BGFS_QMP_FRAME_PARTIAL;
}

static BgfsQmpFrame open_level(BgfsQmpFraming *framing, char c)
{
  if (framing->depth == BGFS_QMP_MAX_NESTING)
    return broken(framing, c, "nested too deep");
  framing->closers[framing->depth++] = c == '{' ? '}' : ']';
  framing->state = INSIDE;
  keep(framing, c);
  return BGFS_QMP_FRAME_PARTIAL;
}

static BgfsQmpFrame close_level(BgfsQmpFraming *framing, char c)
{
  if (framing->depth == 0 || framing->closers[framing->depth - 1] != c)
    return broken(framing, c, c == '}' ? "'}' without '{'" : "']' without '['");
  keep(framing, c);
  return --framing->depth == 0 ? complete(framing) : BGFS_QMP_FRAME_PARTIAL;
}

static void begin_value(BgfsQmpFraming *framing)
{
  if (framing->text->allocated_len > KEPT) {
    g_string_free(framing->text, TRUE);
    framing->text = g_string_new(NULL);
  }
  g_string_truncate(framing->text, 0);
  framing->depth = framing->tokens = 0;
}

static BgfsQmpFrame take_between(BgfsQmpFraming *framing, char c)
{
  if (is_blank(c))
    return BGFS_QMP_FRAME_PARTIAL;
  begin_value(framing);
  if (c == '{' || c == '[')
    return open_level(framing, c);
  if (c == '"' || c == '\'')
    return begin_string(framing, c);
  if (strchr("]}:,", c) || (unsigned char)c < 0x20 || (unsigned char)c >= 0x7f)
    return broken(framing, c, "no value begins like this");
  framing->state = WORD;
  keep(framing, c);
  return BGFS_QMP_FRAME_PARTIAL;
}

static BgfsQmpFrame take_inside(BgfsQmpFraming *framing, char c)
{
  if (strchr("{}[]:,", c) && c && ++framing->tokens > framing->max_tokens)
    return broken(framing, c, "too many tokens");
  if (c == '{' || c == '[')
    return open_level(framing, c);
  if (c == '}' || c == ']')
    return close_level(framing, c);
  if (c == '"' || c == '\'')
    return begin_string(framing, c);
  if (!is_blank(c) && ((unsigned char)c < 0x20 || (unsigned char)c >= 0x7f))
    return broken(framing, c, "a character outside a string that has no place there");
  keep(framing, c);
  return BGFS_QMP_FRAME_PARTIAL;
}

static BgfsQmpFrame take_string(BgfsQmpFraming *framing, char c)
{
  if ((unsigned char)c < 0x20)
    return broken(framing, c, "a control character in a string");
  if (c == framing->quote) {
    keep(framing, '"');
    framing->state = INSIDE;
    return framing->depth == 0 ? complete(framing) : BGFS_QMP_FRAME_PARTIAL;
  }
  if (c == '\\') {
    framing->state = ESCAPE;
    return BGFS_QMP_FRAME_PARTIAL;
  }
  if (c == '"')
    keep(framing, '\\');
  keep(framing, c);
  return BGFS_QMP_FRAME_PARTIAL;
}

static BgfsQmpFrame take_escape(BgfsQmpFraming *framing, char c)
{
  if ((unsigned char)c < 0x20)
    return broken(framing, c, "a control character in a string");
  if (c != '\'')
    keep(framing, '\\');
  keep(framing, c);
  framing->state = STRING;
  return BGFS_QMP_FRAME_PARTIAL;
}

static bool ends_word(char c)
{
  return is_blank(c) || strchr("{}[]:,\"'", c);
}

static BgfsQmpFrame take(BgfsQmpFraming *framing, char c)
{
  if (framing->state != BETWEEN && framing->state != SKIP && framing->text->len >= framing->max_value)
    return broken(framing, c, "a value that is too long");
  switch (framing->state) {
  case BETWEEN:
    return take_between(framing, c);
  case WORD:
    keep(framing, c);
    return BGFS_QMP_FRAME_PARTIAL;
  case INSIDE:
    return take_inside(framing, c);
  case STRING:
    return take_string(framing, c);
  case ESCAPE:
    return take_escape(framing, c);
  default:
    framing->state = ends_skipping(c) ? BETWEEN : SKIP;
    return BGFS_QMP_FRAME_PARTIAL;
  }
}

BgfsQmpFrame bgfs_qmp_framing_feed(BgfsQmpFraming *framing, const char *bytes, size_t length, size_t *taken,
                                   const char **text)
{
  BgfsQmpFrame frame = BGFS_QMP_FRAME_PARTIAL;
  size_t count = 0;
  while (count < length && frame == BGFS_QMP_FRAME_PARTIAL) {
    if (framing->state == WORD && ends_word(bytes[count]))
      frame = complete(framing);
    else
      frame = take(framing, bytes[count++]);
  }
  *taken = count;
  *text = framing->text->str;
  return frame;
}

#include "graph/escape.h"

#include <glib.h>
#include <string.h>

static void append_bytes(GString *out, const char *text, size_t length)
{
  for (size_t i = 0; i < length; i++)
    g_string_append_printf(out, "\\x%02x", (unsigned char)text[i]);
}

static void append_character(GString *out, const char *text, size_t length, gunichar character)
{
  if (character == '\n')
    g_string_append(out, "\\n");
  else if (character == '\t')
    g_string_append(out, "\\t");
  else if (character == '\\')
    g_string_append(out, "\\\\");
  else if (g_unichar_isprint(character))
    g_string_append_len(out, text, length);
  else
    append_bytes(out, text, length);
}

char *bg_escape(const char *text)
{
  GString *out = g_string_new(NULL);
  while (*text) {
    gunichar character = g_utf8_get_char_validated(text, -1);
    if (character == (gunichar)-1 || character == (gunichar)-2) {
      append_bytes(out, text++, 1);
    } else {
      const char *next = g_utf8_next_char(text);
      append_character(out, text, next - text, character);
      text = next;
    }
  }
  return g_string_free(out, FALSE);
}

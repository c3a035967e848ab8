#include "graph/escape.h"

#include <criterion/criterion.h>
#include <glib.h>

static void check(const char *text, const char *expected)
{
  g_autofree char *escaped = bg_escape(text);
  cr_assert_str_eq(escaped, expected);
}

Test(escape, printable_text_stays)
{
  check("", "");
  check("/images/disk 1.qcow2", "/images/disk 1.qcow2");
  check("Größe/磁盘", "Größe/磁盘");
}

Test(escape, control_characters_and_backslashes_do_not)
{
  check("a\nb\tc\\d", "a\\nb\\tc\\\\d");
  check("\x1b[31mred", "\\x1b[31mred");
  check("\x7f", "\\x7f");
  check("\xc2\x9b", "\\xc2\\x9b");
}

Test(escape, text_that_turns_the_line_around_does_not)
{
  check("\xe2\x80\xae", "\\xe2\\x80\\xae");
}

Test(escape, bytes_that_are_not_utf8_are_shown)
{
  check("a\xff"
        "b\xc3",
        "a\\xffb\\xc3");
  check("\xed\xa0\x80", "\\xed\\xa0\\x80");
}

#include "fs/qmp/framing.h"

#include <criterion/criterion.h>
#include <glib.h>
#include <string.h>

/* What comes out of a stream: values as they are, "!" for each break. */
static GPtrArray *feed(BgfsQmpFraming *framing, GPtrArray *items, const char *bytes, size_t length)
{
  while (length > 0) {
    size_t taken;
    const char *text;
    BgfsQmpFrame frame = bgfs_qmp_framing_feed(framing, bytes, length, &taken, &text);
    cr_assert_leq(taken, length);
    cr_assert(taken > 0 || frame != BGFS_QMP_FRAME_PARTIAL, "nothing is waited for without taking");
    if (frame == BGFS_QMP_FRAME_VALUE)
      g_ptr_array_add(items, g_strdup(text));
    else if (frame == BGFS_QMP_FRAME_BROKEN) {
      cr_assert(*text && !strchr(text, '\n'), "a reason in one line");
      g_ptr_array_add(items, g_strdup("!"));
    }
    bytes += taken;
    length -= taken;
  }
  return items;
}

static char *join(GPtrArray *items)
{
  g_ptr_array_add(items, NULL);
  char *text = g_strjoinv("|", (char **)items->pdata);
  g_ptr_array_unref(items);
  return text;
}

static char *frames_of(const char *bytes, size_t length)
{
  BgfsQmpFraming *framing = bgfs_qmp_framing_new();
  char *text = join(feed(framing, g_ptr_array_new_with_free_func(g_free), bytes, length));
  bgfs_qmp_framing_free(framing);
  return text;
}

static void assert_frames(const char *stream, const char *wanted)
{
  g_autofree char *got = frames_of(stream, strlen(stream));
  cr_assert_str_eq(got, wanted, "%s gives %s, not %s", stream, got, wanted);
}

Test(framing, values_end_where_they_end)
{
  assert_frames("{}", "{}");
  assert_frames("{}{}[1]", "{}|{}|[1]");
  assert_frames(" \r\n\t{ \"a\" : [ 1, { } ] }\n", "{ \"a\" : [ 1, { } ] }");
  assert_frames("{\"a\":\"}\"}", "{\"a\":\"}\"}");
  assert_frames("{\"a\":\"\\\"}\"}{}", "{\"a\":\"\\\"}\"}|{}");
  assert_frames("\"x\\\\\"\"y\"", "\"x\\\\\"|\"y\"");
  assert_frames("42 true{}null\n", "42|true|{}|null");
  assert_frames("{\"half", "");
  assert_frames("42", "");
  assert_frames("", "");
}

Test(framing, single_quotes_become_double_ones)
{
  assert_frames("{'a':'b'}", "{\"a\":\"b\"}");
  assert_frames("'say \"x\"'", "\"say \\\"x\\\"\"");
  assert_frames("'don\\'t'", "\"don't\"");
  assert_frames("\"don\\'t\"", "\"don't\"");
  assert_frames("'\\\"'", "\"\\\"\"");
}

Test(framing, garbage_ends_with_its_line)
{
  assert_frames("{]{}}\n{}", "!|{}");
  assert_frames("]]]]]\n{}", "!|{}");
  assert_frames("}\n]\n,\n:\n{}", "!|!|!|!|{}");
  assert_frames("{\"a\n{}", "!|{}");
  assert_frames("{\"a\\\n{}", "!|{}");
  assert_frames("{\x01 {}\n{}", "!|{}");
  assert_frames("{\x7f{}\n{}", "!|{}");
  assert_frames("\xff{}", "!|{}");
  assert_frames("{\xff{}", "!|{}");
  assert_frames("{\"a\xff\"}", "{\"a\xff\"}");
  assert_frames("foo{}", "foo|{}");
}

Test(framing, zero_bytes_are_garbage)
{
  static const char in_value[] = "{\0\n{}", between[] = "\0\n{}", in_string[] = "{\"a\0\"}\n{}",
                    in_word[] = "tr\0ue\n{}";
  g_autofree char *a = frames_of(in_value, sizeof(in_value) - 1), *b = frames_of(between, sizeof(between) - 1);
  g_autofree char *c = frames_of(in_string, sizeof(in_string) - 1), *d = frames_of(in_word, sizeof(in_word) - 1);
  cr_assert_str_eq(a, "!|{}");
  cr_assert_str_eq(b, "!|{}");
  cr_assert_str_eq(c, "!|{}");
  cr_assert_str_eq(d, "tr|!|{}");
}

static void assert_nesting(size_t depth, bool fits)
{
  g_autoptr(GString) stream = g_string_new(NULL);
  for (size_t i = 0; i < depth; i++)
    g_string_append_c(stream, '[');
  for (size_t i = 0; i < depth; i++)
    g_string_append_c(stream, ']');
  g_string_append(stream, "\n{}");
  g_autofree char *got = frames_of(stream->str, stream->len);
  cr_assert_eq(got[0] == '!', !fits, "%zu levels", depth);
  cr_assert(g_str_has_suffix(got, "|{}"));
}

Test(framing, nesting_is_bounded, .timeout = 20)
{
  assert_nesting(BGFS_QMP_MAX_NESTING, true);
  assert_nesting(BGFS_QMP_MAX_NESTING + 1, false);
  assert_nesting(100000, false);
}

Test(framing, length_and_tokens_are_bounded, .timeout = 60)
{
  g_autoptr(GString) stream = g_string_new("\"");
  g_string_set_size(stream, BGFS_QMP_MAX_VALUE + 2);
  memset(stream->str + 1, 'x', stream->len - 1);
  g_string_append(stream, "\"\n{}");
  g_autofree char *got = frames_of(stream->str, stream->len);
  cr_assert_str_eq(got, "!|{}");
  g_string_assign(stream, "[0");
  for (size_t i = 0; i < BGFS_QMP_MAX_TOKENS; i++)
    g_string_append(stream, ",0");
  g_string_append(stream, "]\n{}");
  g_autofree char *many = frames_of(stream->str, stream->len);
  cr_assert_str_eq(many, "!|{}");
}

Test(framing, a_string_of_a_megabyte_is_one_value, .timeout = 20)
{
  g_autofree char *text = g_strnfill(1024 * 1024, 'y');
  g_autofree char *stream = g_strdup_printf("{\"a\":\"%s\"}", text);
  g_autofree char *got = frames_of(stream, strlen(stream));
  cr_assert_str_eq(got, stream);
}

/* A value, or something near one. */
static void append_random(GString *out, GRand *random, unsigned depth)
{
  switch (g_rand_int_range(random, 0, depth > 4 ? 4 : 7)) {
  case 0:
    g_string_append_printf(out, "%d", g_rand_int_range(random, -1000, 1000));
    break;
  case 1:
    g_string_append(out, "\"a\\\"}]\\u00e9\xc3\xa9\"");
    break;
  case 2:
    g_string_append(out, "true");
    break;
  case 3:
    g_string_append(out, "'single \"quoted\"'");
    break;
  case 4:
    g_string_append(out, "{\"k\": ");
    append_random(out, random, depth + 1);
    g_string_append(out, ",\n \"l\":[]}");
    break;
  case 5:
    g_string_append(out, "[");
    append_random(out, random, depth + 1);
    g_string_append(out, "]");
    break;
  default:
    g_string_append(out, "{}");
  }
}

static void append_line(GString *out, GRand *random)
{
  static const char *const garbage[] = {"{]", "]", "{\"a", "\x01", "{:\xfe", "}{", "[[}"};
  if (g_rand_int_range(random, 0, 4) == 0)
    g_string_append(out, garbage[g_rand_int_range(random, 0, G_N_ELEMENTS(garbage))]);
  else
    append_random(out, random, 0);
  g_string_append_c(out, '\n');
}

static char *in_pieces(const GString *stream, GRand *random)
{
  BgfsQmpFraming *framing = bgfs_qmp_framing_new();
  GPtrArray *items = g_ptr_array_new_with_free_func(g_free);
  for (size_t at = 0, piece; at < stream->len; at += piece) {
    piece = (size_t)g_rand_int_range(random, 1, 9);
    piece = MIN(piece, stream->len - at);
    feed(framing, items, stream->str + at, piece);
  }
  bgfs_qmp_framing_free(framing);
  return join(items);
}

/* However a stream is split, the same comes out. */
Test(framing, splits_change_nothing, .timeout = 60)
{
  for (guint32 seed = 1; seed <= 300; seed++) {
    g_autoptr(GRand) random = g_rand_new_with_seed(seed);
    g_autoptr(GString) stream = g_string_new(NULL);
    for (int i = 0; i < 20; i++)
      append_line(stream, random);
    g_autofree char *whole = frames_of(stream->str, stream->len);
    for (int round = 0; round < 4; round++) {
      g_autofree char *pieces = in_pieces(stream, random);
      cr_assert_str_eq(pieces, whole, "seed %u", seed);
    }
  }
}

/* Behind any bytes at all, a line end brings the next value back. */
Test(framing, random_bytes_are_survived, .timeout = 60)
{
  for (guint32 seed = 1; seed <= 2000; seed++) {
    g_autoptr(GRand) random = g_rand_new_with_seed(seed);
    g_autoptr(GString) stream = g_string_new(NULL);
    static const char likely[] = "{}[]\"'\\:,\n\xff 1a";
    for (int i = g_rand_int_range(random, 0, 60); i > 0; i--)
      g_string_append_c(stream, g_rand_boolean(random) ? likely[g_rand_int_range(random, 0, sizeof(likely) - 1)]
                                                       : (char)g_rand_int_range(random, 0, 256));
    /* in whatever state that ends: a string ends with the line, a container with the wrong bracket */
    g_string_append(stream, "\x01\n{\"found\":1}\n");
    g_autofree char *got = frames_of(stream->str, stream->len);
    cr_assert(g_str_has_suffix(got, "{\"found\":1}"), "seed %u", seed);
  }
}

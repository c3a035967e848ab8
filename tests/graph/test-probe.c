#include "graph/probe.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

static int probe_abc(const uint8_t *head, size_t length)
{
  return length >= 3 && memcmp(head, "abc", 3) == 0 ? 100 : 0;
}

static int probe_a(const uint8_t *head, size_t length)
{
  return length >= 1 && head[0] == 'a' ? 1 : 0;
}

static int probe_length(const uint8_t *head, size_t length)
{
  (void)head;
  return length > BG_PROBE_HEAD;
}

static const BgDriver abc = {.name = "abc", .kind = BG_KIND_FORMAT, .probe = probe_abc};
static const BgDriver letter_a = {.name = "letter-a", .kind = BG_KIND_FORMAT, .probe = probe_a};
static const BgDriver protocol = {.name = "protocol", .kind = BG_KIND_PROTOCOL, .probe = probe_a};
static const BgDriver unprobed = {.name = "unprobed", .kind = BG_KIND_FORMAT};
static const BgDriver greedy = {.name = "greedy", .kind = BG_KIND_FORMAT, .probe = probe_length};
static const BgDriver *const table[] = {&protocol, &unprobed, &abc, &letter_a, &greedy, NULL};

static const BgDriver *probe(const char *head, GError **error)
{
  return bg_probe_table(table, (const uint8_t *)head, strlen(head), error);
}

Test(probe, the_format_that_knows_the_bytes)
{
  g_autoptr(GError) error = NULL;
  cr_assert_eq(probe("axx", &error), &letter_a);
  cr_assert_null(error);
}

Test(probe, none_is_no_error)
{
  g_autoptr(GError) error = NULL;
  cr_assert_null(probe("xyz", &error));
  cr_assert_null(error);
  cr_assert_null(probe("", &error));
  cr_assert_null(error);
}

Test(probe, two_formats_are_refused_by_name)
{
  g_autoptr(GError) error = NULL;
  cr_assert_null(probe("abc", &error));
  cr_assert(g_error_matches(error, BG_ERROR, EINVAL));
  cr_assert(strstr(error->message, "abc") && strstr(error->message, "letter-a") && strstr(error->message, "--format"));
}

Test(probe, no_driver_sees_more_than_the_head)
{
  g_autofree uint8_t *image = g_malloc0(BG_PROBE_HEAD + 1);
  cr_assert_null(bg_probe_table(table, image, BG_PROBE_HEAD + 1, NULL));
}

Test(probe, the_registry_is_asked)
{
  g_autoptr(GError) error = NULL;
  cr_assert_null(bg_probe_format((const uint8_t *)"no format at all", 16, &error));
  cr_assert_null(error);
}

#include "graph/secret.h"

#include "graph/name.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(secret, .timeout = 20);

static void add(BgSecrets *secrets, const char *id, const char *text)
{
  g_autoptr(GError) error = NULL;
  cr_assert(bg_secrets_add(secrets, id, text, strlen(text), &error), "%s", error ? error->message : "");
}

static void assert_refused(BgSecrets *secrets, const char *id, const void *data, size_t length, int code,
                           const char *said)
{
  g_autoptr(GError) error = NULL;
  cr_assert_not(bg_secrets_add(secrets, id, data, length, &error), "'%s' was taken", id);
  cr_expect_eq(bg_error_errno(error), code, "%s", error->message);
  cr_expect(strcasestr(error->message, said), "%s", error->message);
}

static void assert_not_chosen(const BgSecrets *secrets, const char *id, int code, const char *said)
{
  static const BgSecret untouched;
  const BgSecret *secret = &untouched;
  g_autoptr(GError) error = NULL;
  cr_assert_not(bg_secrets_choose(secrets, id, &secret, &error));
  cr_expect_eq(secret, &untouched);
  cr_expect_eq(bg_error_errno(error), code, "%s", error->message);
  cr_expect(strcasestr(error->message, said), "%s", error->message);
}

Test(secret, it_is_found_by_name_as_it_was_given)
{
  static const uint8_t bytes[] = {0, 1, 0xff, '\n', 0};
  g_autoptr(BgSecrets) secrets = bg_secrets_new();
  uint8_t given[sizeof bytes];
  memcpy(given, bytes, sizeof given);
  cr_assert(bg_secrets_add(secrets, "k", given, sizeof given, NULL));
  memset(given, 0x55, sizeof given); /* the table has its own */
  add(secrets, "other", "x");
  const BgSecret *secret;
  cr_assert(bg_secrets_choose(secrets, "k", &secret, NULL));
  cr_assert_str_eq(secret->id, "k");
  cr_assert_eq(secret->length, sizeof bytes);
  cr_assert_arr_eq(secret->data, bytes, sizeof bytes);
}

Test(secret, the_only_one_needs_no_name)
{
  g_autoptr(BgSecrets) secrets = bg_secrets_new();
  const BgSecret *secret;
  assert_not_chosen(NULL, NULL, EACCES, "its key is missing");
  assert_not_chosen(secrets, NULL, EACCES, "its key is missing");
  add(secrets, "k", "one");
  cr_assert(bg_secrets_choose(secrets, NULL, &secret, NULL));
  cr_assert_str_eq(secret->id, "k");
  add(secrets, "l", "two");
  assert_not_chosen(secrets, NULL, EACCES, "several secrets were given");
}

Test(secret, what_is_not_there_is_named)
{
  g_autoptr(BgSecrets) secrets = bg_secrets_new();
  add(secrets, "k", "one");
  assert_not_chosen(NULL, "k", ENOENT, "no secret 'k'");
  assert_not_chosen(secrets, "K", ENOENT, "--secret id=K,file=PATH");
  assert_not_chosen(secrets, "k\x1b", ENOENT, "'k\\x1b'");
}

Test(secret, what_is_no_secret_is_refused_and_changes_nothing)
{
  char name[BG_NAME_MAX + 2];
  g_autofree uint8_t *bytes = g_malloc0(BG_SECRET_MAX + 1);
  g_autoptr(BgSecrets) secrets = bg_secrets_new();
  memset(name, 'n', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  assert_refused(secrets, "", "x", 1, EINVAL, "no name");
  assert_refused(secrets, "1st", "x", 1, EINVAL, "no name");
  assert_refused(secrets, "a b\n", "x", 1, EINVAL, "'a b\\n' is no name");
  assert_refused(secrets, name, "x", 1, EINVAL, "no name");
  assert_refused(secrets, "k", "", 0, EINVAL, "is empty");
  assert_refused(secrets, "k", bytes, BG_SECRET_MAX + 1, EINVAL, "longer than 64 KiB");
  assert_not_chosen(secrets, NULL, EACCES, "its key is missing");
  cr_assert(bg_secrets_add(secrets, "k", bytes, BG_SECRET_MAX, NULL));
  assert_refused(secrets, "k", "other", 5, EEXIST, "a secret 'k' already");
  const BgSecret *secret;
  cr_assert(bg_secrets_choose(secrets, "k", &secret, NULL));
  cr_assert_eq(secret->length, BG_SECRET_MAX);
}

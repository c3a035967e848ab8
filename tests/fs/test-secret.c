#include "fs/secret.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

static char *directory;

static void set_up(void)
{
  directory = g_dir_make_tmp("secret.XXXXXX", NULL);
  cr_assert(directory && chdir(directory) == 0);
}

static void tear_down(void)
{
  g_autoptr(GDir) files = g_dir_open(".", 0, NULL);
  for (const char *name; (name = g_dir_read_name(files));)
    g_unlink(name);
  cr_assert(chdir("/") == 0);
  g_rmdir(directory);
  g_free(directory);
}

TestSuite(secrets, .init = set_up, .fini = tear_down, .timeout = 20);

static void make_file(const char *filename, const char *text)
{
  cr_assert(g_file_set_contents(filename, text, -1, NULL));
}

/* Standard input becomes that file. */
static void feed(const char *filename)
{
  int fd = open(filename, O_RDONLY | O_CLOEXEC);
  cr_assert_geq(fd, 0);
  cr_assert_eq(dup2(fd, STDIN_FILENO), STDIN_FILENO);
  close(fd);
}

/* Of a NULL-terminated list. */
static BgSecrets *load_all(const char *const *texts, GError **error)
{
  g_autoptr(GPtrArray) list = g_ptr_array_new();
  for (; *texts; texts++)
    g_ptr_array_add(list, (char *)*texts);
  return bgfs_secrets_load(list, error);
}

static void assert_secret(const BgSecrets *secrets, const char *id, const void *data, size_t length)
{
  const BgSecret *secret;
  g_autoptr(GError) error = NULL;
  cr_assert(bg_secrets_choose(secrets, id, &secret, &error), "%s", error ? error->message : "");
  cr_assert_eq(secret->length, length, "%zu bytes", secret->length);
  cr_assert_arr_eq(secret->data, data, length);
}

static void assert_loads(const char *text, const char *expected)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(BgSecrets) secrets = load_all((const char *const[]){text, NULL}, &error);
  cr_assert_not_null(secrets, "%s: %s", text, error ? error->message : "");
  assert_secret(secrets, "k", expected, strlen(expected));
}

static void assert_fails(const char *text, int code, const char *said)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(BgSecrets) secrets = load_all((const char *const[]){text, NULL}, &error);
  cr_assert_null(secrets, "%s", text);
  cr_expect_eq(bg_error_errno(error), code, "%s: %s (%d)", text, error->message, bg_error_errno(error));
  cr_expect(strcasestr(error->message, said), "%s: %s", text, error->message);
}

Test(secrets, a_file_counts_as_it_is)
{
  make_file("key", " open sesame\n");
  make_file("a,b", "comma");
  assert_loads("id=k,file=key", " open sesame\n");
  assert_loads("id=k,file=key,format=raw", " open sesame\n");
  assert_loads("secret,id=k,file=key", " open sesame\n");
  assert_loads("qom-type=secret,id=k,file=key", " open sesame\n");
  assert_loads("id=k,file=a,,b", "comma");
}

Test(secrets, base64_is_decoded)
{
  make_file("key", "b3BlbiBz\nZXNhbWU=\n");
  assert_loads("id=k,file=key,format=base64", "open sesame");
  make_file("bad", "b3Blb*Bz");
  assert_fails("id=k,file=bad,format=base64", EINVAL, "--secret k: it is not base64");
  make_file("blank", " \n");
  assert_fails("id=k,file=blank,format=base64", EINVAL, "empty");
}

Test(secrets, the_longest_comes_whole_in_either_form)
{
  g_autofree guchar *bytes = g_malloc(BG_SECRET_MAX + 1);
  for (size_t i = 0; i <= BG_SECRET_MAX; i++)
    bytes[i] = (guchar)(i * 7 + i / 256);
  g_autoptr(GString) lines = g_string_new(NULL);
  g_autofree char *base64 = g_base64_encode(bytes, BG_SECRET_MAX);
  for (const char *rest = base64; *rest; rest += MIN(strlen(rest), 64))
    g_string_append_printf(lines, "%.64s\n", rest);
  make_file("lines", lines->str);
  cr_assert(g_file_set_contents("raw", (char *)bytes, BG_SECRET_MAX, NULL));
  g_autoptr(BgSecrets) secrets =
      load_all((const char *const[]){"id=raw,file=raw", "id=lines,file=lines,format=base64", NULL}, NULL);
  cr_assert_not_null(secrets);
  assert_secret(secrets, "raw", bytes, BG_SECRET_MAX);
  assert_secret(secrets, "lines", bytes, BG_SECRET_MAX);
}

Test(secrets, too_long_is_refused_not_cut)
{
  g_autofree char *text = g_strnfill(4 * BG_SECRET_MAX, 'a');
  make_file("key", text);
  assert_fails("id=k,file=key", EINVAL, "longer");
  assert_fails("id=k,file=key,format=base64", EINVAL, "longer");
  text[BG_SECRET_MAX + 1] = '\0';
  make_file("key", text);
  assert_fails("id=k,file=key", EINVAL, "longer than 64 KiB");
}

Test(secrets, what_cannot_be_read_says_why)
{
  assert_fails("id=k,file=nothing", ENOENT, "--secret k: cannot read 'nothing'");
  assert_fails("id=k,file=.", EISDIR, "cannot read '.'");
  make_file("empty", "");
  assert_fails("id=k,file=empty", EINVAL, "the secret 'k' is empty");
  assert_fails("id=k,file=/proc/self/mem", EIO, "cannot read '/proc/self/mem'");
}

Test(secrets, what_is_given_wrongly_is_refused)
{
  make_file("key", "x");
  assert_fails("file=key", EINVAL, "id");
  assert_fails("id=k,file=key,format=hex", EINVAL, "format");
  assert_fails("id=k,file=key,colour=red", EINVAL, "no option 'colour'");
  assert_fails("id=k,data=x", EINVAL, "shows the secret");
  assert_fails("id=k,file=key,keyid=l", ENOTSUP, "keyid");
  assert_fails("id=-k,file=key", EINVAL, "no name for a secret");
}

Test(secrets, one_that_fails_fails_all)
{
  make_file("key", "x");
  g_autoptr(GError) error = NULL;
  cr_assert_null(load_all((const char *const[]){"id=k,file=key", "id=k,file=key", NULL}, &error));
  cr_assert_eq(bg_error_errno(error), EEXIST, "%s", error->message);
  g_autoptr(BgSecrets) none = load_all((const char *const[]){NULL}, NULL);
  cr_assert_not_null(none);
}

Test(secrets, standard_input_is_read_but_not_asked_where_it_is_no_terminal)
{
  make_file("key", "typed\n");
  feed("key");
  assert_loads("id=k,file=-", "typed\n");
  feed("key");
  assert_fails("id=k", EINVAL, "no terminal to ask on");
}

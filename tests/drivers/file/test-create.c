#include "drivers/error.h"
#include "tests/drivers/file/file-fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(create, .timeout = 60);

static bool create(FileFixture *f, uint64_t size, const char *preallocation, GError **error)
{
  g_autoptr(BgDict) dict = bg_dict_new();
  bg_dict_set(dict, "filename", f->path);
  bg_dict_set(dict, "preallocation", preallocation);
  g_autofree void *options = g_malloc0(f->driver->create_options_size);
  cr_assert(bg_options_parse(f->driver->create_options, dict, options, NULL));
  bool made = f->driver->create(&(BgCreate){.options = options, .size = size}, error);
  bg_options_clear(f->driver->create_options, options);
  return made;
}

static void assert_created(const char *preallocation, bool allocated)
{
  FileFixture f;
  file_fixture_init(&f, NULL);
  umask(022);
  cr_assert(create(&f, 3000000, preallocation, NULL));
  struct stat st;
  cr_assert_eq(stat(f.path, &st), 0);
  cr_assert_eq(st.st_size, 3000000);
  cr_assert_eq(st.st_mode, S_IFREG | 0644);
  if (allocated)
    cr_assert_geq(st.st_blocks * 512, 3000000);
  cr_assert(file_fixture_open(&f, "auto", &file_mode_read, NULL));
  file_fixture_assert_content(&f, 2999998, "\0\0", 2);
  file_fixture_clear(&f);
}

Test(create, sizes)
{
  assert_created("off", false);
  assert_created("falloc", true);
  assert_created("full", true);
}

Test(create, empty)
{
  FileFixture f;
  file_fixture_init(&f, NULL);
  cr_assert(create(&f, 0, "falloc", NULL));
  cr_assert(file_fixture_open(&f, "auto", &file_mode_read, NULL));
  cr_assert_eq(f.driver->size(f.instance), 0);
  file_fixture_clear(&f);
}

Test(create, never_overwrites)
{
  FileFixture f;
  file_fixture_init(&f, "precious");
  g_autoptr(GError) error = NULL;
  cr_assert_not(create(&f, 4, "off", &error));
  cr_assert_eq(bg_error_errno(error), EEXIST);
  g_autofree char *content = NULL;
  cr_assert(g_file_get_contents(f.path, &content, NULL, NULL));
  cr_assert_str_eq(content, "precious");
  file_fixture_clear(&f);
}

Test(create, leaves_nothing_behind)
{
  FileFixture f;
  file_fixture_init(&f, NULL);
  struct rlimit limit = {1 << 20, 1 << 20};
  signal(SIGXFSZ, SIG_IGN);
  cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
  static const char *const ways[] = {"off", "falloc", "full"};
  for (int i = 0; i < 3; i++) {
    g_autoptr(GError) error = NULL;
    cr_assert_not(create(&f, 2 << 20, ways[i], &error));
    cr_assert_eq(bg_error_errno(error), EFBIG, "%s", error->message);
    cr_assert_neq(access(f.path, F_OK), 0);
  }
  g_autoptr(GError) error = NULL;
  cr_assert_not(create(&f, UINT64_MAX, "off", &error));
  cr_assert_eq(bg_error_errno(error), EFBIG);
  cr_assert_neq(access(f.path, F_OK), 0);
  file_fixture_clear(&f);
}

#include "fs/qmp/socket.h"

#include "drivers/error.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void assert_path(const char *text, const char *wanted)
{
  g_autofree char *path = bgfs_qmp_socket_path(text, NULL);
  cr_assert_eq(g_strcmp0(path, wanted), 0, "%s: %s", text, path);
}

Test(socket, addresses_are_spelt_as_in_qemu)
{
  assert_path("unix:/run/x", "/run/x");
  assert_path("unix:/run/x,server=on,wait=off", "/run/x");
  assert_path("unix:/run/x,server,nowait", "/run/x");
  assert_path("unix:/run/x,server=off", NULL);
  assert_path("unix:/run/x,wait=on", NULL);
  assert_path("unix:", NULL);
  assert_path("", NULL);
  assert_path("tcp:localhost:1", NULL);
  assert_path("/run/x", NULL);
  g_autofree char *relative = bgfs_qmp_socket_path("unix:x", NULL);
  cr_assert(g_path_is_absolute(relative));
}

typedef struct Fixture {
  char *directory, *path;
} Fixture;

static void setup(Fixture *fixture)
{
  fixture->directory = g_dir_make_tmp("qmp-XXXXXX", NULL);
  fixture->path = g_build_filename(fixture->directory, "socket", NULL);
}

static void teardown(Fixture *fixture)
{
  g_unlink(fixture->path);
  g_rmdir(fixture->directory);
  g_free(fixture->path);
  g_free(fixture->directory);
}

static int error_of(const char *path)
{
  BgfsQmpSocket made;
  g_autoptr(GError) error = NULL;
  cr_assert_not(bgfs_qmp_socket_open(&made, path, &error));
  return bg_error_errno(error);
}

Test(socket, it_is_its_owners_alone_and_goes_in_the_end)
{
  Fixture fixture;
  setup(&fixture);
  BgfsQmpSocket made;
  struct stat st;
  umask(0);
  cr_assert(bgfs_qmp_socket_open(&made, fixture.path, NULL));
  cr_assert_eq(lstat(fixture.path, &st), 0);
  cr_assert(S_ISSOCK(st.st_mode));
  cr_assert_eq(st.st_mode & 07777, 0600);
  bgfs_qmp_socket_close(&made);
  cr_assert_eq(lstat(fixture.path, &st), -1);
  bgfs_qmp_socket_close(&made);
  teardown(&fixture);
}

Test(socket, a_living_one_is_left_alone_and_a_dead_one_replaced)
{
  Fixture fixture;
  setup(&fixture);
  BgfsQmpSocket first, second;
  cr_assert(bgfs_qmp_socket_open(&first, fixture.path, NULL));
  cr_assert_eq(error_of(fixture.path), EADDRINUSE);
  close(first.fd); /* as if its process had been killed */
  cr_assert(bgfs_qmp_socket_open(&second, fixture.path, NULL));
  bgfs_qmp_socket_close(&second);
  g_free(first.path);
  teardown(&fixture);
}

Test(socket, other_files_are_left_alone)
{
  Fixture fixture;
  setup(&fixture);
  cr_assert(g_file_set_contents(fixture.path, "x", 1, NULL));
  cr_assert_eq(error_of(fixture.path), EEXIST);
  cr_assert(g_file_test(fixture.path, G_FILE_TEST_IS_REGULAR));
  cr_assert_eq(error_of("/nonexistent/socket"), ENOENT);
  g_autofree char *name = g_strnfill(200, 'x');
  g_autofree char *longer = g_build_filename(fixture.directory, name, NULL);
  cr_assert_eq(error_of(longer), ENAMETOOLONG);
  teardown(&fixture);
}

Test(socket, what_took_its_place_stays)
{
  Fixture fixture;
  setup(&fixture);
  BgfsQmpSocket made;
  cr_assert(bgfs_qmp_socket_open(&made, fixture.path, NULL));
  g_unlink(fixture.path);
  cr_assert(g_file_set_contents(fixture.path, "x", 1, NULL));
  bgfs_qmp_socket_close(&made);
  cr_assert(g_file_test(fixture.path, G_FILE_TEST_EXISTS));
  teardown(&fixture);
}

Test(socket, our_own_user_is_admitted)
{
  int ends[2];
  cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  cr_assert(bgfs_qmp_socket_admits(ends[0]));
  close(ends[0]);
  close(ends[1]);
  cr_assert_not(bgfs_qmp_socket_admits(-1));
}

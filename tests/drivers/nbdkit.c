#include "tests/drivers/nbdkit.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

bool nbd_server_installed(void)
{
  g_autofree char *program = g_find_program_in_path("nbdkit");
  return program;
}

void nbd_server_init(NbdServer *server, uint64_t file_size)
{
  *server = (NbdServer){0};
  if (!nbd_server_installed())
    cr_skip_test("nbdkit is not installed");
  server->directory = g_dir_make_tmp("nbd-XXXXXX", NULL);
  server->socket = g_build_filename(server->directory, "socket", NULL);
  server->uri = g_strdup_printf("nbd+unix:///?socket=%s", server->socket);
  server->file = g_build_filename(server->directory, "file", NULL);
  int fd = g_open(server->file, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  cr_assert_geq(fd, 0);
  cr_assert_eq(ftruncate(fd, (off_t)file_size), 0);
  close(fd);
}

void nbd_server_clear(NbdServer *server)
{
  nbd_server_kill(server);
  g_unlink(server->socket);
  g_unlink(server->file);
  g_rmdir(server->directory);
  g_free(server->directory);
  g_free(server->socket);
  g_free(server->uri);
  g_free(server->file);
}

static bool listens(const NbdServer *server)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  g_strlcpy(address.sun_path, server->socket, sizeof address.sun_path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bool connected = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
  close(fd);
  return connected;
}

void nbd_server_start(NbdServer *server, const char *arguments)
{
  g_autofree char *command =
      g_strdup_printf("FILE='%s'; exec nbdkit -f -U '%s' %s 2>/dev/null", server->file, server->socket, arguments);
  char *argv[] = {"sh", "-c", command, NULL};
  g_autoptr(GError) error = NULL;
  g_unlink(server->socket);
  cr_assert(g_spawn_async(NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &server->pid,
                          &error),
            "%s", error ? error->message : "");
  for (int i = 0; i < 1000 && !listens(server); i++)
    g_usleep(10000);
  cr_assert(listens(server), "nbdkit %s does not listen", arguments);
}

void nbd_server_hang(NbdServer *server)
{
  int status;
  kill(server->pid, SIGSTOP);
  cr_assert_eq(waitpid(server->pid, &status, WUNTRACED), server->pid);
  cr_assert(WIFSTOPPED(status));
}

void nbd_server_kill(NbdServer *server)
{
  if (server->pid == 0)
    return;
  kill(server->pid, SIGKILL);
  waitpid(server->pid, NULL, 0);
  server->pid = 0;
}

void nbd_server_restart(NbdServer *server, const char *arguments)
{
  nbd_server_kill(server);
  nbd_server_start(server, arguments);
}

#include "tests/fs/ctl/fake-server.h"

#include <criterion/criterion.h>
#include <json-glib/json-glib.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct FakeServer {
  char *directory, *path;
  const FakeStep *steps;
  bool negotiates, hangs_up;
  int listener;
  pthread_t thread;
  char *wrong; /* what came in place of what was expected; NULL */
};

static char *receive_line(int fd)
{
  GString *line = g_string_new(NULL);
  char c;
  while (read(fd, &c, 1) == 1 && c != '\n')
    g_string_append_c(line, c);
  return g_string_free(line, FALSE);
}

static char *id_of(const char *request)
{
  g_autoptr(JsonNode) root = json_from_string(request, NULL);
  JsonObject *object = root ? json_node_get_object(root) : NULL;
  return g_strdup_printf("%d", object ? (int)json_object_get_int_member_with_default(object, "id", -1) : -1);
}

static bool holds_all(const char *request, const char *expect)
{
  g_auto(GStrv) parts = g_strsplit(expect, "|", -1);
  for (char **part = parts; *part; part++)
    if (!strstr(request, *part))
      return false;
  return true;
}

static void say(int fd, const char *text, const char *id)
{
  g_auto(GStrv) parts = g_strsplit(text, "@", -1);
  g_autofree char *whole = g_strjoinv(id, parts);
  for (size_t length = strlen(whole), sent = 0; sent < length;) {
    ssize_t count = send(fd, whole + sent, length - sent, MSG_NOSIGNAL);
    if (count <= 0)
      return;
    sent += (size_t)count;
  }
}

static bool take_step(FakeServer *server, int fd, const FakeStep *step)
{
  g_autofree char *request = step->expect ? receive_line(fd) : g_strdup("");
  g_autofree char *id = id_of(request);
  if (step->expect && !holds_all(request, step->expect)) {
    server->wrong = g_strdup_printf("'%s' in place of '%s'", request, step->expect);
    return false;
  }
  if (step->send)
    say(fd, step->send, id);
  return true;
}

static void *serve(void *data)
{
  FakeServer *server = data;
  static const FakeStep negotiation[] = {{NULL, FAKE_GREETING}, {"qmp_capabilities", FAKE_DONE}};
  int fd = accept(server->listener, NULL, NULL);
  bool going = fd >= 0;
  for (size_t i = 0; server->negotiates && going && i < G_N_ELEMENTS(negotiation); i++)
    going = take_step(server, fd, &negotiation[i]);
  for (const FakeStep *step = server->steps; going && (step->expect || step->send); step++)
    going = take_step(server, fd, step);
  char byte;
  while (going && !server->hangs_up && read(fd, &byte, 1) == 1)
    ;
  close(fd);
  return NULL;
}

static FakeServer *start(const FakeStep *steps, bool negotiates, bool hangs_up)
{
  FakeServer *server = g_new0(FakeServer, 1);
  server->directory = g_dir_make_tmp("blockgraphctl-XXXXXX", NULL);
  server->path = g_build_filename(server->directory, "qmp", NULL);
  server->steps = steps;
  server->negotiates = negotiates;
  server->hangs_up = hangs_up;
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  g_strlcpy(address.sun_path, server->path, sizeof address.sun_path);
  server->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  cr_assert_eq(bind(server->listener, (struct sockaddr *)&address, sizeof address), 0);
  cr_assert_eq(listen(server->listener, 1), 0);
  cr_assert_eq(pthread_create(&server->thread, NULL, serve, server), 0);
  return server;
}

FakeServer *fake_server_new(const FakeStep *steps)
{
  return start(steps, false, false);
}

FakeServer *fake_server_negotiated(const FakeStep *steps)
{
  return start(steps, true, false);
}

FakeServer *fake_server_brief(const FakeStep *steps)
{
  return start(steps, true, true);
}

const char *fake_server_path(const FakeServer *server)
{
  return server->path;
}

void fake_server_end(FakeServer *server)
{
  pthread_join(server->thread, NULL);
  close(server->listener);
  unlink(server->path);
  rmdir(server->directory);
  cr_assert_null(server->wrong, "%s", server->wrong);
  g_free(server->path);
  g_free(server->directory);
  g_free(server);
}

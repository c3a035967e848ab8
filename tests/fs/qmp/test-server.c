#include "fs/qmp/server.h"

#include "fs/qmp/events.h"
#include "tests/graph/scratch.h"

#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

typedef struct Fixture {
  Scratch scratch;
  BgfsQmpEvents *events;
  BgfsQmpServer *server;
  char *path;
} Fixture;

static void setup(Fixture *fixture)
{
  fixture->events = bgfs_qmp_events_new();
  scratch_init(&fixture->scratch, &bgfs_qmp_events_listener, fixture->events);
  fixture->path = scratch_path(&fixture->scratch, "socket");
  fixture->server = bgfs_qmp_server_new(fixture->path, NULL);
  cr_assert(fixture->server);
  const BgfsQmpMount mount = {.graph = fixture->scratch.graph};
  cr_assert(bgfs_qmp_events_start(fixture->events, fixture->server, fixture->scratch.graph));
  cr_assert(bgfs_qmp_server_start(fixture->server, &mount));
}

static void stop(Fixture *fixture)
{
  bgfs_qmp_server_stop(fixture->server);
  bgfs_qmp_events_stop(fixture->events);
}

static void teardown(Fixture *fixture)
{
  stop(fixture);
  bgfs_qmp_server_free(fixture->server);
  scratch_clear(&fixture->scratch);
  bgfs_qmp_events_free(fixture->events);
  g_free(fixture->path);
}

typedef struct Client {
  int fd;
  FILE *in;
} Client;

static Client connect_to(const Fixture *fixture)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  Client client = {.fd = socket(AF_UNIX, SOCK_STREAM, 0)};
  g_strlcpy(address.sun_path, fixture->path, sizeof(address.sun_path));
  cr_assert_eq(connect(client.fd, (struct sockaddr *)&address, sizeof(address)), 0);
  client.in = fdopen(client.fd, "r");
  return client;
}

static void say(const Client *client, const char *text)
{
  cr_assert_eq(write(client->fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* "": the connection is closed. The caller frees. */
static char *hear(const Client *client)
{
  char *line = NULL;
  size_t size = 0;
  if (getline(&line, &size, client->in) > 0)
    return line;
  free(line);
  return strdup("");
}

static void assert_hears(const Client *client, const char *part)
{
  char *line = hear(client);
  cr_assert(*part ? strstr(line, part) != NULL : *line == '\0', "heard %s, not %s", line, part);
  free(line);
}

static Client negotiated(const Fixture *fixture)
{
  Client client = connect_to(fixture);
  assert_hears(&client, "{\"QMP\":");
  say(&client, "{'execute':'qmp_capabilities'}");
  assert_hears(&client, "{\"return\":{}}");
  return client;
}

static void hang_up(const Client *client)
{
  fclose(client->in);
}

Test(server, many_requests_in_one_write_are_answered_in_order, .timeout = 20)
{
  Fixture fixture;
  setup(&fixture);
  Client client = negotiated(&fixture);
  say(&client, "{'execute':'query-version','id':1}{'execute':'nope','id':2}\n]\n{'execute':'query-version','id':3}");
  assert_hears(&client, "\"id\":1");
  assert_hears(&client, "\"id\":2");
  assert_hears(&client, "JSON parse error");
  assert_hears(&client, "\"id\":3");
  hang_up(&client);
  teardown(&fixture);
}

Test(server, who_shuts_down_only_its_own_side_gets_its_answers, .timeout = 20)
{
  Fixture fixture;
  setup(&fixture);
  Client client = negotiated(&fixture);
  say(&client, "{'execute':'query-version','id':1}{'execute':'query-version','id':2}{'exec");
  shutdown(client.fd, SHUT_WR);
  assert_hears(&client, "\"id\":1");
  assert_hears(&client, "\"id\":2");
  assert_hears(&client, "");
  hang_up(&client);
  teardown(&fixture);
}

Test(server, clients_are_bounded_and_those_too_many_are_told, .timeout = 30)
{
  Fixture fixture;
  setup(&fixture);
  Client clients[BGFS_QMP_MAX_CLIENTS];
  for (unsigned i = 0; i < BGFS_QMP_MAX_CLIENTS; i++)
    clients[i] = negotiated(&fixture);
  Client late = connect_to(&fixture);
  assert_hears(&late, "Too many clients");
  assert_hears(&late, "");
  hang_up(&late);
  for (unsigned i = 0; i < BGFS_QMP_MAX_CLIENTS; i++) {
    say(&clients[i], "{'execute':'query-version'}");
    assert_hears(&clients[i], "{\"return\":");
  }
  for (unsigned i = 0; i < BGFS_QMP_MAX_CLIENTS; i++)
    hang_up(&clients[i]);
  for (;;) { /* until one of the threads has gone */
    Client next = connect_to(&fixture);
    char *line = hear(&next);
    bool welcome = g_str_has_prefix(line, "{\"QMP\":");
    free(line);
    hang_up(&next);
    if (welcome)
      break;
    g_usleep(10 * 1000);
  }
  teardown(&fixture);
}

Test(server, events_reach_those_who_negotiated, .timeout = 20)
{
  Fixture fixture;
  setup(&fixture);
  Client client = negotiated(&fixture), silent = connect_to(&fixture);
  scratch_file(&fixture.scratch, "a.raw", 4096, 'a');
  BgNode *node = scratch_add(&fixture.scratch, "driver=file,node-name=f,filename=@/a.raw,auto-read-only=on");
  assert_hears(&client, "\"event\":\"BLOCKGRAPH_NODE_ADDED\",\"data\":{\"node-name\":\"f\"");
  BgUser *writer = scratch_writer(node);
  assert_hears(
      &client,
      "\"event\":\"BLOCKGRAPH_WRITE_STATE_CHANGED\",\"data\":{\"node-name\":\"f\",\"write-state\":\"writable\"");
  bg_user_free(writer);
  cr_assert(bg_graph_remove(fixture.scratch.graph, node, NULL));
  bool removed = false;
  while (!removed) {
    char *line = hear(&client);
    cr_assert(strstr(line, "\"timestamp\":{\"seconds\":"), "%s", line);
    removed = strstr(line, "BLOCKGRAPH_NODE_REMOVED");
    free(line);
  }
  say(&silent, "{'execute':'qmp_capabilities'}{'execute':'query-version'}");
  assert_hears(&silent, "QMP");
  assert_hears(&silent, "{\"return\":{}}");
  assert_hears(&silent, "package");
  hang_up(&client);
  hang_up(&silent);
  teardown(&fixture);
}

typedef struct Teller {
  BgfsQmpServer *server;
  atomic_bool enough;
} Teller;

static void *tell(void *data)
{
  Teller *teller = data;
  while (!teller->enough)
    bgfs_qmp_server_tell(teller->server, "{\"event\":\"NEWS\"}\r\n");
  return NULL;
}

Test(server, no_event_comes_before_the_answer_to_who_negotiates, .timeout = 60)
{
  Fixture fixture;
  setup(&fixture);
  Teller teller = {.server = fixture.server};
  pthread_t thread;
  cr_assert_eq(pthread_create(&thread, NULL, tell, &teller), 0);
  for (int i = 0; i < 100; i++) {
    Client client = negotiated(&fixture);
    assert_hears(&client, "NEWS");
    hang_up(&client);
  }
  teller.enough = true;
  pthread_join(thread, NULL);
  teardown(&fixture);
}

Test(server, who_does_not_read_stalls_nobody, .timeout = 60)
{
  Fixture fixture;
  setup(&fixture);
  Client deaf = negotiated(&fixture), other = negotiated(&fixture);
  g_autofree char *text = g_strnfill(1024 * 1024, 'x'), *event = g_strconcat(text, "\r\n", NULL);
  for (int i = 0; i < 20; i++) {
    bgfs_qmp_server_tell(fixture.server, event);
    char *line = hear(&other);
    cr_assert_eq(line[0], 'x');
    free(line);
  }
  unsigned lines = 0;
  for (char *line = hear(&deaf); *line; line = hear(&deaf), lines++)
    free(line);
  cr_assert_lt(lines, 20, "its connection was closed");
  say(&other, "{'execute':'query-version'}");
  assert_hears(&other, "{\"return\":");
  hang_up(&deaf);
  hang_up(&other);
  teardown(&fixture);
}

Test(server, stopping_hangs_up, .timeout = 20)
{
  Fixture fixture;
  setup(&fixture);
  Client idle = negotiated(&fixture), half = negotiated(&fixture);
  say(&half, "{'execute':");
  stop(&fixture);
  assert_hears(&idle, "");
  assert_hears(&half, "");
  hang_up(&idle);
  hang_up(&half);
  teardown(&fixture);
}

typedef struct Talker {
  const Fixture *fixture;
  unsigned number;
} Talker;

static void *talk(void *data)
{
  Talker *talker = data;
  Client client = negotiated(talker->fixture);
  for (int i = 0; i < 20; i++) {
    g_autofree char *add = g_strdup_printf("{'execute':'blockdev-add','arguments':{'driver':'null-co','node-name':'n%u'"
                                           ",'size':4096,'auto-read-only':true}}",
                                           talker->number);
    g_autofree char *del =
        g_strdup_printf("{'execute':'blockdev-del','id':'last','arguments':{'node-name':'n%u'}}", talker->number);
    say(&client, add);
    say(&client, "{'execute':'query-named-block-nodes'}");
    say(&client, del);
    for (bool last = false; !last;) {
      char *line = hear(&client);
      last = strstr(line, "\"last\"");
      cr_assert(*line && !strstr(line, "\"error\""), "%s", line);
      free(line);
    }
  }
  hang_up(&client);
  return NULL;
}

Test(server, clients_work_side_by_side, .timeout = 60)
{
  enum { TALKERS = 8 };
  Fixture fixture;
  setup(&fixture);
  pthread_t threads[TALKERS];
  Talker talkers[TALKERS];
  for (unsigned i = 0; i < TALKERS; i++) {
    talkers[i] = (Talker){&fixture, i};
    cr_assert_eq(pthread_create(&threads[i], NULL, talk, &talkers[i]), 0);
  }
  for (unsigned i = 0; i < TALKERS; i++)
    pthread_join(threads[i], NULL);
  cr_assert_null(bg_graph_find(fixture.scratch.graph, "n0"));
  teardown(&fixture);
}

#include "fs/ctl/client.h"

#include "drivers/error.h"
#include "fs/qmp/framing.h"
#include "graph/escape.h"
#include "graph/json.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { PIECE = 64 * 1024 };

struct BgfsCtlClient {
  int fd;
  int timeout; /* ms */
  BgfsQmpFraming *framing;
  char piece[PIECE]; /* what was received and not yet taken apart: */
  size_t begin, end;
  GQueue events; /* JsonObject * */
  int wake;      /* see bgfs_ctl_client_set_wake() */
  gint64 last_id;
};

/* ── bytes ── */

/* µs; G_MAXINT64: never. */
static gint64 deadline_after(int timeout)
{
  return timeout < 0 ? G_MAXINT64 : g_get_monotonic_time() + (gint64)timeout * 1000;
}

static int remaining(gint64 deadline)
{
  if (deadline == G_MAXINT64)
    return -1;
  gint64 left = deadline - g_get_monotonic_time();
  return left <= 0 ? 0 : (int)MIN((left + 999) / 1000, G_MAXINT);
}

typedef enum { FAILED = -1, NOTHING, READY } Outcome;

/* Until the socket is ready for `events`. NOTHING: the deadline passed, or `wake` can be read. */
static Outcome wait_for(const BgfsCtlClient *client, short events, gint64 deadline, int wake, GError **error)
{
  struct pollfd fds[] = {{client->fd, events, 0}, {wake, POLLIN, 0}};
  int result;
  do
    result = poll(fds, 2, remaining(deadline));
  while (result < 0 && errno == EINTR);
  if (result < 0) {
    bg_set_error_errno(error, errno, "cannot wait");
    return FAILED;
  }
  return fds[1].revents || !fds[0].revents ? NOTHING : READY;
}

static bool refuse_timeout(const char *what, GError **error)
{
  bg_set_error(error, ETIMEDOUT, "%s: no answer in time", what);
  return false;
}

static bool send_all(BgfsCtlClient *client, const char *text, gint64 deadline, GError **error)
{
  for (size_t length = strlen(text); length > 0;) {
    ssize_t sent = send(client->fd, text, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
      bg_set_error_errno(error, errno, "cannot send");
      return false;
    }
    text += MAX(sent, 0);
    length -= (size_t)MAX(sent, 0);
    Outcome outcome = length > 0 ? wait_for(client, POLLOUT, deadline, -1, error) : READY;
    if (outcome != READY)
      return outcome == NOTHING ? refuse_timeout("the control socket", error) : false;
  }
  return true;
}

static bool receive(BgfsCtlClient *client, GError **error)
{
  ssize_t got = recv(client->fd, client->piece, PIECE, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR))
    return true;
  if (got <= 0) {
    bg_set_error(error, EPIPE, "the control socket was closed by the other side");
    return false;
  }
  client->begin = 0;
  client->end = (size_t)got;
  return true;
}

/* ── messages ── */

static JsonObject *member_object(JsonObject *object, const char *name)
{
  JsonNode *member = json_object_get_member(object, name);
  return member && JSON_NODE_HOLDS_OBJECT(member) ? json_node_get_object(member) : NULL;
}

static const char *member_text(JsonObject *object, const char *name)
{
  JsonNode *member = json_object_get_member(object, name);
  bool is_text = member && JSON_NODE_HOLDS_VALUE(member) && json_node_get_value_type(member) == G_TYPE_STRING;
  return is_text ? json_node_get_string(member) : NULL;
}

/* NULL: EPROTO. */
static JsonObject *parse_message(const char *text, GError **error)
{
  g_autoptr(GError) syntax = NULL;
  g_autoptr(JsonNode) root =
      g_utf8_validate(text, -1, NULL) ? bg_json_parse(text, BGFS_QMP_MAX_NESTING, &syntax) : NULL;
  if (root && JSON_NODE_HOLDS_OBJECT(root))
    return json_object_ref(json_node_get_object(root));
  bg_set_error(error, EPROTO, "the control socket does not speak QMP: %s", syntax ? syntax->message : "no JSON object");
  return NULL;
}

/* Of what was received already. NULL without an error: it is not whole yet. */
static JsonObject *take_message(BgfsCtlClient *client, GError **error)
{
  while (client->begin < client->end) {
    size_t taken;
    const char *text;
    BgfsQmpFrame frame = bgfs_qmp_framing_feed(client->framing, client->piece + client->begin,
                                               client->end - client->begin, &taken, &text);
    client->begin += taken;
    if (frame == BGFS_QMP_FRAME_VALUE)
      return parse_message(text, error);
    if (frame == BGFS_QMP_FRAME_BROKEN) {
      bg_set_error(error, EPROTO, "the control socket does not speak QMP: %s", text);
      return NULL;
    }
  }
  return NULL;
}

/* NOTHING: as wait_for(). *message is the caller's. */
static Outcome next_message(BgfsCtlClient *client, gint64 deadline, int wake, JsonObject **message, GError **error)
{
  g_autoptr(GError) failure = NULL;
  for (;;) {
    JsonObject *found = take_message(client, &failure);
    if (found) {
      *message = found;
      return READY;
    }
    Outcome outcome = failure ? FAILED : wait_for(client, POLLIN, deadline, wake, &failure);
    if (outcome == NOTHING)
      return NOTHING;
    if (outcome == FAILED || !receive(client, &failure)) {
      g_propagate_error(error, g_steal_pointer(&failure));
      return FAILED;
    }
  }
}

/* Takes the message if it is an event. */
static bool keep_event(BgfsCtlClient *client, JsonObject *message)
{
  if (!member_text(message, "event"))
    return false;
  if (!member_object(message, "data"))
    json_object_set_object_member(message, "data", json_object_new());
  if (g_queue_get_length(&client->events) >= BGFS_CTL_MAX_EVENTS)
    json_object_unref(g_queue_pop_head(&client->events));
  g_queue_push_tail(&client->events, message);
  return true;
}

/* ── commands ── */

static char *request_text(const char *command, JsonObject *arguments, gint64 id)
{
  JsonObject *request = json_object_new();
  json_object_set_string_member(request, "execute", command);
  if (arguments)
    json_object_set_object_member(request, "arguments", arguments);
  json_object_set_int_member(request, "id", id);
  g_autoptr(JsonNode) root = json_node_init_object(json_node_alloc(), request);
  json_object_unref(request);
  g_autofree char *text = json_to_string(root, FALSE);
  return g_strconcat(text, "\n", NULL);
}

static bool is_answer(JsonObject *message, gint64 id)
{
  JsonNode *given = json_object_get_member(message, "id");
  return given && JSON_NODE_HOLDS_VALUE(given) && json_node_get_value_type(given) == G_TYPE_INT64 &&
         json_node_get_int(given) == id;
}

/* What a message that is neither event nor greeting holds. */
static JsonNode *result_of(JsonObject *answer, GError **error)
{
  JsonNode *result = json_object_get_member(answer, "return");
  if (result)
    return json_node_ref(result);
  JsonObject *refusal = member_object(answer, "error");
  const char *description = refusal ? member_text(refusal, "desc") : NULL;
  g_autofree char *shown = bg_escape(description ? description : "refused without a reason");
  bg_set_error(error, EINVAL, "%s", shown);
  return NULL;
}

/* The answer to `id`; events on the way are kept, other answers are nobody's. */
static JsonNode *await_answer(BgfsCtlClient *client, const char *command, gint64 id, gint64 deadline, GError **error)
{
  for (;;) {
    JsonObject *message = NULL;
    Outcome outcome = next_message(client, deadline, client->wake, &message, error);
    if (outcome == NOTHING && remaining(deadline) > 0)
      bg_set_error(error, EINTR, "%s: interrupted", command);
    else if (outcome == NOTHING)
      refuse_timeout(command, error);
    if (outcome != READY)
      return NULL;
    if (keep_event(client, message))
      continue;
    g_autoptr(JsonObject) answer = message;
    if (is_answer(answer, id))
      return result_of(answer, error);
  }
}

JsonNode *bgfs_ctl_client_call(BgfsCtlClient *client, const char *command, JsonObject *arguments, GError **error)
{
  gint64 id = ++client->last_id;
  gint64 deadline = deadline_after(client->timeout);
  g_autofree char *text = request_text(command, arguments, id);
  if (!send_all(client, text, deadline, error))
    return NULL;
  return await_answer(client, command, id, deadline, error);
}

void bgfs_ctl_client_set_wake(BgfsCtlClient *client, int wake)
{
  client->wake = wake;
}

bool bgfs_ctl_client_do(BgfsCtlClient *client, const char *command, JsonObject *arguments, GError **error)
{
  g_autoptr(JsonNode) result = bgfs_ctl_client_call(client, command, arguments, error);
  return result;
}

JsonObject *bgfs_ctl_client_event(BgfsCtlClient *client, int timeout, int wake, GError **error)
{
  gint64 deadline = deadline_after(timeout);
  while (g_queue_is_empty(&client->events)) {
    JsonObject *message = NULL;
    if (next_message(client, deadline, wake, &message, error) != READY)
      return NULL;
    if (!keep_event(client, message))
      json_object_unref(message);
  }
  return g_queue_pop_head(&client->events);
}

/* ── the connection ── */

static bool connect_to(BgfsCtlClient *client, const char *path, gint64 deadline, GError **error)
{
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    bg_set_error(error, ENAMETOOLONG, "the path is longer than %zu bytes", sizeof address.sun_path - 1);
    return false;
  }
  memcpy(address.sun_path, path, strlen(path));
  client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  /* EAGAIN: more connect at this moment than the server's queue holds */
  while (client->fd >= 0 && connect(client->fd, (struct sockaddr *)&address, sizeof address) < 0) {
    int err = errno;
    if (err != EINTR && (err != EAGAIN || remaining(deadline) == 0)) {
      bg_set_error_errno(error, err == EAGAIN ? ETIMEDOUT : err, "cannot connect");
      return false;
    }
    g_usleep(10 * 1000);
  }
  if (client->fd < 0)
    bg_set_error_errno(error, errno, "cannot make a socket");
  return client->fd >= 0;
}

/* A server that does not want us says so in place of a greeting. */
static bool hear_greeting(BgfsCtlClient *client, gint64 deadline, GError **error)
{
  JsonObject *message = NULL;
  Outcome outcome = next_message(client, deadline, -1, &message, error);
  if (outcome != READY)
    return outcome == NOTHING ? refuse_timeout("greeting", error) : false;
  g_autoptr(JsonObject) greeting = message;
  if (member_object(greeting, "QMP"))
    return true;
  if (member_object(greeting, "error")) {
    g_autoptr(JsonNode) nothing = result_of(greeting, error);
    return false;
  }
  bg_set_error(error, EPROTO, "the control socket does not speak QMP: no greeting");
  return false;
}

BgfsCtlClient *bgfs_ctl_client_new(const char *path, int timeout, GError **error)
{
  g_autoptr(BgfsCtlClient) client = g_new0(BgfsCtlClient, 1);
  gint64 deadline = deadline_after(timeout);
  client->fd = client->wake = -1;
  client->timeout = timeout;
  client->framing = bgfs_qmp_framing_new_bounded(BGFS_CTL_MAX_ANSWER, BGFS_CTL_MAX_TOKENS);
  if (!connect_to(client, path, deadline, error) || !hear_greeting(client, deadline, error) ||
      !bgfs_ctl_client_do(client, "qmp_capabilities", NULL, error))
    return NULL;
  return g_steal_pointer(&client);
}

void bgfs_ctl_client_free(BgfsCtlClient *client)
{
  if (!client)
    return;
  if (client->fd >= 0)
    close(client->fd);
  bgfs_qmp_framing_free(client->framing);
  g_queue_clear_full(&client->events, (GDestroyNotify)json_object_unref);
  g_free(client);
}

int bgfs_ctl_client_peer(const BgfsCtlClient *client)
{
  struct ucred peer;
  socklen_t length = sizeof peer;
  return getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid > 0 ? peer.pid : -1;
}

#include "fs/qmp/client.h"

#include "fs/qmp/framing.h"
#include "fs/qmp/message.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  READ_SIZE = 64 * 1024,
  ENOUGH = 1024 * 1024, /* bytes of output that wait: no further command is carried out */
  FAREWELL_MS = 5000    /* so long the last answers may take, each time */
};

struct BgfsQmpClient {
  BgfsQmpSession session;
  BgfsQmpFraming *framing;
  BgfsQmpOutput output;
  int fd, wake;
  pthread_mutex_t order; /* of answers and events: `listening` changes with the answer that says so */
  bool listening;        /* events are sent */
  atomic_bool stopping;
};

BgfsQmpClient *bgfs_qmp_client_new(const BgfsQmpMount *mount, int fd)
{
  int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake < 0)
    return NULL;
  BgfsQmpClient *client = g_new0(BgfsQmpClient, 1);
  client->session.mount = mount;
  client->framing = bgfs_qmp_framing_new();
  client->fd = fd;
  client->wake = wake;
  bgfs_qmp_output_init(&client->output, fd);
  pthread_mutex_init(&client->order, NULL);
  return client;
}

void bgfs_qmp_client_free(BgfsQmpClient *client)
{
  bgfs_qmp_framing_free(client->framing);
  bgfs_qmp_output_clear(&client->output);
  pthread_mutex_destroy(&client->order);
  close(client->fd);
  close(client->wake);
  g_free(client);
}

static void wake(BgfsQmpClient *client)
{
  eventfd_write(client->wake, 1);
}

void bgfs_qmp_client_tell(BgfsQmpClient *client, const char *event)
{
  pthread_mutex_lock(&client->order);
  bool sent = !client->listening || bgfs_qmp_output_add(&client->output, event);
  pthread_mutex_unlock(&client->order);
  if (!sent)
    wake(client);
}

void bgfs_qmp_client_stop(BgfsQmpClient *client)
{
  client->stopping = true;
  wake(client);
}

static bool lives(BgfsQmpClient *client)
{
  return !client->stopping && !bgfs_qmp_output_is_broken(&client->output);
}

/* Waits for `events` on the socket, for room if output waits, and to be woken. What happened on the socket; 0 too after `timeout` ms (-1: none). */
static short wait_for(BgfsQmpClient *client, short events, int timeout)
{
  if (bgfs_qmp_output_waiting(&client->output) > 0)
    events |= POLLOUT;
  struct pollfd fds[] = {{client->fd, events, 0}, {client->wake, POLLIN, 0}};
  if (poll(fds, G_N_ELEMENTS(fds), timeout) <= 0)
    return 0;
  eventfd_t count;
  if (fds[1].revents)
    eventfd_read(client->wake, &count);
  if (fds[0].revents & POLLOUT)
    bgfs_qmp_output_send(&client->output);
  return fds[0].revents;
}

static void answer(BgfsQmpClient *client, char *text)
{
  pthread_mutex_lock(&client->order);
  bgfs_qmp_output_add(&client->output, text);
  client->listening = client->session.negotiated;
  pthread_mutex_unlock(&client->order);
  g_free(text);
  while (lives(client) && bgfs_qmp_output_waiting(&client->output) > ENOUGH)
    wait_for(client, 0, -1);
}

static void take_bytes(BgfsQmpClient *client, const char *bytes, size_t length)
{
  while (length > 0 && lives(client)) {
    size_t taken;
    const char *text;
    BgfsQmpFrame frame = bgfs_qmp_framing_feed(client->framing, bytes, length, &taken, &text);
    if (frame == BGFS_QMP_FRAME_VALUE)
      answer(client, bgfs_qmp_dispatch(&client->session, text));
    else if (frame == BGFS_QMP_FRAME_BROKEN)
      answer(client, bgfs_qmp_dispatch_broken(text));
    bytes += taken;
    length -= taken;
  }
}

/* False: nothing more will come. */
static bool take_input(BgfsQmpClient *client)
{
  char buffer[READ_SIZE];
  ssize_t count = recv(client->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
  if (count > 0)
    take_bytes(client, buffer, (size_t)count);
  return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

static void greet(BgfsQmpClient *client)
{
  g_autoptr(JsonNode) version = bgfs_qmp_version();
  answer(client, bgfs_qmp_greeting(version));
}

/* Who only has shut down its own side still reads. */
static void say_farewell(BgfsQmpClient *client)
{
  size_t before = SIZE_MAX;
  for (;;) {
    size_t left = bgfs_qmp_output_waiting(&client->output);
    if (left == 0 || left >= before || !lives(client))
      return;
    before = left;
    wait_for(client, 0, FAREWELL_MS);
  }
}

void bgfs_qmp_client_serve(BgfsQmpClient *client)
{
  bool open = true;
  greet(client);
  while (open && lives(client)) {
    short happened = wait_for(client, POLLIN, -1);
    if (happened & (POLLIN | POLLHUP | POLLERR))
      open = take_input(client);
  }
  bgfs_qmp_output_send(&client->output);
  say_farewell(client);
}

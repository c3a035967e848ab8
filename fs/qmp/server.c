#include "fs/qmp/server.h"

#include "drivers/error.h"
#include "fs/qmp/client.h"
#include "fs/qmp/error.h"
#include "fs/qmp/message.h"
#include "fs/qmp/objects.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAUSE_MS = 100 }; /* before trying again when no connection can be taken */

struct BgfsQmpServer {
  BgfsQmpSocket socket;
  BgfsQmpMount mount;
  BgfsQmpObjects *objects;
  int wake;
  pthread_t thread;
  bool started;
  pthread_mutex_t lock;
  pthread_cond_t ended;
  GPtrArray *clients; /* (lock) BgfsQmpClient *, each with its thread */
  bool stopping;      /* (lock) */
};

typedef struct Connection {
  BgfsQmpServer *server;
  BgfsQmpClient *client;
} Connection;

/* ── clients ── */

static void *serve(void *data)
{
  Connection *connection = data;
  BgfsQmpServer *server = connection->server;
  bgfs_qmp_client_serve(connection->client);
  pthread_mutex_lock(&server->lock);
  g_ptr_array_remove(server->clients, connection->client);
  bgfs_qmp_client_free(connection->client);
  g_free(connection);
  pthread_cond_signal(&server->ended);
  pthread_mutex_unlock(&server->lock);
  return NULL;
}

/* Under the lock. */
static bool start_thread(BgfsQmpServer *server, BgfsQmpClient *client)
{
  pthread_t thread;
  Connection *connection = g_new0(Connection, 1);
  *connection = (Connection){server, client};
  errno = pthread_create(&thread, NULL, serve, connection);
  if (errno) {
    g_free(connection);
    return false;
  }
  pthread_detach(thread);
  g_ptr_array_add(server->clients, client);
  return true;
}

static void turn_away(int fd, const char *why)
{
  g_autoptr(GError) error = NULL;
  bgfs_qmp_set_error(&error, BGFS_QMP_GENERIC_ERROR, "%s", why);
  g_autofree char *line = bgfs_qmp_refusal(error, NULL);
  send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL);
  close(fd);
}

static void admit(BgfsQmpServer *server, int fd)
{
  BgfsQmpClient *client = bgfs_qmp_client_new(&server->mount, fd);
  if (!client) {
    turn_away(fd, g_strerror(errno));
    return;
  }
  pthread_mutex_lock(&server->lock);
  bool full = server->clients->len >= BGFS_QMP_MAX_CLIENTS;
  bool taken = !full && start_thread(server, client);
  pthread_mutex_unlock(&server->lock);
  if (taken)
    return;
  int copy = dup(fd);
  bgfs_qmp_client_free(client);
  if (copy >= 0)
    turn_away(copy, full ? "Too many clients" : "No thread can be had");
}

/* ── connections ── */

static bool is_stopping(BgfsQmpServer *server)
{
  pthread_mutex_lock(&server->lock);
  bool stopping = server->stopping;
  pthread_mutex_unlock(&server->lock);
  return stopping;
}

static void wait_woken(BgfsQmpServer *server, int timeout)
{
  struct pollfd fd = {server->wake, POLLIN, 0};
  poll(&fd, 1, timeout);
}

static void accept_one(BgfsQmpServer *server)
{
  int fd = accept4(server->socket.fd, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0 && errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
    wait_woken(server, PAUSE_MS); /* no descriptor is left: some client may leave */
  else if (fd >= 0 && bgfs_qmp_socket_admits(fd))
    admit(server, fd);
  else if (fd >= 0)
    turn_away(fd, "Only root and the user who runs this may connect");
}

static void *listen_for_clients(void *data)
{
  BgfsQmpServer *server = data;
  while (!is_stopping(server)) {
    struct pollfd fds[] = {{server->socket.fd, POLLIN, 0}, {server->wake, POLLIN, 0}};
    if (poll(fds, G_N_ELEMENTS(fds), -1) > 0 && fds[0].revents)
      accept_one(server);
  }
  return NULL;
}

/* ── the whole ── */

BgfsQmpServer *bgfs_qmp_server_new(const char *path, GError **error)
{
  BgfsQmpServer *server = g_new0(BgfsQmpServer, 1);
  server->wake = -1;
  pthread_mutex_init(&server->lock, NULL);
  pthread_cond_init(&server->ended, NULL);
  server->clients = g_ptr_array_new();
  server->objects = bgfs_qmp_objects_new();
  if (!bgfs_qmp_socket_open(&server->socket, path, error)) {
    g_prefix_error(error, "--qmp: ");
    bgfs_qmp_server_free(server);
    return NULL;
  }
  server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (server->wake >= 0)
    return server;
  bg_set_error_errno(error, errno, "--qmp");
  bgfs_qmp_server_free(server);
  return NULL;
}

void bgfs_qmp_server_free(BgfsQmpServer *server)
{
  if (!server)
    return;
  bgfs_qmp_socket_close(&server->socket);
  if (server->wake >= 0)
    close(server->wake);
  g_ptr_array_unref(server->clients);
  bgfs_qmp_objects_free(server->objects);
  pthread_cond_destroy(&server->ended);
  pthread_mutex_destroy(&server->lock);
  g_free(server);
}

bool bgfs_qmp_server_start(BgfsQmpServer *server, const BgfsQmpMount *mount)
{
  server->mount = *mount;
  server->mount.objects = server->objects;
  errno = pthread_create(&server->thread, NULL, listen_for_clients, server);
  return server->started = errno == 0;
}

void bgfs_qmp_server_stop(BgfsQmpServer *server)
{
  if (!server || !server->started)
    return;
  pthread_mutex_lock(&server->lock);
  server->stopping = true;
  pthread_mutex_unlock(&server->lock);
  eventfd_write(server->wake, 1);
  pthread_join(server->thread, NULL);
  pthread_mutex_lock(&server->lock);
  for (guint i = 0; i < server->clients->len; i++)
    bgfs_qmp_client_stop(server->clients->pdata[i]);
  while (server->clients->len > 0)
    pthread_cond_wait(&server->ended, &server->lock);
  pthread_mutex_unlock(&server->lock);
  server->started = false;
}

void bgfs_qmp_server_tell(BgfsQmpServer *server, const char *event)
{
  pthread_mutex_lock(&server->lock);
  for (guint i = 0; i < server->clients->len; i++)
    bgfs_qmp_client_tell(server->clients->pdata[i], event);
  pthread_mutex_unlock(&server->lock);
}

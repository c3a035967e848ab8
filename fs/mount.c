#include "fs/mount.h"

#include "fs/buffer.h"
#include "fs/build.h"
#include "fs/daemon.h"
#include "fs/device.h"
#include "fs/fan-out.h"
#include "fs/image.h"
#include "fs/images.h"
#include "fs/log.h"
#include "fs/mountpoint.h"
#include "fs/path.h"
#include "fs/qmp/events.h"
#include "fs/qmp/server.h"
#include "fs/session.h"
#include "fs/signals.h"
#include "fs/waiting.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SILENCE = 5000 /* ms: how long a server may think while a mount ends */ };

/* One mount, from its options to its end. */
typedef struct Mount {
  const BgfsOptions *options;
  const char *mountpoint;
  int parent; /* who waits: for bgfs_daemon_ready(); -1 in front */
  BgfsFs fs;
  BgfsSignals *signals;
  pthread_mutex_t lock; /* guards `session` against the signal thread */
  BgfsSession *session; /* NULL until it is mounted, and again when its end begins */
  unsigned signals_seen;
  BgfsFanOut listeners;
  BgfsQmpServer *qmp; /* NULL: nobody asked for it */
  BgfsQmpEvents *events;
  atomic_bool quit; /* asked for over the control socket */
  atomic_bool shutdown_told;
} Mount;

static void print_error(const GError *error)
{
  g_critical("%s", error->message);
}

static void on_ready(void *data)
{
  Mount *mount = data;
  if (mount->parent < 0)
    return;
  bgfs_log_to_syslog();
  bgfs_daemon_ready(mount->parent);
  mount->parent = -1;
}

static void on_first_open(void *data)
{
  Mount *mount = data;
  bgfs_session_raise_read_ahead(mount->session);
}

static void tell_shutdown(Mount *mount, const char *reason)
{
  if (atomic_exchange(&mount->shutdown_told, true))
    return;
  JsonObject *data = json_object_new();
  json_object_set_boolean_member(data, "guest", FALSE);
  json_object_set_string_member(data, "reason", reason);
  bgfs_qmp_events_add(mount->events, "SHUTDOWN", data);
}

/* Nobody ends the loop before FUSE's own threads have, and they may wait for a server. */
static void on_gone(void *data)
{
  bg_graph_hurry(((Mount *)data)->fs.graph, SILENCE);
}

/* Before the mount stands there is nothing to clean up: nothing was written. The first signal then takes the mount
 * away and lets open files finish, the second one does not wait for them. */
static void on_signal(void *data, int signal)
{
  Mount *mount = data;
  pthread_mutex_lock(&mount->lock);
  if (!mount->session && mount->signals_seen == 0) {
    g_critical("interrupted: %s", strsignal(signal));
    _exit(EXIT_FAILURE);
  }
  if (mount->session && mount->signals_seen++ == 0) {
    tell_shutdown(mount, atomic_load(&mount->quit) ? "host-qmp-quit" : "host-signal");
    bg_graph_hurry(mount->fs.graph, SILENCE);
    bgfs_session_detach(mount->session);
  } else if (mount->session) {
    bgfs_notify_stop(mount->fs.notify); /* while requests are still answered: see notify.h */
    bgfs_session_stop(mount->session);
  }
  pthread_mutex_unlock(&mount->lock);
}

static void fs_init(Mount *mount)
{
  BgfsFs *fs = &mount->fs;
  fs->inodes = bgfs_inodes_new();
  fs->notify = bgfs_notify_new();
  bgfs_pool_init(&fs->changes, UINT_MAX);
  fs->closing = bgfs_closing_new();
  fs->opened = bgfs_opened_new();
  fs->watch = bgfs_watch_new();
  fs->read_only = mount->options->read_only;
  fs->caching = mount->options->caching;
  bgfs_readers_init(&fs->readers, g_get_num_processors());
  fs->wants_ring = !mount->options->no_io_uring;
  fs->init_reply.wants_passthrough = !mount->options->no_passthrough;
  fs->directory = g_get_current_dir();
  fs->qmp = mount->options->qmp;
  fs->ready = on_ready;
  fs->first_open = on_first_open;
  fs->gone = on_gone;
  fs->callback_data = mount;
  clock_gettime(CLOCK_REALTIME, &fs->started);
}

/* What `mount` and `df` show. */
static char *source_name(const BgfsOptions *options)
{
  return options->image ? bgfs_absolute_path(options->image) : g_strdup("blockgraphfs");
}

/* ── the control socket ── */

static bool open_socket(Mount *mount, GError **error)
{
  if (!mount->options->qmp)
    return true;
  mount->qmp = bgfs_qmp_server_new(mount->options->qmp, error);
  return mount->qmp;
}

/* As a signal would. */
static void on_quit(void *data)
{
  Mount *mount = data;
  atomic_store(&mount->quit, true);
  kill(getpid(), SIGTERM);
}

/* False: errno. */
static bool start_qmp(Mount *mount)
{
  const BgfsQmpMount served = {.graph = mount->fs.graph,
                               .notify = mount->fs.notify,
                               .closing = mount->fs.closing,
                               .mountpoint = mount->mountpoint,
                               .secrets = mount->options->secrets,
                               .quit = on_quit,
                               .quit_data = mount};
  if (!mount->qmp)
    return true;
  return bgfs_qmp_events_start(mount->events, mount->qmp, mount->fs.graph) &&
         bgfs_qmp_server_start(mount->qmp, &served);
}

static void stop_qmp(Mount *mount)
{
  tell_shutdown(mount, "host-ui");
  bgfs_qmp_events_stop(mount->events);
  bgfs_qmp_server_stop(mount->qmp);
}

/* ── beginning and end ── */

static bool start(Mount *mount, GError **error)
{
  BgfsFs *fs = &mount->fs;
  if (!open_socket(mount, error) || !bgfs_build(fs->graph, mount->options, error) ||
      !bgfs_images_check(fs->graph, mount->mountpoint, error))
    return false;
  g_autofree char *source = source_name(mount->options);
  BgfsSession *session = bgfs_session_mount(fs, mount->options, source, mount->mountpoint, error);
  if (!session)
    return false;
  pthread_mutex_lock(&mount->lock);
  mount->session = session;
  pthread_mutex_unlock(&mount->lock);
  if (bgfs_notify_start(fs->notify, bgfs_session_fuse(session), fs->inodes) && start_qmp(mount))
    return true;
  bg_set_error_errno(error, errno, "cannot start a thread");
  return false;
}

static bool serve(Mount *mount)
{
  int result = bgfs_session_loop(mount->session);
  if (result < 0)
    g_critical("the connection to the kernel failed: %s", g_strerror(-result));
  return result == 0;
}

/* From the kernel down to the images. */
static bool stop(Mount *mount)
{
  BgfsFs *fs = &mount->fs;
  pthread_mutex_lock(&mount->lock);
  BgfsSession *session = g_steal_pointer(&mount->session);
  mount->signals_seen++;
  pthread_mutex_unlock(&mount->lock);

  bgfs_device_stop(fs);
  stop_qmp(mount);
  bgfs_notify_stop(fs->notify);
  bg_graph_hurry(fs->graph, SILENCE);
  bgfs_inodes_finish(fs->inodes);
  bgfs_pool_clear(&fs->changes);
  bgfs_watch_free(fs->watch);
  bgfs_session_free(session);
  bgfs_device_clear(fs);
  bgfs_readers_clear(&fs->readers);
  bgfs_opened_free(fs->opened);
  bgfs_inodes_free(fs->inodes);
  g_autoptr(GError) error = NULL;
  bool ok = bg_graph_close(fs->graph, &error);
  if (!ok)
    g_critical("data may be lost: %s", error->message);
  bgfs_closing_free(fs->closing);
  bgfs_notify_free(fs->notify);
  bgfs_qmp_server_free(mount->qmp);
  bgfs_qmp_events_free(mount->events);
  g_free(fs->directory);
  return ok;
}

/* glibc would give each thread an arena: what one thread puts into a cache and another drops leaves room in many places, none of which is given back.
 * Requests allocate so little that threads hardly meet in one. */
static void keep_memory_together(void)
{
#ifdef __GLIBC__
  mallopt(M_ARENA_MAX, 1);
#endif
}

static int run(Mount *mount)
{
  keep_memory_together();
  pthread_mutex_init(&mount->lock, NULL);
  mount->signals = bgfs_signals_new(on_signal, mount);
  if (!mount->signals || bgfs_buffers_init(&mount->fs) < 0) {
    g_critical("cannot start: %s", g_strerror(errno));
    return EXIT_FAILURE;
  }
  fs_init(mount);
  mount->events = bgfs_qmp_events_new();
  mount->listeners =
      (BgfsFanOut){{&bgfs_notify_listener, &bgfs_qmp_events_listener}, {mount->fs.notify, mount->events}};
  mount->fs.graph = bgfs_graph_new(mount->options, &bgfs_fan_out_listener, &mount->listeners);

  g_autoptr(GError) error = NULL;
  bool ok = start(mount, &error);
  if (ok)
    ok = serve(mount);
  else
    print_error(error);
  ok = stop(mount) && ok;
  bgfs_signals_free(mount->signals);
  bgfs_buffers_clear(&mount->fs);
  pthread_mutex_destroy(&mount->lock);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

int bgfs_mount(const BgfsOptions *options)
{
  bgfs_log_start(options->debug);
  g_autoptr(GError) error = NULL;
  g_autofree char *mountpoint = bgfs_mountpoint_check(options->mountpoint, options->image, &error);
  if (!mountpoint) {
    print_error(error);
    return EXIT_FAILURE;
  }
  int parent = -1;
  if (!options->foreground) {
    parent = bgfs_daemon_fork();
    if (parent < 0) {
      g_critical("cannot fork: %s", g_strerror(errno));
      return EXIT_FAILURE;
    }
  }
  Mount mount = {.options = options, .mountpoint = mountpoint, .parent = parent};
  return run(&mount);
}

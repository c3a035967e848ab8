#include "fs/session.h"

#include "drivers/error.h"
#include "fs/device.h"
#include "fs/log.h"
#include "fs/ops.h"
#include "fs/stderr.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { READ_AHEAD_KIB = 1024, WAKE_INTERVAL = 20 /* ms */ };

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000
#endif

/* Which mount it is. Numbers of mounts and devices are used again, but for `unique` ones. */
typedef struct Identity {
  unsigned major, minor;
  uint64_t mount;
  bool unique;
} Identity;

struct BgfsSession {
  struct fuse_session *fuse;
  char *mountpoint;
  Identity identity;
  pthread_t loop_thread;
  atomic_bool looping;
};

struct fuse_session *bgfs_session_fuse(BgfsSession *session)
{
  return session->fuse;
}

/* As root all users may come, and the kernel checks them against the files' modes. */
static char *fuse_options(const BgfsOptions *options, const char *source)
{
  bool root = geteuid() == 0;
  GString *list = g_string_new(NULL);
  bgfs_mount_options_add(list, "fsname", source);
  bgfs_mount_options_add(list, "subtype", "blockgraphfs");
  g_autofree char *max_read = g_strdup_printf("%d", BGFS_MAX_READ);
  bgfs_mount_options_add(list, "max_read", max_read);
  if (root)
    bgfs_mount_options_add(list, "allow_other", NULL);
  if (root || options->allow_other)
    bgfs_mount_options_add(list, "default_permissions", NULL);
  if (options->debug)
    bgfs_mount_options_add(list, "debug", NULL);
  if (options->fuse->len > 0)
    g_string_append_printf(list, ",%s", options->fuse->str);
  return g_string_free(list, FALSE);
}

/* What is mounted at the path now, without asking its daemon. */
static bool identify(const char *path, Identity *identity)
{
  struct statx st;
  if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_MNT_ID | STATX_MNT_ID_UNIQUE, &st) < 0)
    return false;
  *identity = (Identity){st.stx_dev_major, st.stx_dev_minor, st.stx_mnt_id, st.stx_mask & STATX_MNT_ID_UNIQUE};
  return true;
}

static bool still_mounted(const BgfsSession *session)
{
  Identity now;
  return identify(session->mountpoint, &now) && now.major == session->identity.major &&
         now.minor == session->identity.minor && now.mount == session->identity.mount;
}

static void set_mount_error(GError **error, const char *mountpoint, const char *said)
{
  g_auto(GStrv) lines = g_strsplit(said, "\n", -1);
  const char *line = "cannot mount";
  for (char **l = lines; *l; l++) {
    if (**l)
      line = *l;
  }
  const char *hint = strstr(said, "user_allow_other")
                         ? " (an administrator may put the line user_allow_other there; or leave out allow_other)"
                         : "";
  bg_set_error(error, EIO, "mountpoint '%s': %s%s", mountpoint, line, hint);
}

static struct fuse_session *mount_captured(BgfsFs *fs, const char *options, const char *mountpoint)
{
  struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
  struct fuse_session *fuse = NULL;
  if (fuse_opt_add_arg(&args, "blockgraphfs") == 0 && fuse_opt_add_arg(&args, "-o") == 0 &&
      fuse_opt_add_arg(&args, options) == 0)
    fuse = fuse_session_new(&args, &bgfs_ops, sizeof(bgfs_ops), fs);
  fuse_opt_free_args(&args);
  if (fuse && fuse_session_mount(fuse, mountpoint) != 0) {
    fuse_session_destroy(fuse);
    return NULL;
  }
  return fuse;
}

void bgfs_session_raise_read_ahead(BgfsSession *session)
{
  g_autofree char *path =
      g_strdup_printf("/sys/class/bdi/%u:%u/read_ahead_kb", session->identity.major, session->identity.minor);
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return;
  if (dprintf(fd, "%d", READ_AHEAD_KIB) < 0)
    g_debug("%s: %s", path, g_strerror(errno));
  close(fd);
}

BgfsSession *bgfs_session_mount(BgfsFs *fs, const BgfsOptions *options, const char *source, const char *mountpoint,
                                GError **error)
{
  g_autofree char *fuse_opts = fuse_options(options, source);
  g_autofree char *said = NULL;
  BgfsStderr capture;
  bgfs_stderr_begin(&capture);
  struct fuse_session *fuse = mount_captured(fs, fuse_opts, mountpoint);
  said = bgfs_stderr_end(&capture);
  if (!fuse) {
    set_mount_error(error, mountpoint, said);
    return NULL;
  }
  BgfsSession *session = g_new0(BgfsSession, 1);
  session->fuse = fuse;
  session->mountpoint = g_strdup(mountpoint);
  session->loop_thread = pthread_self();
  fs->session = fuse;
  fs->passthrough.fuse_fd = fuse_session_fd(fuse);
  if (bgfs_device_install(fs) < 0)
    g_warning("writes will be slower: libfuse takes no input and output of ours");
  if (!identify(mountpoint, &session->identity))
    g_warning("mountpoint '%s': %s", mountpoint, g_strerror(errno));
  return session;
}

/* Ends the connection. fuse_session_unmount() would also unmount whatever is at the path by now, unless it finds
 * its descriptor in error: it gets one that is, a pipe that nobody reads. */
static void disconnect(struct fuse_session *fuse)
{
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0)
    return;
  dup3(ends[1], fuse_session_fd(fuse), O_CLOEXEC);
  close(ends[0]);
  close(ends[1]);
  fuse_session_unmount(fuse);
}

/* Normally the mount is gone already. It is not after an error or if somebody aborted the connection. That ends
 * first: nobody would answer what unmounting asks for. */
void bgfs_session_free(BgfsSession *session)
{
  if (!session)
    return;
  struct pollfd fd = {fuse_session_fd(session->fuse), 0, 0};
  bool dead = poll(&fd, 1, 0) == 1 && fd.revents & POLLERR;
  disconnect(session->fuse);
  fuse_session_destroy(session->fuse);
  if (!dead || session->identity.unique)
    bgfs_session_detach(session);
  g_free(session->mountpoint);
  g_free(session);
}

static void wake(int signal)
{
  (void)signal;
}

int bgfs_session_loop(BgfsSession *session)
{
  struct sigaction action = {.sa_handler = wake}; /* no SA_RESTART: it shall interrupt */
  sigaction(SIGUSR1, &action, NULL);
  struct fuse_loop_config *config = fuse_loop_cfg_create();
  fuse_loop_cfg_set_clone_fd(config, 1);
  fuse_loop_cfg_set_max_threads(config, BGFS_THREADS);
  session->looping = true;
  int result = fuse_session_loop_mt(session->fuse, config);
  session->looping = false;
  fuse_loop_cfg_destroy(config);
  return MIN(result, 0);
}

void bgfs_session_detach(BgfsSession *session)
{
  if (!still_mounted(session)) /* the path alone does not tell: something else may be there by now */
    return;
  if (umount2(session->mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
    return;
  char *argv[] = {"fusermount3", "-u", "-q", "-z", "--", session->mountpoint, NULL};
  g_autoptr(GError) error = NULL;
  if (!g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, &error))
    g_warning("cannot unmount '%s': %s", session->mountpoint, error->message);
}

void bgfs_session_stop(BgfsSession *session)
{
  fuse_session_exit(session->fuse);
  while (session->looping) {
    pthread_kill(session->loop_thread, SIGUSR1); /* again and again: it could come just before the loop sleeps */
    g_usleep(WAKE_INTERVAL * 1000);
  }
}

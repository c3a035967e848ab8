/* The least a FUSE server can do: one host file shown as one file, each request one pread or pwrite. What the benchmark
 * holds others against, as the practical limit of FUSE without passthrough. */

#define FUSE_USE_VERSION 314

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_REQUEST = 1 << 20, MAX_BACKGROUND = 64, MAX_THREADS = 16, ALIGNMENT = 4096 };

typedef struct Server {
  int fd;
  gboolean direct_io;
  GPrivate buffer; /* of each thread: MAX_REQUEST bytes */
} Server;

static Server *server_of(fuse_req_t req)
{
  return fuse_req_userdata(req);
}

static void *thread_buffer(Server *server)
{
  void *buffer = g_private_get(&server->buffer);
  if (!buffer) {
    buffer = aligned_alloc(ALIGNMENT, MAX_REQUEST);
    g_private_set(&server->buffer, buffer);
  }
  return buffer;
}

static void minimal_init(void *userdata, struct fuse_conn_info *conn)
{
  (void)userdata;
  conn->want &= ~(FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
  conn->max_write = MAX_REQUEST;
  conn->max_background = MAX_BACKGROUND;
}

static void minimal_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  (void)fi;
  struct stat st;
  if (fstat(server_of(req)->fd, &st) < 0) {
    fuse_reply_err(req, errno);
    return;
  }
  st.st_ino = ino;
  fuse_reply_attr(req, &st, 3600);
}

static void minimal_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  (void)ino;
  fi->direct_io = server_of(req)->direct_io;
  fi->keep_cache = 1;
  fuse_reply_open(req, fi);
}

static void minimal_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
  (void)ino, (void)fi;
  void *buffer = thread_buffer(server_of(req));
  if (!buffer || size > MAX_REQUEST) {
    fuse_reply_err(req, buffer ? EINVAL : ENOMEM);
    return;
  }
  ssize_t result = pread(server_of(req)->fd, buffer, size, offset);
  if (result < 0)
    fuse_reply_err(req, errno);
  else
    fuse_reply_buf(req, buffer, result);
}

static void minimal_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t offset,
                          struct fuse_file_info *fi)
{
  (void)ino, (void)fi;
  ssize_t result = pwrite(server_of(req)->fd, data, size, offset);
  if (result < 0)
    fuse_reply_err(req, errno);
  else
    fuse_reply_write(req, result);
}

static void minimal_lseek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info *fi)
{
  (void)ino, (void)fi;
  off_t result = lseek(server_of(req)->fd, offset, whence);
  if (result < 0)
    fuse_reply_err(req, errno);
  else
    fuse_reply_lseek(req, result);
}

static void minimal_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
  (void)ino, (void)fi;
  int fd = server_of(req)->fd;
  fuse_reply_err(req, (datasync ? fdatasync(fd) : fsync(fd)) < 0 ? errno : 0);
}

static const struct fuse_lowlevel_ops minimal_ops = {
    .init = minimal_init,
    .getattr = minimal_getattr,
    .open = minimal_open,
    .read = minimal_read,
    .write = minimal_write,
    .lseek = minimal_lseek,
    .fsync = minimal_fsync,
};

static int serve(struct fuse_session *session, gboolean clone_fd)
{
  struct fuse_loop_config *config = fuse_loop_cfg_create();
  fuse_loop_cfg_set_clone_fd(config, clone_fd);
  fuse_loop_cfg_set_max_threads(config, MAX_THREADS);
  int result = fuse_session_loop_mt(session, config);
  fuse_loop_cfg_destroy(config);
  return result;
}

/* The mount point is a file, as in QEMU's export, so the root inode is one too. */
static int mount_and_serve(Server *server, const char *mountpoint, gboolean clone_fd)
{
  char *argv[] = {"minimal-fuse", "-o", "fsname=minimal-fuse,default_permissions", NULL};
  struct fuse_args args = FUSE_ARGS_INIT(3, argv);
  struct fuse_session *session = fuse_session_new(&args, &minimal_ops, sizeof(minimal_ops), server);
  int result = 1;
  if (session && fuse_session_mount(session, mountpoint) == 0) {
    fuse_set_signal_handlers(session);
    result = serve(session, clone_fd) != 0;
    fuse_remove_signal_handlers(session);
    fuse_session_unmount(session);
  }
  if (session)
    fuse_session_destroy(session);
  fuse_opt_free_args(&args);
  return result;
}

int main(int argc, char **argv)
{
  gboolean direct_io = FALSE, no_clone_fd = FALSE;
  const GOptionEntry entries[] = {
      {"direct-io", 0, 0, G_OPTION_ARG_NONE, &direct_io, "Bypass the page cache at every open", NULL},
      {"no-clone-fd", 0, 0, G_OPTION_ARG_NONE, &no_clone_fd, "Let all threads share one device descriptor", NULL},
      {NULL},
  };
  g_autoptr(GOptionContext) context = g_option_context_new("FILE MOUNTPOINT");
  g_autoptr(GError) error = NULL;
  g_option_context_set_summary(context, "Shows the regular FILE over the regular file MOUNTPOINT, in the foreground.");
  g_option_context_add_main_entries(context, entries, NULL);
  if (!g_option_context_parse(context, &argc, &argv, &error) || argc != 3) {
    fprintf(stderr, "minimal-fuse: %s\n", error ? error->message : "FILE and MOUNTPOINT are needed (--help)");
    return 2;
  }
  Server server = {open(argv[1], O_RDWR | O_CLOEXEC), direct_io, G_PRIVATE_INIT(free)};
  if (server.fd < 0) {
    fprintf(stderr, "minimal-fuse: %s: %s\n", argv[1], strerror(errno));
    return 1;
  }
  int result = mount_and_serve(&server, argv[2], !no_clone_fd);
  close(server.fd);
  return result;
}

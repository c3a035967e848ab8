/* The driver `file`: regular files and block devices of the host. */
#include "drivers/file/file.h"
#include "drivers/file/transfer.h"

#include <errno.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char *const locking_words[] = {"auto", "on", "off", NULL};

static const BgOption file_options[] = {
    {"filename", BG_OPTION_STRING, offsetof(BgFileOptions, filename), .required = true,
     .help = "name of the file or block device"},
    {"locking", BG_OPTION_ENUM, offsetof(BgFileOptions, locking), .values = locking_words,
     .help = "whether image locks are taken: auto (where the file system has them), on or off"},
    {NULL}};

/* ── control calls ── */

static void file_close(void *instance)
{
  BgFile *file = instance;
  close(file->fd);
  bg_file_space_clear(&file->space);
  pthread_mutex_destroy(&file->flush_lock);
  g_free(file->filename);
  g_free(file);
}

static uint32_t device_block_size(int fd)
{
  int size;
  return ioctl(fd, BLKSSZGET, &size) == 0 && size > 0 ? (uint32_t)size : 512;
}

static void *file_open(BgHost *host, const void *options, const BgMode *mode, GError **error)
{
  (void)host;
  const BgFileOptions *given = options;
  struct stat st;
  int fd = bg_file_open_by_name(given->filename, mode->direct, &st, error);
  if (fd < 0)
    return NULL;
  BgFile *file = g_new0(BgFile, 1);
  file->filename = g_strdup(given->filename);
  file->fd = fd;
  file->block_device = S_ISBLK(st.st_mode);
  file->block_size = file->block_device ? device_block_size(fd) : 1;
  file->direct = mode->direct;
  file->locking = given->locking;
  pthread_mutex_init(&file->flush_lock, NULL);
  bg_file_space_init(&file->space);
  file->alignment = mode->direct ? bg_file_direct_alignment(fd, file->filename, &st, error) : 1;
  if (file->alignment > 0 && bg_file_take_locks(file, bg_file_locks_of(file, mode), error))
    return file;
  file_close(file);
  return NULL;
}

static void file_info(void *instance, BgInfo *info)
{
  BgFile *file = instance;
  info->add(info, "block-device", g_variant_new_boolean(file->block_device));
  info->add(info, "direct", g_variant_new_boolean(__atomic_load_n(&file->direct, __ATOMIC_RELAXED)));
  info->add(info, "locking", g_variant_new_boolean(file->locking != BG_FILE_LOCKING_OFF));
}

static int file_host_stat(void *instance, struct stat *st)
{
  struct stat now;
  if (fstat(((BgFile *)instance)->fd, &now) < 0)
    return -errno;
  *st = now;
  return 0;
}

static int file_host_fd(void *instance)
{
  BgFile *file = instance;
  if (file->block_device || __atomic_load_n(&file->direct, __ATOMIC_RELAXED))
    return -ENOTSUP;
  g_autoptr(GError) error = NULL;
  int fd = bg_file_open_again(file->fd, file->filename, false, false, &error);
  return fd < 0 ? -bg_error_errno(error) : fd;
}

static const char *file_filename(void *instance)
{
  return ((BgFile *)instance)->filename;
}

/* ── data calls ── */

static void file_limits(void *instance, BgLimits *limits)
{
  BgFile *file = instance;
  *limits = (BgLimits){__atomic_load_n(&file->alignment, __ATOMIC_RELAXED), file->block_size, !file->block_device};
}

static int64_t file_size(void *instance)
{
  BgFile *file = instance;
  return bg_file_size(file->fd, file->block_device);
}

static int64_t file_allocated(void *instance)
{
  BgFile *file = instance;
  struct stat st;
  if (file->block_device)
    return file_size(file);
  return fstat(file->fd, &st) < 0 ? -errno : (int64_t)st.st_blocks * 512;
}

static int file_preadv(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  BgFile *file = instance;
  return bg_file_read(file->fd, iov, iovcnt, offset, __atomic_load_n(&file->alignment, __ATOMIC_RELAXED));
}

static int file_pwritev(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  return bg_file_write(((BgFile *)instance)->fd, iov, iovcnt, offset);
}

static int file_map(void *instance, uint64_t offset, uint64_t length, BgExtent *extent)
{
  BgFile *file = instance;
  bg_file_map(&file->space, file->fd, file->block_device, offset, length, extent);
  return 0;
}

static int file_zero(void *instance, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  BgFile *file = instance;
  return bg_file_zero(&file->space, file->fd, file->block_device, offset, length, flags);
}

static int file_discard(void *instance, uint64_t offset, uint64_t length)
{
  BgFile *file = instance;
  return bg_file_discard(&file->space, file->fd, file->block_device, offset, length);
}

static int sync_data(int fd)
{
  int rc;
  do
    rc = fdatasync(fd);
  while (rc < 0 && errno == EINTR);
  return rc < 0 ? -errno : 0;
}

/* The kernel tells a failed write-out once and then believes its pages clean, so the failure is kept for all who ask later, and those who
 * ask at the same time wait for it. Direct requests leave no such pages behind: there a flush may be tried again. */
static int file_flush(void *instance)
{
  BgFile *file = instance;
  pthread_mutex_lock(&file->flush_lock);
  int rc = file->flush_error ? -file->flush_error : sync_data(file->fd);
  if (rc < 0 && !__atomic_load_n(&file->direct, __ATOMIC_RELAXED))
    file->flush_error = -rc;
  pthread_mutex_unlock(&file->flush_lock);
  return rc;
}

static int file_resize(void *instance, uint64_t size)
{
  BgFile *file = instance;
  if (size > INT64_MAX)
    return -EFBIG;
  if (file->block_device)
    return (int64_t)size == file_size(file) ? 0 : -EFBIG;
  int rc = ftruncate(file->fd, (off_t)size) < 0 ? -errno : 0;
  bg_file_space_forget(&file->space);
  return rc;
}

const BgDriver bg_driver_file = {
    .name = "file",
    .summary = "a regular file or block device",
    .kind = BG_KIND_PROTOCOL,
    .options = file_options,
    .options_size = sizeof(BgFileOptions),
    .open = file_open,
    .close = file_close,
    .change_open = bg_file_change_open,
    .change_settle = bg_file_change_settle,
    .change_commit = bg_file_change_commit,
    .change_abort = bg_file_change_abort,
    .can_change = bg_file_can_change,
    .info = file_info,
    .host_stat = file_host_stat,
    .host_fd = file_host_fd,
    .filename = file_filename,
    .create_options = bg_file_create_options,
    .create_options_size = sizeof(BgFileCreateOptions),
    .create = bg_file_create,
    .limits = file_limits,
    .size = file_size,
    .allocated = file_allocated,
    .preadv = file_preadv,
    .pwritev = file_pwritev,
    .map = file_map,
    .zero = file_zero,
    .discard = file_discard,
    .flush = file_flush,
    .resize = file_resize,
};

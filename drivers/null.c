/* The driver `null-co`: storage that forgets. */
#include "drivers/driver.h"
#include "drivers/iov.h"

#include <errno.h>
#include <time.h>

typedef struct NullOptions {
  uint64_t size;
  uint64_t latency;
  bool read_zeroes;
} NullOptions;

#define MAX_LATENCY G_GUINT64_CONSTANT(10000000000)

static const BgOption null_options[] = {
    {"size", BG_OPTION_SIZE, offsetof(NullOptions, size), .fallback = "1G", .help = "size of the node"},
    {"latency-ns", BG_OPTION_UINT, offsetof(NullOptions, latency), .max = MAX_LATENCY, .changeable = true,
     .help = "nanoseconds that each request takes"},
    {"read-zeroes", BG_OPTION_BOOL, offsetof(NullOptions, read_zeroes), .changeable = true,
     .help = "whether all is reported as holes (zeros are what reads give in any case)"},
    {NULL}};

typedef struct Null {
  uint64_t size;
  uint64_t latency; /* atomic */
  bool read_zeroes; /* atomic */
} Null;

static void set_options(Null *null, const NullOptions *options)
{
  __atomic_store_n(&null->latency, options->latency, __ATOMIC_RELAXED);
  __atomic_store_n(&null->read_zeroes, options->read_zeroes, __ATOMIC_RELAXED);
}

static void *null_open(BgHost *host, const void *options, const BgMode *mode, GError **error)
{
  (void)host, (void)mode, (void)error;
  const NullOptions *given = options;
  Null *null = g_new0(Null, 1);
  null->size = given->size;
  set_options(null, given);
  return null;
}

static void null_close(void *instance)
{
  g_free(instance);
}

static bool null_change_open(void *instance, const BgMode *mode, const void *options, void **pending, GError **error)
{
  (void)instance, (void)mode, (void)error;
  *pending = (void *)options;
  return true;
}

static bool null_change_settle(void *instance, void *pending, GError **error)
{
  (void)instance, (void)pending, (void)error;
  return true;
}

static void null_change_commit(void *instance, void *pending)
{
  set_options(instance, pending);
}

static void null_change_abort(void *instance, void *pending)
{
  (void)instance, (void)pending;
}

static int take_time(Null *null)
{
  uint64_t latency = __atomic_load_n(&null->latency, __ATOMIC_RELAXED);
  struct timespec left = {(time_t)(latency / 1000000000), (long)(latency % 1000000000)};
  while (latency > 0 && nanosleep(&left, &left) < 0 && errno == EINTR)
    ;
  return 0;
}

static int64_t null_size(void *instance)
{
  return (int64_t)((Null *)instance)->size;
}

static int64_t null_allocated(void *instance)
{
  (void)instance;
  return 0;
}

/* Gives zeros even without read-zeroes: memory of others must not show through. */
static int null_preadv(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  (void)offset;
  bg_iov_zero(iov, iovcnt, 0, bg_iov_length(iov, iovcnt));
  return take_time(instance);
}

static int null_pwritev(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  (void)iov, (void)iovcnt, (void)offset;
  return take_time(instance);
}

static int null_map(void *instance, uint64_t offset, uint64_t length, BgExtent *extent)
{
  Null *null = instance;
  *extent = (BgExtent){.kind = BG_EXTENT_DATA, .flags = BG_EXTENT_IN_PLACE, .length = length, .offset = offset};
  if (__atomic_load_n(&null->read_zeroes, __ATOMIC_RELAXED))
    *extent = (BgExtent){.kind = BG_EXTENT_ZERO, .length = length};
  return 0;
}

static int null_zero(void *instance, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  (void)offset, (void)length, (void)flags;
  return take_time(instance);
}

static int null_discard(void *instance, uint64_t offset, uint64_t length)
{
  (void)offset, (void)length;
  return take_time(instance);
}

static int null_flush(void *instance)
{
  return take_time(instance);
}

const BgDriver bg_driver_null_co = {
    .name = "null-co",
    .summary = "storage that reads as zeros and forgets what is written",
    .kind = BG_KIND_PROTOCOL,
    .options = null_options,
    .options_size = sizeof(NullOptions),
    .open = null_open,
    .close = null_close,
    .change_open = null_change_open,
    .change_settle = null_change_settle,
    .change_commit = null_change_commit,
    .change_abort = null_change_abort,
    .size = null_size,
    .allocated = null_allocated,
    .preadv = null_preadv,
    .pwritev = null_pwritev,
    .map = null_map,
    .zero = null_zero,
    .discard = null_discard,
    .flush = null_flush,
};

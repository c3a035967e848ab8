/* The filter `compress`: what is written through it goes to its child in compressed form. */
#include "drivers/driver.h"

#include <errno.h>

static const BgChildSpec compress_children[] = {{"file", "the disk, in a format that can compress", true}, {NULL}};

typedef struct Compress {
  BgChild *file;
} Compress;

static void *compress_open(BgHost *host, const void *options, const BgMode *mode, GError **error)
{
  (void)options, (void)mode;
  BgChild *file;
  if (!host->need_child(host, "file", BG_ROLE_FILTERED | BG_ROLE_PRIMARY, NULL, NULL, &file, error))
    return NULL;
  BgLimits below;
  file->ops->limits(file, &below);
  if (!below.special_granularity) {
    bg_set_error(error, ENOTSUP, "The driver of the node below does not support compressed writes");
    return NULL;
  }
  Compress *compress = g_new(Compress, 1);
  *compress = (Compress){file};
  return compress;
}

static void compress_close(void *instance)
{
  g_free(instance);
}

/* Partial clusters are the child's to complete: the core does so while it holds their whole range there. */
static void compress_limits(void *instance, BgLimits *limits)
{
  Compress *compress = instance;
  BgLimits below;
  compress->file->ops->limits(compress->file, &below);
  *limits = (BgLimits){.request_alignment = 1, .granularity = below.special_granularity, .grows = below.grows};
}

static int compress_pwritev(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  Compress *compress = instance;
  return compress->file->ops->pwritev_special(compress->file, iov, iovcnt, offset);
}

static int compress_resize(void *instance, uint64_t size)
{
  Compress *compress = instance;
  return compress->file->ops->resize(compress->file, size);
}

const BgDriver bg_driver_compress = {
    .name = "compress",
    .summary = "writes in compressed form to the node below",
    .kind = BG_KIND_FILTER,
    .children = compress_children,
    .open = compress_open,
    .close = compress_close,
    .limits = compress_limits,
    .pwritev = compress_pwritev,
    .resize = compress_resize,
};

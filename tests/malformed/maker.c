#include "tests/malformed/maker.h"

#include "drivers/qcow2/layout.h"
#include "drivers/registry.h"
#include "tests/drivers/core-shim.h"
#include "tests/drivers/mem-child.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define DISK_SIZE (UINT64_C(8) << 20)

static const char *const *const options[BASES] = {
    [PLAIN] = (const char *const[]){"cluster_size", "4K", NULL},
    [VERSION2] = (const char *const[]){"cluster_size", "4K", "compat", "0.10", NULL},
    [EXTENDED] = (const char *const[]){"cluster_size", "16K", "extended_l2", "on", NULL},
    [SMALL] = (const char *const[]){"cluster_size", "512", NULL},
    [LARGE] = (const char *const[]){"cluster_size", "2M", NULL},
    [ZSTD] = (const char *const[]){"cluster_size", "4K", "compression_type", "zstd", NULL},
};

static void must(int rc, const char *what)
{
  if (rc < 0)
    g_error("%s: %s", what, g_strerror(-rc));
}

static void write_disk(BgChild *file, Base base)
{
  g_autoptr(GError) error = NULL;
  ShimSetup setup = {.driver = bg_driver_find("qcow2"), .file = file};
  g_autoptr(Shim) shim = shim_open(&setup, &error);
  if (!shim || !shim_set_writable(shim, true, &error))
    g_error("%s", error->message);
  uint8_t data[16 << 10];
  memset(data, 0x5a, sizeof data);
  must(shim_write(shim, data, sizeof data, 0), "write");
  must(shim_write(shim, data, 4 << 10, 2 << 20), "write");
  if (base != VERSION2)
    must(shim_zero(shim, 32 << 10, 16 << 10, BG_ZERO_NONE), "zero");
  if (!shim_set_writable(shim, false, &error))
    g_error("%s", error->message);
}

void maker_init(Maker *maker, Base base, const char *folder)
{
  g_autoptr(GError) error = NULL;
  BgChild *file = mem_child_new(0);
  BgCreate create = {.size = DISK_SIZE, .file = file};
  if (!shim_create(bg_driver_find("qcow2"), options[base], &create, &error))
    g_error("%s", error->message);
  write_disk(file, base);
  *maker = (Maker){.folder = folder, .file = file, .bytes = mem_child_data(file), .cut = UINT64_MAX};
  maker->cluster = UINT64_C(1) << maker_get(maker, QCOW2_H_CLUSTER_BITS, 4);
  maker_append(maker, 0);
}

void maker_clear(Maker *maker)
{
  mem_child_free(maker->file);
}

char *maker_path(const Maker *maker, const char *name)
{
  return g_build_filename(maker->folder, name, NULL);
}

/* ── bytes ── */

void maker_put(Maker *maker, uint64_t offset, unsigned width, uint64_t value)
{
  for (unsigned i = 0; i < width; i++)
    maker->bytes[offset + i] = (uint8_t)(value >> (8 * (width - 1 - i)));
}

uint64_t maker_get(const Maker *maker, uint64_t offset, unsigned width)
{
  uint64_t value = 0;
  for (unsigned i = 0; i < width; i++)
    value = value << 8 | maker->bytes[offset + i];
  return value;
}

static uint64_t entry(const Maker *maker, uint64_t offset)
{
  return maker_get(maker, offset, 8) & QCOW2_OFFSET_MASK;
}

uint64_t maker_place(const Maker *maker, Place place)
{
  switch (place) {
  case HEADER:
    return 0;
  case L1:
    return maker_get(maker, QCOW2_H_L1_OFFSET, 8);
  case L2:
    return entry(maker, maker_place(maker, L1));
  case REFTABLE:
    return maker_get(maker, QCOW2_H_REFTABLE_OFFSET, 8);
  case REFBLOCK:
    return entry(maker, maker_place(maker, REFTABLE));
  case DATA:
    return entry(maker, maker_place(maker, L2));
  case END:
    break;
  }
  return (uint64_t)maker->file->ops->size(maker->file);
}

/* ── more ── */

uint64_t maker_append(Maker *maker, uint64_t bytes)
{
  uint64_t mask = maker->cluster - 1, begin = (maker_place(maker, END) + mask) & ~mask;
  uint64_t end = (begin + bytes + mask) & ~mask, block = maker_place(maker, REFBLOCK);
  must(maker->file->ops->resize(maker->file, end), "grow");
  for (uint64_t at = begin / maker->cluster; at < end / maker->cluster && at < maker->cluster / 2; at++)
    maker_put(maker, block + at * 2, 2, 1);
  return begin;
}

/* Where the header's list of extensions ends. */
static uint64_t extensions_end(const Maker *maker)
{
  uint64_t at =
      maker_get(maker, QCOW2_H_VERSION, 4) < 3 ? QCOW2_V2_HEADER_SIZE : maker_get(maker, QCOW2_H_HEADER_LENGTH, 4);
  while (maker_get(maker, at, 4) != QCOW2_EXT_END)
    at += 8 + ((maker_get(maker, at + 4, 4) + 7) & ~UINT64_C(7));
  return at;
}

void maker_extension(Maker *maker, uint32_t type, const void *data, size_t length, uint32_t said)
{
  uint64_t at = extensions_end(maker);
  maker_put(maker, at, 4, type);
  maker_put(maker, at + 4, 4, said);
  if (length)
    memcpy(maker->bytes + at + 8, data, length);
  memset(maker->bytes + at + 8 + length, 0, 16);
}

void maker_backing(Maker *maker, const char *name, const char *format)
{
  if (format)
    maker_extension(maker, QCOW2_EXT_BACKING_FORMAT, format, strlen(format), (uint32_t)strlen(format));
  uint64_t at = maker->cluster - strlen(name);
  maker_put(maker, QCOW2_H_BACKING_OFFSET, 8, at);
  maker_put(maker, QCOW2_H_BACKING_SIZE, 4, strlen(name));
  memcpy(maker->bytes + at, name, strlen(name));
}

/* ── to disk ── */

static bool is_zero(const uint8_t *bytes, size_t length)
{
  return bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0;
}

static void write_sparse(int fd, const uint8_t *bytes, uint64_t size)
{
  for (uint64_t at = 0, step; at < size; at += step) {
    step = MIN(UINT64_C(4096), size - at);
    if (!is_zero(bytes + at, step) && pwrite(fd, bytes + at, step, (off_t)at) != (ssize_t)step)
      must(-1, "write");
  }
}

void maker_save(const Maker *maker)
{
  g_autofree char *path = maker_path(maker, "disk.qcow2");
  uint64_t size = maker_place(maker, END), cut = maker->cut == UINT64_MAX ? size : maker->cut;
  int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
  if (fd < 0)
    g_error("%s: cannot be made", path);
  write_sparse(fd, maker->bytes, MIN(size, cut));
  if (ftruncate(fd, (off_t)cut) != 0 && errno == EFBIG)
    exit(MAKER_UNFIT);
  if (close(fd) != 0)
    g_error("%s: cannot be written", path);
}

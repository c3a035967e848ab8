/* Makes seeds for the fuzz targets: small images of every kind that the driver can make, with content; arguments; names.
 *
 * usage: seeds FOLDER (makes FOLDER/qcow2, FOLDER/raw, FOLDER/blockdev, FOLDER/reference) */
#include "drivers/registry.h"
#include "tests/drivers/core-shim.h"
#include "tests/drivers/mem-child.h"

#include <stdio.h>
#include <string.h>

static const char *const *const images[] = {
    (const char *const[]){"cluster_size", "512", NULL},
    (const char *const[]){"cluster_size", "512", "refcount_bits", "1", NULL},
    (const char *const[]){"cluster_size", "512", "refcount_bits", "8", NULL},
    (const char *const[]){"cluster_size", "512", "refcount_bits", "64", NULL},
    (const char *const[]){"cluster_size", "512", "lazy_refcounts", "on", NULL},
    (const char *const[]){"cluster_size", "512", "compression_type", "zstd", NULL},
    (const char *const[]){"cluster_size", "512", "compat", "0.10", NULL},
    (const char *const[]){"cluster_size", "512", "preallocation", "metadata", NULL},
    (const char *const[]){"cluster_size", "4K", NULL},
};

static const char *const arguments[] = {
    "driver=qcow2,node-name=disk,file.driver=file,file.filename=a.qcow2",
    "driver=raw,offset=1M,size=1.5G,file.driver=null-co,file.size=4G",
    "qcow2,read-only=on,auto-read-only=off,discard=unmap,detect-zeroes=unmap,file=storage",
    "driver=file,filename=a,,b.img,locking=off,cache.direct=on",
    ("{\"driver\": \"qcow2\", \"file\": {\"driver\": \"file\", \"filename\": \"a\\u0020b\"}, \"read-only\": true, "
     "\"backing\": null, \"l2-cache-size\": 1048576}"),
    "driver=raw,file.driver=raw,file.file.driver=null-co",
};

static const char *const references[] = {"base",      "sub/base",      "../outside", "out",
                                         "loop",      "/etc/passwd",   "file:base",  "json:{\"a\":\"b\"}",
                                         "nbd://h/x", "./sub/../base", "sub//",      "a\nb\\c"};

/* Storage of 4 KiB, two windows, calls: see fuzz-raw.c. */
static const char raw_calls[] = "\x10\x00"
                                "\x00\x02\x00\x00\x08\x00"
                                "\x00\x04\x00\x00\x00\x00"
                                "\x01\x00\x00\x10\x01\x00\x5a\x00"
                                "\x00\x00\x00\x00\x08\x00\x00\x00"
                                "\x02\x00\x00\x20\x00\x40\x01\x00"
                                "\x03\x00\x00\x00\x00\x01\x00\x00";

static void put(const char *folder, const char *kind, size_t number, const void *bytes, size_t size)
{
  g_autofree char *directory = g_build_filename(folder, kind, NULL);
  g_autofree char *path = g_strdup_printf("%s/seed-%02zu", directory, number);
  g_autoptr(GError) error = NULL;
  if (g_mkdir_with_parents(directory, 0700) != 0 || !g_file_set_contents(path, bytes, (gssize)size, &error))
    g_error("%s: %s", path, error ? error->message : "cannot be made");
}

/* Some clusters of every kind. */
static void use(BgChild *file)
{
  g_autoptr(GError) error = NULL;
  uint8_t data[1024];
  ShimSetup setup = {.driver = bg_driver_find("qcow2"), .file = file};
  g_autoptr(Shim) shim = shim_open(&setup, &error);
  if (!shim || !shim_set_writable(shim, true, &error))
    g_error("%s", error->message);
  memset(data, 0x5a, sizeof data);
  int rc = shim_write(shim, data, sizeof data, 0);
  for (uint64_t at = 4096; rc == 0 && at < 48 << 10; at += 16 << 10)
    rc = shim_write(shim, data, sizeof data, at);
  if (rc == 0)
    rc = shim_zero(shim, 512, 512, BG_ZERO_NONE);
  if (rc == 0)
    rc = shim_zero(shim, 20 << 10, 1024, BG_ZERO_MAY_UNMAP);
  if (rc == 0)
    rc = shim_discard(shim, 4096, 1024);
  if (rc < 0 || !shim_set_writable(shim, false, &error))
    g_error("cannot write a seed");
}

static void put_image(const char *folder, size_t number, const char *const *options, bool backing)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(BgChild) file = mem_child_new(0);
  BgCreate create = {.size = 64 << 10,
                     .file = file,
                     .backing_file = backing ? "base" : NULL,
                     .backing_format = backing ? "raw" : NULL};
  if (!shim_create(bg_driver_find("qcow2"), options, &create, &error))
    g_error("%s", error->message);
  use(file);
  put(folder, "qcow2", number, mem_child_data(file), (size_t)file->ops->size(file));
}

int main(int argc, char **argv)
{
  if (argc != 2) {
    fprintf(stderr, "usage: seeds FOLDER\n");
    return 2;
  }
  size_t count = G_N_ELEMENTS(images);
  for (size_t i = 0; i < count; i++)
    put_image(argv[1], i, images[i], false);
  put_image(argv[1], count, images[0], true);
  put_image(argv[1], count + 1, images[6], true);
  put(argv[1], "raw", 0, raw_calls, sizeof raw_calls - 1);
  for (size_t i = 0; i < G_N_ELEMENTS(arguments); i++)
    put(argv[1], "blockdev", i, arguments[i], strlen(arguments[i]));
  for (size_t i = 0; i < G_N_ELEMENTS(references); i++)
    put(argv[1], "reference", i, references[i], strlen(references[i]));
  return 0;
}

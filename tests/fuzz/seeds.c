/* Makes seeds for the fuzz targets: small images of every kind that the driver can make, with content; arguments; names.
 *
 * usage: seeds FOLDER (makes FOLDER/qcow2, FOLDER/luks, FOLDER/raw, FOLDER/blockdev, FOLDER/reference) */
#include "drivers/crypto/primitives.h"
#include "drivers/qcow2/layout.h"
#include "drivers/registry.h"
#include "tests/drivers/core-shim.h"
#include "tests/drivers/mem-child.h"
#include "tests/fuzz/key-area.h"
#include "tests/fuzz/script.h"

#include <stdio.h>
#include <string.h>

/* What is in an image beside its options. */
typedef enum {
  WITH_BACKING = 1 << 0,
  WITH_SNAPSHOTS = 1 << 1,
  WITH_BITMAPS = 1 << 2,
  WITH_COMPRESSED = 1 << 3,
  WITH_DATA_FILE = 1 << 4,
  WITH_ENCRYPTION = 1 << 5,
} Content;

typedef struct Image {
  const char *const *options;
  unsigned content;
} Image;

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const Image images[] = {
    {OPTIONS("cluster_size", "512"), 0},
    {OPTIONS("cluster_size", "512", "refcount_bits", "1"), 0},
    {OPTIONS("cluster_size", "512", "refcount_bits", "8"), WITH_SNAPSHOTS | WITH_COMPRESSED},
    {OPTIONS("cluster_size", "512", "refcount_bits", "64"), WITH_SNAPSHOTS},
    {OPTIONS("cluster_size", "512", "lazy_refcounts", "on"), WITH_BITMAPS},
    {OPTIONS("cluster_size", "512", "compression_type", "zstd"), WITH_COMPRESSED},
    {OPTIONS("cluster_size", "512", "compat", "0.10"), 0},
    {OPTIONS("cluster_size", "512", "preallocation", "metadata"), 0},
    {OPTIONS("cluster_size", "4K"), 0},
    {OPTIONS("cluster_size", "512"), WITH_BACKING},
    {OPTIONS("cluster_size", "512", "compat", "0.10"), WITH_BACKING | WITH_SNAPSHOTS},
    {OPTIONS("cluster_size", "512"), WITH_SNAPSHOTS | WITH_BITMAPS | WITH_COMPRESSED},
    {OPTIONS("cluster_size", "1K", "refcount_bits", "4"), WITH_SNAPSHOTS | WITH_COMPRESSED | WITH_BACKING},
    {OPTIONS("cluster_size", "512", "data_file", "data"), WITH_DATA_FILE | WITH_BITMAPS},
    {OPTIONS("cluster_size", "512", "data_file", "data", "data_file_raw", "on"), WITH_DATA_FILE},
    {OPTIONS("cluster_size", "16K", "extended_l2", "on"), WITH_SNAPSHOTS},
    {fuzz_key_area_options, WITH_ENCRYPTION | WITH_SNAPSHOTS},
};

/* Beginnings of scripts, each for some images. */
static const uint8_t scripts[][SCRIPT_SIZE] = {
    {0, 0, 0, 0, 1, 4, 5, 7, 6, 8, 3, 0, 8, 2, 7, 0, 10, 0, 0, 0, 1, 0, 9, 9, 20, 1, 0, 0, 12, 0, 0, 0},
    {1, 1, 0, 0, 3, 0, 2, 8, 4, 3, 1, 0xf0, 15, 0, 0, 0, 1, 70, 19, 3, 11, 0, 0, 0, 13, 0, 0, 0, 14, 3, 0, 0},
    {2, 2, 1, 0, 10, 1, 0, 0, 5, 0, 15, 1, 12, 1, 0, 0, 9, 0, 30, 0, 2, 131, 6, 4, 18, 0, 20, 0, 13, 1, 0, 0},
    {4, 3, 2, 0, 1, 5, 3, 1, 17, 6, 3, 1, 2, 20, 15, 8, 4, 9, 2, 2, 10, 0, 0, 0, 9, 1, 60, 0, 16, 2, 0, 0},
};

/* Changes of a good LUKS header: see fuzz-luks.c. */
#define CHANGES(text)                                                                                                  \
  {                                                                                                                    \
    text, sizeof text - 1                                                                                              \
  }
static const struct {
  const char *bytes;
  size_t size;
} headers[] = {
    CHANGES("\xff"),
    CHANGES("\x00\x48\x06sha512\0"),
    CHANGES("\x00\x28\x10"
            "cbc-essiv:sha256\0"),
    CHANGES("\x00\x28\x0bxts-plain64\0\x00\x6f\x00\x20"),
    CHANGES("\x00\x08\x07twofish\0"),
    CHANGES("\x00\xd4\x03\x00\x00\x01\x00\x00\xa4\x03\x00\x00\x00\x01"),
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

/* What a client of the control socket sends: see fuzz-qmp.c. */
static const char *const requests[] = {
    "{\"execute\":\"qmp_capabilities\"}\n{\"execute\":\"query-version\",\"id\":{\"a\":[1,2.5,null]}}",
    "{'execute':'block-dirty-bitmap-add','arguments':{'node':'n','name':'b','granularity':65536}}"
    "{'execute':'block-dirty-bitmap-merge','arguments':{'node':'n','target':'b','bitmaps':['b',{'node':'n','name':'b'}]"
    "}}",
    "{\"execute\":\"transaction\",\"arguments\":{\"actions\":["
    "{\"type\":\"block-dirty-bitmap-add\",\"data\":{\"node\":\"n\",\"name\":\"b\",\"disabled\":true}},"
    "{\"type\":\"block-dirty-bitmap-clear\",\"data\":{\"node\":\"n\",\"name\":\"b\"}},"
    "{\"type\":\"abort\",\"data\":{}}],\"properties\":{}}}",
    "{\"execute\":\"blockdev-add\",\"arguments\":{\"driver\":\"qcow2\",\"node-name\":\"d\",\"file\":{\"driver\":"
    "\"file\",\"filename\":\"a\\u0020b\"},\"backing\":null,\"cache\":{\"direct\":true}}}",
    "{\"execute\":\"blockdev-reopen\",\"arguments\":{\"options\":[{\"driver\":\"raw\",\"node-name\":\"n\",\"file\":"
    "{\"driver\":\"null-co\",\"size\":5}}]}}",
    "[[[[]]]] nonsense\n\xff{\"execute\":\"block_resize\",\"arguments\":{\"node-name\":\"n\",\"size\":1048576}}",
};

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

static void must(bool good, const char *what, const GError *error)
{
  if (!good)
    g_error("cannot %s: %s", what, error ? error->message : "it fails");
}

static bool find_secret(const BgCreate *create, const char *id, const BgSecret **secret, GError **error)
{
  (void)create, (void)id, (void)error;
  *secret = &fuzz_secret;
  return true;
}

/* One bitmap that records, of all the disk, with one bit set; there is room behind the image for its clusters, which the check counts. */
static void add_bitmap(BgChild *file, uint64_t cluster)
{
  uint8_t *bytes = mem_child_data(file);
  uint64_t end = ((uint64_t)file->ops->size(file) + cluster - 1) & ~(cluster - 1);
  uint64_t directory = end, table = end + cluster, bits = end + 2 * cluster;
  must(file->ops->resize(file, end + 3 * cluster) == 0, "grow a seed", NULL);
  uint64_t block = qcow2_get64(bytes + qcow2_get64(bytes + QCOW2_H_REFTABLE_OFFSET));
  must(qcow2_get32(bytes + QCOW2_H_REFCOUNT_ORDER) == 4, "count a bitmap's clusters", NULL);
  for (uint64_t at = directory; at <= bits; at += cluster)
    qcow2_put16(bytes + block + at / cluster * 2, 1);
  uint8_t *entry = bytes + directory;
  qcow2_put64(entry + QCOW2_BITMAP_TABLE, table);
  qcow2_put32(entry + QCOW2_BITMAP_ENTRIES, 1);
  qcow2_put32(entry + QCOW2_BITMAP_FLAGS, QCOW2_BITMAP_AUTO);
  entry[QCOW2_BITMAP_TYPE] = QCOW2_BITMAP_DIRTY_TRACKING;
  entry[QCOW2_BITMAP_GRANULARITY] = 9;
  qcow2_put16(entry + QCOW2_BITMAP_NAME_SIZE, 1);
  entry[QCOW2_BITMAP_SIZE] = 'b';
  qcow2_put64(bytes + table, bits);
  bytes[bits] = 1;
  uint64_t at = QCOW2_HEADER_SIZE; /* in place of the table of features, which comes last */
  while (qcow2_get32(bytes + at) != QCOW2_EXT_FEATURE_NAMES && qcow2_get32(bytes + at) != QCOW2_EXT_END)
    at += 8 + ((qcow2_get32(bytes + at + 4) + 7) & ~7u);
  memset(bytes + at, 0, cluster - at);
  qcow2_put32(bytes + at, QCOW2_EXT_BITMAPS);
  qcow2_put32(bytes + at + 4, 24);
  qcow2_put32(bytes + at + 8, 1);
  qcow2_put64(bytes + at + 16, 32);
  qcow2_put64(bytes + at + 24, directory);
  qcow2_put64(bytes + QCOW2_H_AUTOCLEAR, qcow2_get64(bytes + QCOW2_H_AUTOCLEAR) | QCOW2_AUTOCLEAR_BITMAPS);
}

static int write_some(Shim *shim)
{
  uint8_t data[1024];
  memset(data, 0x5a, sizeof data);
  int rc = shim_write(shim, data, sizeof data, 0);
  for (uint64_t at = 4096; rc == 0 && at < 48 << 10; at += 16 << 10)
    rc = shim_write(shim, data, sizeof data, at);
  if (rc == 0)
    rc = shim_zero(shim, 512, 512, BG_ZERO_NONE);
  if (rc == 0)
    rc = shim_zero(shim, 20 << 10, 1024, BG_ZERO_MAY_UNMAP);
  return rc == 0 ? shim_discard(shim, 4096, 1024) : rc;
}

static int write_compressed(Shim *shim)
{
  uint8_t data[2048] = {1, 2, 3};
  shim_set_special(shim, true);
  int rc = shim_write(shim, data, sizeof data, 8 << 10);
  if (rc == 0)
    rc = shim_write(shim, data, sizeof data, 33 << 10);
  shim_set_special(shim, false);
  return rc;
}

/* Some clusters of every kind, some of them also a snapshot's. */
static void use(const ShimSetup *setup, unsigned content)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(Shim) shim = shim_open(setup, &error);
  must(shim && shim_set_writable(shim, true, &error), "open a seed", error);
  must(write_some(shim) == 0, "write a seed", NULL);
  if (content & WITH_COMPRESSED)
    must(write_compressed(shim) == 0, "compress in a seed", NULL);
  for (int i = 0; content & WITH_SNAPSHOTS && i < 2; i++) {
    must(setup->driver->snapshot_create(shim_instance(shim), i ? "two" : "one", &error), "take a snapshot", error);
    must(shim_write(shim, "changed", 7, 4 << 10) == 0, "write a seed", NULL);
  }
  must(shim_set_writable(shim, false, &error), "finish a seed", error);
}

/* Without the area of its keys (tests/fuzz/key-area.h), and with a script. */
static void put_with_script(const char *folder, size_t number, BgChild *file, bool encrypted)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new();
  size_t area;
  g_byte_array_append(bytes, mem_child_data(file), (guint)file->ops->size(file));
  fuzz_key_area(&area);
  if (encrypted) {
    must(memcmp(bytes->data + FUZZ_KEY_AREA_AT, "LUKS", 4) == 0, "find the keys of a seed", NULL);
    g_byte_array_remove_range(bytes, FUZZ_KEY_AREA_AT, (guint)area);
  }
  g_byte_array_append(bytes, scripts[number % G_N_ELEMENTS(scripts)], SCRIPT_SIZE);
  put(folder, "qcow2", number, bytes->data, bytes->len);
}

static void put_image(const char *folder, size_t number, const Image *image)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(BgChild) file = mem_child_new(0), data = mem_child_new(0), backing = mem_child_new(24 << 10);
  bool overlay = image->content & WITH_BACKING, external = image->content & WITH_DATA_FILE;
  bool encrypted = image->content & WITH_ENCRYPTION;
  BgCreate create = {.size = 48 << 10,
                     .file = file,
                     .backing_file = overlay ? "base" : NULL,
                     .backing_format = overlay ? "raw" : NULL,
                     .need_secret = find_secret,
                     .data_file = external ? data : NULL};
  ShimSetup setup = {.driver = bg_driver_find("qcow2"),
                     .file = file,
                     .data = external ? data : NULL,
                     .backing = overlay ? backing : NULL,
                     .secret = encrypted ? &fuzz_secret : NULL};
  must(shim_create(setup.driver, image->options, &create, &error), "make a seed", error);
  if (image->content & WITH_BITMAPS)
    add_bitmap(file, 512);
  use(&setup, image->content);
  put_with_script(folder, number, file, encrypted);
}

int main(int argc, char **argv)
{
  if (argc != 2) {
    fprintf(stderr, "usage: seeds FOLDER\n");
    return 2;
  }
  for (size_t i = 0; i < G_N_ELEMENTS(images); i++)
    if (!(images[i].content & WITH_ENCRYPTION) || bg_crypto_check(NULL))
      put_image(argv[1], i, &images[i]);
  for (size_t i = 0; i < G_N_ELEMENTS(headers); i++)
    put(argv[1], "luks", i, headers[i].bytes, headers[i].size);
  put(argv[1], "raw", 0, raw_calls, sizeof raw_calls - 1);
  for (size_t i = 0; i < G_N_ELEMENTS(arguments); i++)
    put(argv[1], "blockdev", i, arguments[i], strlen(arguments[i]));
  for (size_t i = 0; i < G_N_ELEMENTS(requests); i++)
    put(argv[1], "qmp", i, requests[i], strlen(requests[i]));
  for (size_t i = 0; i < G_N_ELEMENTS(references); i++)
    put(argv[1], "reference", i, references[i], strlen(references[i]));
  return 0;
}

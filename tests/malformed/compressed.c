/* Compressed clusters: entries that cannot be true, streams that are cut off, garbage or endless. */
#include "tests/malformed/kinds.h"

#include <zlib.h>
#include <zstd.h>

#define EXTRA(n, b, happens, status, how)                                                                              \
  {                                                                                                                    \
    .name = n, .base = b, .outcome = happens, .check = status, .make = how                                             \
  }

/* The entry of the disk's first cluster: compressed, at `offset`, `sectors` more of them than the one it begins in. */
static void entry(Maker *m, uint64_t offset, uint64_t sectors)
{
  unsigned bits = 62 - (unsigned)(maker_get(m, QCOW2_H_CLUSTER_BITS, 4) - 8);
  maker_put(m, maker_place(m, L2), 8, QCOW2_COMPRESSED | sectors << bits | offset);
}

static void stream(Maker *m, const void *bytes, size_t length)
{
  uint64_t offset = maker_append(m, m->cluster);
  memcpy(m->bytes + offset, bytes, length);
  entry(m, offset, (length - 1) / 512);
}

/* Zeros, deflated; the number of bytes in `out` (room for 4000). */
static size_t deflated(size_t length, uint8_t *out)
{
  g_autofree uint8_t *zeros = g_malloc0(length);
  z_stream z = {.next_in = zeros, .avail_in = (uInt)length, .next_out = out, .avail_out = 4000};
  g_assert(deflateInit2(&z, 9, Z_DEFLATED, -12, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  g_assert(deflate(&z, Z_FINISH) >= Z_OK);
  deflateEnd(&z);
  return z.total_out;
}

static size_t with_zstd(size_t length, uint8_t *out)
{
  g_autofree uint8_t *zeros = g_malloc0(length);
  size_t made = ZSTD_compress(out, 4000, zeros, length, 3);
  g_assert(!ZSTD_isError(made));
  return made;
}

static void zlib_garbage(Maker *m)
{
  uint8_t bytes[1500];
  memset(bytes, 0xf6, sizeof bytes);
  stream(m, bytes, sizeof bytes);
}

static void zlib_empty(Maker *m)
{
  static const uint8_t end[] = {0x03, 0x00};
  stream(m, end, sizeof end);
}

static void zlib_too_short(Maker *m)
{
  uint8_t bytes[4000];
  stream(m, bytes, deflated(m->cluster / 2, bytes));
}

static void zlib_cut_off(Maker *m)
{
  uint8_t bytes[4000];
  uint64_t offset = maker_append(m, m->cluster) + 4096 - 8;
  memcpy(m->bytes + offset, bytes, MIN(deflated(m->cluster, bytes), 8));
  entry(m, offset, 0);
  m->cut = offset + 4;
}

/* Four MiB where a cluster should be. */
static void zlib_bomb(Maker *m)
{
  uint8_t bytes[4000];
  stream(m, bytes, deflated(3 << 20, bytes));
}

static void zstd_garbage(Maker *m)
{
  uint8_t bytes[1500];
  memset(bytes, 0x28, sizeof bytes);
  stream(m, bytes, sizeof bytes);
}

static void zstd_too_short(Maker *m)
{
  uint8_t bytes[4000];
  stream(m, bytes, with_zstd(m->cluster / 2, bytes));
}

static void zstd_bomb(Maker *m)
{
  uint8_t bytes[4000];
  stream(m, bytes, with_zstd(64 << 20, bytes));
}

/* A frame that asks for a window of the given size (2^(10 + log)), and one raw block. */
static void zstd_window(Maker *m, uint8_t log)
{
  uint8_t bytes[64] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, (uint8_t)(log << 3), 0x61, 0x01, 0x00};
  stream(m, bytes, sizeof bytes);
}

static void zstd_window_128_mib(Maker *m)
{
  zstd_window(m, 17);
}

static void zstd_window_3_tib(Maker *m)
{
  zstd_window(m, 31);
}

/* Frames that yield nothing, one after the other. */
static void zstd_skippable(Maker *m)
{
  uint8_t bytes[4000];
  for (size_t at = 0; at < sizeof bytes; at += 8)
    memcpy(bytes + at, "\x50\x2a\x4d\x18\0\0\0\0", 8);
  stream(m, bytes, sizeof bytes);
}

static void at_0(Maker *m)
{
  entry(m, 0, 0);
}

static void past_end(Maker *m)
{
  entry(m, UINT64_C(1) << 50, 1);
}

static void longest(Maker *m)
{
  entry(m, maker_place(m, DATA), 15);
}

static void longest_of_2_mib(Maker *m)
{
  entry(m, maker_place(m, DATA), (1 << 13) - 1);
}

static void copied(Maker *m)
{
  zlib_too_short(m);
  maker_put(m, maker_place(m, L2), 1, 0xc0);
}

static void in_metadata(Maker *m)
{
  entry(m, maker_place(m, L2), 3);
}

static void all_ones(Maker *m)
{
  maker_put(m, maker_place(m, L2), 8, UINT64_MAX);
}

const Kind compressed_kinds[] = {
    EXTRA("zlib-garbage", PLAIN, EIO_THERE, "3", zlib_garbage),
    EXTRA("zlib-empty", PLAIN, EIO_THERE, "3", zlib_empty),
    EXTRA("zlib-too-short", PLAIN, EIO_THERE, "3", zlib_too_short),
    EXTRA("zlib-cut-off", PLAIN, EIO_THERE, "3", zlib_cut_off),
    EXTRA("zlib-bomb", PLAIN, READS, "3", zlib_bomb),
    EXTRA("zlib-in-clusters-of-2-mib", LARGE, EIO_THERE, "3", zlib_too_short),
    EXTRA("zstd-garbage", ZSTD, EIO_THERE, "3", zstd_garbage),
    EXTRA("zstd-too-short", ZSTD, EIO_THERE, "3", zstd_too_short),
    EXTRA("zstd-bomb", ZSTD, READS, "3", zstd_bomb),
    EXTRA("zstd-window-of-128-mib", ZSTD, EIO_THERE, "3", zstd_window_128_mib),
    EXTRA("zstd-window-of-2-tib", ZSTD, EIO_THERE, "3", zstd_window_3_tib),
    EXTRA("zstd-skippable-frames", ZSTD, EIO_THERE, "3", zstd_skippable),
    EXTRA("compressed-at-0", PLAIN, EIO_THERE, "2", at_0),
    EXTRA("compressed-past-end", PLAIN, EIO_THERE, "2", past_end),
    EXTRA("compressed-longest", PLAIN, READS, "2", longest),
    EXTRA("compressed-longest-of-2-mib", LARGE, EIO_THERE, "2", longest_of_2_mib),
    EXTRA("compressed-and-copied", PLAIN, EIO_THERE, "2", copied),
    EXTRA("compressed-in-metadata", PLAIN, EIO_THERE, "2", in_metadata),
    EXTRA("compressed-all-ones", PLAIN, EIO_THERE, "2", all_ones),
    {0},
};

/* Writes through the mount until that fails, and keeps a log of it in a plain file; or judges by that log what a crash has left.
 *
 * usage: crash-writer write FILE LOG WRITERS INDEX SEED
 *        crash-writer judge CONTENT BEFORE LOG SEED
 *
 * The writer with INDEX owns the 4 KiB blocks whose number is INDEX modulo WRITERS, so that several meet in every cluster. It writes,
 * zeroes and punches them, and calls fsync now and then. An operation is logged before it is begun, an fsync after it has
 * succeeded. It ends with 0 when the file fails, since then the mount is gone.
 * The judge reads the disk's content after the crash and before the log began: each sector that the log names must be as the last
 * fsync found it, or as an operation begun since would make it. It prints how many operations were made and how many fsync. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 4096, SECTOR = 512, RUN = 24 };

typedef enum { ENTRY_WRITE, ENTRY_ZERO, ENTRY_FSYNC } EntryKind;

/* Blocks first, first + writers, … are not one range: an entry is of one block. */
typedef struct Entry {
  uint64_t kind, block, serial;
} Entry;

static void die(const char *what)
{
  fprintf(stderr, "crash-writer: %s: %s\n", what, strerror(errno));
  exit(1);
}

static uint64_t next_random(uint64_t *state)
{
  uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

/* The block's content by the operation with that serial: no two sectors are alike. */
static void fill(uint8_t *data, const Entry *entry, uint64_t seed)
{
  memset(data, 0, BLOCK);
  if (entry->kind == ENTRY_ZERO)
    return;
  uint64_t state = seed * 1000003 + entry->block * 65537 + entry->serial;
  for (size_t i = 0; i < BLOCK; i += 8)
    memcpy(data + i, &(uint64_t){next_random(&state)}, 8);
}

/* ── writing ── */

static void log_entry(int log, const Entry *entry)
{
  if (write(log, entry, sizeof *entry) != sizeof *entry)
    die("log");
}

static bool apply(int fd, const Entry *entry, uint64_t seed)
{
  uint8_t data[BLOCK];
  off_t offset = (off_t)(entry->block * BLOCK);
  if (entry->kind == ENTRY_ZERO) {
    int how = entry->serial % 2 ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
    return fallocate(fd, how | FALLOC_FL_KEEP_SIZE, offset, BLOCK) == 0;
  }
  fill(data, entry, seed);
  return pwrite(fd, data, BLOCK, offset) == BLOCK;
}

static int write_all(char **argv)
{
  int fd = open(argv[2], O_RDWR | O_CLOEXEC);
  int log = open(argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
  uint64_t writers = strtoull(argv[4], NULL, 10), index = strtoull(argv[5], NULL, 10),
           seed = strtoull(argv[6], NULL, 10);
  struct stat st;
  if (log < 0)
    die(argv[3]);
  if (fd < 0 || fstat(fd, &st) != 0) /* the crash came first */
    return 0;
  uint64_t own = (uint64_t)st.st_size / BLOCK / writers, random = seed + index;
  for (uint64_t serial = 1;; serial++) {
    uint64_t block = next_random(&random) % own * writers + index;
    Entry entry = {next_random(&random) % 5 ? ENTRY_WRITE : ENTRY_ZERO, block, serial};
    log_entry(log, &entry);
    if (!apply(fd, &entry, seed))
      return 0;
    if (next_random(&random) % RUN)
      continue;
    if (fsync(fd) != 0)
      return 0;
    entry.kind = ENTRY_FSYNC;
    log_entry(log, &entry);
  }
}

/* ── judging ── */

static uint8_t *read_file(const char *name, size_t *size)
{
  int fd = open(name, O_RDONLY | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) != 0)
    die(name);
  uint8_t *bytes = malloc((size_t)st.st_size + 1);
  size_t done = 0;
  for (ssize_t n; bytes && done < (size_t)st.st_size; done += (size_t)n)
    if ((n = read(fd, bytes + done, (size_t)st.st_size - done)) <= 0)
      die(name);
  if (!bytes)
    die("malloc");
  close(fd);
  *size = done;
  return bytes;
}

/* Whether the sector may be so: what it was before, or by one of the entries of its block; none before the last that was followed by an fsync
 * counts. */
static bool may_be(const uint8_t *sector, const uint8_t *before, const Entry *entries, size_t count, size_t flushed,
                   uint64_t block, size_t at, uint64_t seed)
{
  uint8_t data[BLOCK];
  for (size_t i = count; i-- > 0;) {
    if (entries[i].kind == ENTRY_FSYNC || entries[i].block != block)
      continue;
    fill(data, &entries[i], seed);
    if (memcmp(sector, data + at, SECTOR) == 0)
      return true;
    if (i < flushed)
      return false;
  }
  return memcmp(sector, before, SECTOR) == 0;
}

static int judge(char **argv)
{
  size_t size, before_size, log_size;
  uint8_t *content = read_file(argv[2], &size), *before = read_file(argv[3], &before_size);
  Entry *entries = (Entry *)(void *)read_file(argv[4], &log_size);
  uint64_t seed = strtoull(argv[5], NULL, 10);
  size_t count = log_size / sizeof *entries, flushed = 0, flushes = 0;
  unsigned wrong = 0;
  if (size != before_size) {
    fprintf(stderr, "crash-writer: the disk's size changed\n");
    return 1;
  }
  for (size_t i = 0; i < count; i++)
    if (entries[i].kind == ENTRY_FSYNC) {
      flushed = i;
      flushes++;
    }
  for (size_t i = 0; i < count; i++)
    for (size_t at = 0; entries[i].kind != ENTRY_FSYNC && at < BLOCK; at += SECTOR) {
      size_t offset = entries[i].block * BLOCK + at;
      if (!may_be(content + offset, before + offset, entries, count, flushed, entries[i].block, at, seed) &&
          wrong++ < 5)
        fprintf(stderr,
                "crash-writer: the sector at %zu holds what it must not (operation %zu of %zu, fsync until %zu)\n",
                offset, i, count, flushed);
    }
  printf("%zu %zu\n", count - flushes, flushes);
  free(content);
  free(before);
  free(entries);
  return wrong ? 1 : 0;
}

int main(int argc, char **argv)
{
  if (argc == 7 && strcmp(argv[1], "write") == 0)
    return write_all(argv);
  if (argc == 6 && strcmp(argv[1], "judge") == 0)
    return judge(argv);
  fprintf(stderr, "usage: crash-writer write FILE LOG WRITERS INDEX SEED\n"
                  "       crash-writer judge CONTENT BEFORE LOG SEED\n");
  return 2;
}

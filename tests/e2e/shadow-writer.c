/* Writes the same things into two files from several threads at once: into one through the mount, into the other, a plain
 * file, as its shadow. Each thread owns the 4 KiB blocks whose number is its own modulo the number of threads, so that the
 * files must be equal in the end whatever the order, while neighbours meet in every cluster. Every so often a thread reads one of
 * its blocks back and compares.
 *
 * usage: shadow-writer FILE SHADOW THREADS OPERATIONS SEED [mixed]
 * What FILE has behind the end of SHADOW is left alone. "mixed" punches holes and zeroes ranges as well. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 4096 };

typedef struct Job {
  int fd, shadow;
  uint64_t blocks, threads, index, operations, seed;
  bool mixed;
  pthread_t thread;
} Job;

/* Not exit(): all threads come here at once when the mount goes, and the second would end the process in the midst of the first's
 * search for leaks. */
static void die(const char *what)
{
  fprintf(stderr, "shadow-writer: %s: %s\n", what, strerror(errno));
  _exit(1);
}

static uint64_t next_random(uint64_t *state)
{
  *state += 0x9e3779b97f4a7c15u;
  uint64_t z = *state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static void write_block(int fd, const uint8_t *data, uint64_t length, uint64_t offset)
{
  ssize_t done = pwrite(fd, data, length, (off_t)offset);
  if (done != (ssize_t)length) {
    if (done >= 0)
      errno = EIO;
    die("pwrite");
  }
}

static void read_block(int fd, uint8_t *data, uint64_t offset)
{
  if (pread(fd, data, BLOCK, (off_t)offset) != BLOCK)
    die("pread");
}

static void write_both(Job *job, uint64_t offset, uint64_t *random)
{
  uint8_t data[BLOCK];
  for (size_t i = 0; i < sizeof data; i += 8)
    memcpy(data + i, &(uint64_t){next_random(random)}, 8);
  /* Not always whole blocks: parts have to be filled from what was there. */
  uint64_t length = job->mixed ? 1 + next_random(random) % BLOCK : BLOCK;
  uint64_t start = offset + (length < BLOCK ? next_random(random) % (BLOCK - length) : 0);
  write_block(job->fd, data, length, start);
  write_block(job->shadow, data, length, start);
}

static void zero_both(Job *job, uint64_t offset, uint64_t *random)
{
  static const uint8_t zeros[BLOCK];
  int how = next_random(random) % 2 ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;
  if (fallocate(job->fd, how | FALLOC_FL_KEEP_SIZE, (off_t)offset, BLOCK) != 0)
    die("fallocate");
  write_block(job->shadow, zeros, BLOCK, offset);
}

static void compare_block(Job *job, uint64_t offset)
{
  uint8_t seen[BLOCK], expected[BLOCK];
  read_block(job->fd, seen, offset);
  read_block(job->shadow, expected, offset);
  if (memcmp(seen, expected, BLOCK) != 0) {
    fprintf(stderr, "shadow-writer: the block at %llu differs from its shadow\n", (unsigned long long)offset);
    _exit(1);
  }
}

static void *run(void *data)
{
  Job *job = data;
  uint64_t random = job->seed * 1000 + job->index;
  uint64_t own = job->blocks / job->threads;
  for (uint64_t i = 0; i < job->operations; i++) {
    uint64_t offset = (next_random(&random) % own * job->threads + job->index) * BLOCK;
    if (next_random(&random) % 8 == 0)
      compare_block(job, offset);
    else if (job->mixed && next_random(&random) % 3 == 0)
      zero_both(job, offset, &random);
    else
      write_both(job, offset, &random);
  }
  return NULL;
}

static int open_file(const char *name, uint64_t *size)
{
  int fd = open(name, O_RDWR | O_CLOEXEC);
  struct stat st;
  if (fd < 0 || fstat(fd, &st) != 0)
    die(name);
  *size = (uint64_t)st.st_size;
  return fd;
}

int main(int argc, char **argv)
{
  if (argc < 6) {
    fprintf(stderr, "usage: shadow-writer FILE SHADOW THREADS OPERATIONS SEED [mixed]\n");
    return 2;
  }
  uint64_t size, shadow_size;
  int fd = open_file(argv[1], &size);
  int shadow = open_file(argv[2], &shadow_size);
  uint64_t threads = strtoull(argv[3], NULL, 10);
  if (size < shadow_size || threads == 0 || threads > 256 || shadow_size / BLOCK < threads) {
    fprintf(stderr, "shadow-writer: FILE must be as long as SHADOW, and have a block for each of 1 to 256 threads\n");
    return 2;
  }
  Job jobs[256];
  for (uint64_t i = 0; i < threads; i++) {
    jobs[i] = (Job){.fd = fd,
                    .shadow = shadow,
                    .blocks = shadow_size / BLOCK,
                    .threads = threads,
                    .index = i,
                    .operations = strtoull(argv[4], NULL, 10),
                    .seed = strtoull(argv[5], NULL, 10),
                    .mixed = argc > 6 && strcmp(argv[6], "mixed") == 0};
    errno = pthread_create(&jobs[i].thread, NULL, run, &jobs[i]);
    if (errno != 0)
      die("pthread_create");
  }
  for (uint64_t i = 0; i < threads; i++)
    pthread_join(jobs[i].thread, NULL);
  if (fsync(fd) != 0)
    die("fsync");
  if (close(fd) != 0)
    die("close");
  return 0;
}

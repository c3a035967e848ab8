/* Backing chains of qcow2 images in a scratch directory, with content that is known at every level. */
#ifndef CHAIN_FIXTURE_H
#define CHAIN_FIXTURE_H

#include "job-events.h"
#include "tests/graph/scratch.h"

enum { CHAIN_MAX = 6 };

typedef struct ChainFixture {
  JobEvents events;
  Scratch scratch;
  unsigned levels;
  uint64_t size[CHAIN_MAX];   /* of each disk, bytes */
  uint8_t *shadow[CHAIN_MAX]; /* what each disk shows */
  BgNode *node[CHAIN_MAX];    /* once opened; [0] is the base */
} ChainFixture;

/* Images l0.qcow2 … below each other, clusters of 4 KiB, each with some data, some zeros and some holes of its own. `sizes`: NULL: all 1 MiB. */
void chain_init(ChainFixture *chain, unsigned levels, const uint64_t *sizes);
/* Closes the graph, whatever jobs run; then lets qemu-img, where it is installed, check all images. */
void chain_clear(ChainFixture *chain);

/* Opens each level as a node of the user's, n0 …; `options` (NULL: none) are added to each: "read-only=on". The uppermost has auto-read-only=on. */
void chain_open_each(ChainFixture *chain, const char *options);
/* Opens the uppermost by its name, and the others with it. */
void chain_open_top(ChainFixture *chain);

/* Opens the uppermost as a node with whatever its image and those below name. */
void chain_open_top_by_images(ChainFixture *chain);

/* An empty target.qcow2; `backing` (a level; < 0: none) is what it records. */
void chain_make_target(const ChainFixture *chain, uint64_t size, int backing);
/* Opens it as node "target", over the node of that level. */
BgNode *chain_open_target(ChainFixture *chain, int backing);

/* Lets qemu-img, where it is installed, check all images of the chain. */
void chain_check_images(const ChainFixture *chain);
/* And the target. */
void chain_check_target(const ChainFixture *chain);

/* Asserts that the disk shows that. */
void chain_assert_content(BgNode *node, const uint8_t *shadow, uint64_t size);
/* The same of an image file and what it stands on, by another program; nothing where qemu-img is not installed. */
void chain_assert_file(const ChainFixture *chain, const char *name, const uint8_t *shadow, uint64_t size);
/* What the image says of its backing file: "FILE (FORMAT)" or "none". Caller frees. */
char *chain_recorded(const ChainFixture *chain, const char *name);

void chain_assert_recorded(const ChainFixture *chain, const char *name, const char *expected);

BgBitmaps *chain_bitmaps(BgNode *node);

/* Asserts that the job was started; *error says why not. */
BgJob *chain_started(BgJob *job, GError *const *error);

/* Waits for the job's end, asserts that it failed with `error` (0: that it did not), and drops the reference. */
void chain_finish(ChainFixture *chain, BgJob *job, int error);

/* Writes and reads the uppermost disk all the time, in a thread of its own, and asserts that it reads what it wrote; the shadow follows. */
typedef struct Guest {
  ChainFixture *chain;
  BgUser *user;
  pthread_t thread;
  _Atomic bool stop;
  _Atomic unsigned rounds;
} Guest;

void guest_start(Guest *guest, ChainFixture *chain, BgNode *node);
void guest_stop(Guest *guest);

#endif

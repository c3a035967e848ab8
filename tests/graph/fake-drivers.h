/* Drivers for tests of the graph, beside those that were built in (registry.c):
 *
 *   mem   a protocol whose storage is a MemDisk, which a test looks at and breaks
 *   cow   a format over `file` with clusters of 4 KiB and an optional `backing`; what it has allocated lies in memory
 *   coded the same as cow, but what it has allocated is encoded
 *   pass  a filter over `file`
 *
 * Each notes in one journal what is done to it. */
#ifndef BG_TEST_FAKE_DRIVERS_H
#define BG_TEST_FAKE_DRIVERS_H

#include "graph/user.h"

#define CODED_UNIT  512u /* of what coded keeps in another form */
#define COW_CLUSTER 4096u
#define COW_SPECIAL 8192u /* its special granule */

typedef struct MemDisk MemDisk;

/* What has just taken effect. */
typedef struct MemCall {
  enum { MEM_WRITE, MEM_RESIZE, MEM_FLUSH } kind;
  MemDisk *disk;
  uint64_t offset, length; /* RESIZE: of the disk now */
  const uint8_t *bytes;    /* WRITE: what is there now */
} MemCall;

struct MemDisk {
  char *name;
  pthread_rwlock_t lock;
  uint8_t *data;
  _Atomic uint64_t size;
  uint64_t capacity;
  bool grows;
  uint32_t alignment; /* of requests; 0: 1 */
  /* What goes wrong. */
  _Atomic int refuse_writable; /* errno of change_open and can_change to writable */
  _Atomic int fail_settle;     /* errno of change_settle, in either direction */
  _Atomic int fail_flush, fail_read, fail_write;
  _Atomic unsigned delay_us;      /* of each read and write */
  _Atomic unsigned open_delay_us; /* of each change_open */
  /* What happened. */
  _Atomic unsigned flushes;
  _Atomic bool writable;
  /* Told of every call that succeeds, under the disk's lock, in their order. NULL: nobody. */
  void (*watch)(const MemCall *call, void *data);
  void *watch_data;
};

/* The disk of that name; made, zeroed and of 1 MiB, the first time. */
MemDisk *mem_disk(const char *name);
/* Forgets all disks and the journal. */
void fake_drivers_reset(void);

/* What happened since the last call, as "NODE:what NODE:what": open, close, and of each change open+ (to read-write), open- (to
 * read-only), open= (neither), settle and commit or abort likewise. */
char *journal_take(void);

/* Makes the next change_settle of a cow node of that name fail; NULL: of none. */
void cow_fail_settle(const char *node);

/* How many special writes cow nodes have taken in this test. */
unsigned cow_special_writes(void);

/* How long each change of a cow node takes, in µs. */
void cow_set_delay(unsigned delay_us);

extern const BgDriver bg_driver_mem, bg_driver_coded, bg_driver_cow, bg_driver_pass;

/* Adds the nodes of "key=value,…"; fails the test otherwise. */
BgNode *add_node(BgGraph *graph, const char *options);
/* The error of bg_graph_add() with these options; fails the test if there is none. */
GError *add_fails(BgGraph *graph, const char *options);

/* The node of that name; fails the test if there is none. */
BgNode *find_node(BgGraph *graph, const char *name);
/* Adds the chain below, whose protocol nodes stand on the disks "d" and "b", and forgets the journal.
 *
 *   disk (cow)
 *   │ file    │ backing
 *   disk.file base (cow)
 *             │ file
 *             base.file     */
void add_chain(BgGraph *graph);

/* Asserts that the node ends after `size` bytes, and what they are. */
void assert_holds(BgUser *user, const uint8_t *shadow, size_t size);

#endif

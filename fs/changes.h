/* Threads for requests that change the graph (OPEN, RELEASE, SETATTR …), so that FUSE's own threads stay free for
 * data. Tasks of one file run one after the other, in the order in which they came. */
#ifndef BGFS_CHANGES_H
#define BGFS_CHANGES_H

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>

typedef struct BgfsChanges BgfsChanges;

/* The head of a task's own struct, which `run` frees. */
typedef struct BgfsTask BgfsTask;
struct BgfsTask {
  void (*run)(BgfsTask *task);
  struct BgfsSerial *serial;
};

/* The tasks of one file. */
typedef struct BgfsSerial {
  pthread_mutex_t lock;
  GQueue waiting;
  bool running;
} BgfsSerial;

void bgfs_serial_init(BgfsSerial *serial);
/* Nothing may be waiting or running. */
void bgfs_serial_clear(BgfsSerial *serial);

BgfsChanges *bgfs_changes_new(void);
/* Waits until all tasks are done. NULL is fine. */
void bgfs_changes_free(BgfsChanges *changes);

/* As many threads as there are tasks that wait: each stands for a blocked process. Does not block, unless no
 * thread can be had at all: then the caller runs the task. */
void bgfs_changes_submit(BgfsChanges *changes, BgfsSerial *serial, BgfsTask *task);

#endif

/* The parts of the driver `file`. Nothing outside drivers/file/ includes this. */
#ifndef BG_FILE_H
#define BG_FILE_H

#include "drivers/driver.h"
#include "drivers/file/lock.h"
#include "drivers/file/space.h"

#include <pthread.h>

typedef enum { BG_FILE_LOCKING_AUTO, BG_FILE_LOCKING_ON, BG_FILE_LOCKING_OFF } BgFileLocking;

typedef struct BgFileOptions {
  char *filename;
  int locking; /* BgFileLocking */
} BgFileOptions;

typedef struct BgFile {
  char *filename;
  /* The number never changes while the instance lives; a change puts another open file behind it with dup3(), so that data
   * calls need no lock and those under way end on the file they began with. */
  int fd;
  bool block_device;
  uint32_t block_size; /* logical, of a block device; else 1 */
  uint32_t alignment;  /* atomic: what requests must be aligned to as the file is open now */
  bool direct;         /* atomic */

  /* Of control calls only. */
  bool writable;
  BgFileLocking locking;
  BgFileLocks locks; /* what is held through fd */
  pid_t last_holder; /* see holder.h */

  BgFileSpace space;
  pthread_mutex_t flush_lock;
  int flush_error; /* under flush_lock: the errno of a flush that may have lost data, 0: none */
} BgFile;

/* open.c: descriptors */

/* Opens `name` by name, read-only, without ever waiting or setting a device in motion: regular files and block devices only. The
 * descriptor, or -1. */
int bg_file_open_by_name(const char *name, bool direct, struct stat *st, GError **error);
/* Opens anew what `fd` has open, through the mount it came by; works for files that have lost their name. -1 on error. */
int bg_file_open_again(int fd, const char *name, bool writable, bool direct, GError **error);
/* What O_DIRECT requests to `fd` must be aligned to; 0 and error where it cannot be done at all. */
uint32_t bg_file_direct_alignment(int fd, const char *name, const struct stat *st, GError **error);
/* Bytes in the file or device, or -errno. */
int64_t bg_file_size(int fd, bool block_device);

/* change.c */
bool bg_file_change_open(void *instance, const BgMode *mode, const void *options, void **pending, GError **error);
bool bg_file_change_settle(void *instance, void *pending, GError **error);
void bg_file_change_commit(void *instance, void *pending);
void bg_file_change_abort(void *instance, void *pending);
bool bg_file_can_change(void *instance, const BgMode *mode, GError **error);
/* The locks that `mode` asks for, none where locking is off. */
BgFileLocks bg_file_locks_of(const BgFile *file, const BgMode *mode);
/* Takes the locks that `locks` has beyond those that are held, through file->fd. With locking=auto, locking is turned off where the file system has
 * none. On error nothing was taken. */
bool bg_file_take_locks(BgFile *file, BgFileLocks locks, GError **error);

/* create.c */
typedef struct BgFileCreateOptions {
  char *filename;
  int preallocation;
} BgFileCreateOptions;
extern const BgOption bg_file_create_options[];
bool bg_file_create(const BgCreate *create, GError **error);

#endif

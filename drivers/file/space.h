/* The allocation of a file: zeros without writing, holes, what is where. */
#ifndef BG_FILE_SPACE_H
#define BG_FILE_SPACE_H

#include "drivers/driver.h"

/* What was found out about a file. */
typedef struct BgFileSpace {
  unsigned unsupported; /* atomic: what the file system has refused once and will not be asked again */

  /* Where data was found, [start, end): tmpfs goes through all pages up to the next hole to say so. Whether it is still true does not matter: what is
   * taken for data reads as zeros where it is none any more. Forgotten when holes are made here, so that they show. */
  pthread_mutex_t lock;
  uint64_t start, end; /* (lock) */
  unsigned holes;      /* (lock) counts the times that it was forgotten */
} BgFileSpace;

void bg_file_space_init(BgFileSpace *space);
void bg_file_space_clear(BgFileSpace *space);
/* Holes were made, or the file was cut, other than by the functions below. */
void bg_file_space_forget(BgFileSpace *space);

/* All: 0 or -errno; -ENOTSUP, with nothing changed, where there is no way. `fd` is open for writing. */

/* The range reads as zeros; a regular file grows to its end. */
int bg_file_zero(BgFileSpace *space, int fd, bool block_device, uint64_t offset, uint64_t length, BgZeroFlags flags);
int bg_file_discard(BgFileSpace *space, int fd, bool block_device, uint64_t offset, uint64_t length);

/* The extent at `offset`, see BgDriver.map. Never fails: what cannot be told is DATA. */
void bg_file_map(BgFileSpace *space, int fd, bool block_device, uint64_t offset, uint64_t length, BgExtent *extent);

#endif

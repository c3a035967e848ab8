/* The allocation of a file: zeros without writing, holes, what is where. */
#ifndef BG_FILE_SPACE_H
#define BG_FILE_SPACE_H

#include "drivers/driver.h"

/* What the file system has refused once and will not be asked again. Atomic. */
typedef struct BgFileSpace {
  unsigned unsupported;
} BgFileSpace;

/* All: 0 or -errno; -ENOTSUP, with nothing changed, where there is no way. `fd` is open for writing. */

/* The range reads as zeros; a regular file grows to its end. */
int bg_file_zero(BgFileSpace *space, int fd, bool block_device, uint64_t offset, uint64_t length, BgZeroFlags flags);
int bg_file_discard(BgFileSpace *space, int fd, bool block_device, uint64_t offset, uint64_t length);

/* The extent at `offset`, see BgDriver.map. Never fails: what cannot be told is DATA. */
void bg_file_map(int fd, bool block_device, uint64_t offset, uint64_t length, BgExtent *extent);

#endif

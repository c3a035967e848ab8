/* Vectored reads and writes that are whole: over short transfers, interrupts and vectors of any length. */
#ifndef BG_FILE_TRANSFER_H
#define BG_FILE_TRANSFER_H

#include <stdint.h>
#include <sys/uio.h>

/* Reads all bytes; those past the end of the file are zeros. `alignment`: of requests to an O_DIRECT descriptor, else 1. 0 or -errno. */
int bg_file_read(int fd, const struct iovec *iov, int iovcnt, uint64_t offset, uint32_t alignment);

/* Writes all bytes. 0 or -errno; then a part may have been written. */
int bg_file_write(int fd, const struct iovec *iov, int iovcnt, uint64_t offset);

#endif

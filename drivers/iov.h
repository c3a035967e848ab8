/* Scatter/gather vectors, as all layers pass them. Offsets and lengths are bytes of the vector; a range must lie within it unless
 * said otherwise. Nothing here allocates. */
#ifndef BG_IOV_H
#define BG_IOV_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

/* The sum of all lengths. */
size_t bg_iov_length(const struct iovec *iov, int iovcnt);

/* The part [offset, offset+length) as a vector of its own over the same memory, cut at the vector's end. `out` has room for
 * `iovcnt` entries and may not be `iov`. Empty entries are left out. The number of entries written. */
int bg_iov_slice(const struct iovec *iov, int iovcnt, size_t offset, size_t length, struct iovec *out);

/* Fills the range with `byte`. */
void bg_iov_memset(const struct iovec *iov, int iovcnt, size_t offset, int byte, size_t length);
void bg_iov_zero(const struct iovec *iov, int iovcnt, size_t offset, size_t length);

/* Copies into (from_buffer) or out of (to_buffer) the vector at `offset`, at most to its end. Bytes copied. */
size_t bg_iov_from_buffer(const struct iovec *iov, int iovcnt, size_t offset, const void *buffer, size_t length);
size_t bg_iov_to_buffer(const struct iovec *iov, int iovcnt, size_t offset, void *buffer, size_t length);

/* Whether every byte is zero. */
bool bg_iov_is_zero(const struct iovec *iov, int iovcnt);
bool bg_buffer_is_zero(const void *buffer, size_t length);

/* Whether every entry's address and length are multiples of `alignment` (a power of two). */
bool bg_iov_is_aligned(const struct iovec *iov, int iovcnt, size_t alignment);

#endif

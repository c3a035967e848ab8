/* What a request of the kernel's is like, told from its bytes before anybody carries it out. */
#ifndef BGFS_REQUEST_H
#define BGFS_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#define BGFS_QUICK_BYTES (32 * 1024)

/* Whether it reads or writes BGFS_QUICK_BYTES at most, which takes less time than waking a thread where nothing is waited for.
 * `request` holds `length` bytes as read from the kernel (<linux/fuse.h>: fuse_in_header and what follows it). */
bool bgfs_request_is_quick(const void *request, size_t length);

#endif

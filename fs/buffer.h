/* A buffer per thread, so that no request allocates. */
#ifndef BGFS_BUFFER_H
#define BGFS_BUFFER_H

#include "fs/fs.h"

/* Once per BgfsFs, before any thread asks for its buffer. 0 or -errno. */
int bgfs_buffers_init(BgfsFs *fs);
/* All threads but this one have ended. */
void bgfs_buffers_clear(BgfsFs *fs);

/* Makes `memory`, of as many bytes, the thread's buffer; NULL: gives it back. The thread has none of its own. */
void bgfs_buffer_lend(BgfsFs *fs, void *memory);

/* The thread's own BGFS_MAX_REQUEST bytes, aligned to a page, kept until the thread ends; NULL without memory. */
void *bgfs_buffer(BgfsFs *fs);

#endif

#include "fs/buffer.h"

#include <stdlib.h>

enum { ALIGNMENT = 4096 };

int bgfs_buffers_init(BgfsFs *fs)
{
  return -pthread_key_create(&fs->buffers, free);
}

void bgfs_buffers_clear(BgfsFs *fs)
{
  free(pthread_getspecific(fs->buffers));
  pthread_key_delete(fs->buffers);
}

void bgfs_buffer_lend(BgfsFs *fs, void *memory)
{
  pthread_setspecific(fs->buffers, memory);
}

void *bgfs_buffer(BgfsFs *fs)
{
  void *buffer = pthread_getspecific(fs->buffers);
  if (buffer)
    return buffer;
  buffer = aligned_alloc(ALIGNMENT, BGFS_MAX_REQUEST);
  if (buffer && pthread_setspecific(fs->buffers, buffer) != 0) {
    free(buffer);
    return NULL;
  }
  return buffer;
}

#include "drivers/iov.h"

#include <glib.h>
#include <stdint.h>
#include <string.h>

size_t bg_iov_length(const struct iovec *iov, int iovcnt)
{
  size_t length = 0;
  for (int i = 0; i < iovcnt; i++)
    length += iov[i].iov_len;
  return length;
}

int bg_iov_slice(const struct iovec *iov, int iovcnt, size_t offset, size_t length, struct iovec *out)
{
  int count = 0;
  for (int i = 0; i < iovcnt && length > 0; i++) {
    if (offset >= iov[i].iov_len) {
      offset -= iov[i].iov_len;
      continue;
    }
    size_t part = MIN(iov[i].iov_len - offset, length);
    out[count++] = (struct iovec){(char *)iov[i].iov_base + offset, part};
    length -= part;
    offset = 0;
  }
  return count;
}

/* Calls `step` for each piece of memory in the range, with what it has done so far. The bytes covered. */
static size_t for_each(const struct iovec *iov, int iovcnt, size_t offset, size_t length,
                       void (*step)(void *memory, size_t part, size_t done, void *data), void *data)
{
  size_t done = 0;
  for (int i = 0; i < iovcnt && done < length; i++) {
    if (offset >= iov[i].iov_len) {
      offset -= iov[i].iov_len;
      continue;
    }
    size_t part = MIN(iov[i].iov_len - offset, length - done);
    step((char *)iov[i].iov_base + offset, part, done, data);
    done += part;
    offset = 0;
  }
  return done;
}

static void step_memset(void *memory, size_t part, size_t done, void *data)
{
  (void)done;
  memset(memory, *(const int *)data, part);
}

void bg_iov_memset(const struct iovec *iov, int iovcnt, size_t offset, int byte, size_t length)
{
  for_each(iov, iovcnt, offset, length, step_memset, &byte);
}

void bg_iov_zero(const struct iovec *iov, int iovcnt, size_t offset, size_t length)
{
  bg_iov_memset(iov, iovcnt, offset, 0, length);
}

static void step_from_buffer(void *memory, size_t part, size_t done, void *data)
{
  memcpy(memory, *(const char **)data + done, part);
}

size_t bg_iov_from_buffer(const struct iovec *iov, int iovcnt, size_t offset, const void *buffer, size_t length)
{
  return for_each(iov, iovcnt, offset, length, step_from_buffer, &buffer);
}

static void step_to_buffer(void *memory, size_t part, size_t done, void *data)
{
  memcpy(*(char **)data + done, memory, part);
}

size_t bg_iov_to_buffer(const struct iovec *iov, int iovcnt, size_t offset, void *buffer, size_t length)
{
  return for_each(iov, iovcnt, offset, length, step_to_buffer, &buffer);
}

bool bg_buffer_is_zero(const void *buffer, size_t length)
{
  const char *bytes = buffer;
  size_t head = MIN(length, (size_t)16);
  for (size_t i = 0; i < head; i++)
    if (bytes[i] != 0)
      return false;
  /* The first 16 bytes are zeros, so equality with the buffer shifted by 16 carries that on to its end, at memcmp's speed. */
  return length <= head || memcmp(bytes, bytes + head, length - head) == 0;
}

bool bg_iov_is_zero(const struct iovec *iov, int iovcnt)
{
  for (int i = 0; i < iovcnt; i++)
    if (!bg_buffer_is_zero(iov[i].iov_base, iov[i].iov_len))
      return false;
  return true;
}

bool bg_iov_is_aligned(const struct iovec *iov, int iovcnt, size_t alignment)
{
  for (int i = 0; i < iovcnt; i++)
    if (((uintptr_t)iov[i].iov_base | iov[i].iov_len) & (alignment - 1))
      return false;
  return true;
}

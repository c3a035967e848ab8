#include "graph/encoded.h"

#include "drivers/iov.h"

#include <errno.h>
#include <stdlib.h>

/* Both what one piece holds at most, and a whole number of units. */
#define PIECE (1024u * 1024u)

/* A run that is read or written piece by piece. */
typedef struct Coding {
  BgNode *node;
  BgChild *child;
  uint64_t distance; /* from an offset in the node to that in the child, modulo 2^64 */
  const struct iovec *iov;
  int iovcnt;
  uint64_t offset, length; /* of the vector in the node */
  uint64_t start, end;     /* the same, in whole units */
  char *buffer;
} Coding;

static bool begin(Coding *coding, BgNode *node, BgChild *child, uint64_t distance, const struct iovec *iov, int iovcnt,
                  uint64_t offset)
{
  uint64_t mask = node->limits.request_alignment - 1, length = bg_iov_length(iov, iovcnt);
  *coding =
      (Coding){node, child, distance, iov, iovcnt, offset, length, offset & ~mask, (offset + length + mask) & ~mask};
  coding->buffer = malloc(MIN(coding->end - coding->start, PIECE));
  return coding->buffer;
}

static int read_units(const Coding *coding, char *buffer, uint64_t length, uint64_t at)
{
  int result = bg_child_pread(coding->child, buffer, length, at + coding->distance);
  return result ? result
                : coding->node->driver->decode(coding->node->instance, buffer, length, at, at + coding->distance);
}

static int write_units(const Coding *coding, char *buffer, uint64_t length, uint64_t at)
{
  int result = coding->node->driver->encode(coding->node->instance, buffer, length, at, at + coding->distance);
  return result ? result : bg_child_pwrite(coding->child, buffer, length, at + coding->distance);
}

/* The part of a piece that the vector covers: from there on, and how much. */
static uint64_t covered(const Coding *coding, uint64_t at, uint64_t length, uint64_t *skip)
{
  uint64_t from = MAX(at, coding->offset), to = MIN(at + length, coding->offset + coding->length);
  *skip = from - at;
  return to - from;
}

int bg_encoded_read(BgNode *node, const BgExtent *run, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  Coding coding;
  BgRange range;
  if (!begin(&coding, node, run->child, run->offset - offset, iov, iovcnt, offset))
    return -ENOMEM;
  bg_ranges_lock(&node->coded, &range, coding.start, coding.end - coding.start, false);
  int result = 0;
  for (uint64_t at = coding.start, length; at < coding.end && result == 0; at += length) {
    uint64_t skip;
    length = MIN(coding.end - at, PIECE);
    result = read_units(&coding, coding.buffer, length, at);
    uint64_t part = covered(&coding, at, length, &skip);
    if (result == 0)
      bg_iov_from_buffer(iov, iovcnt, at + skip - offset, coding.buffer + skip, part);
  }
  bg_ranges_unlock(&node->coded, &range);
  free(coding.buffer);
  return result;
}

/* Reads the units of a piece that the vector covers only in part: the first, the last. */
static int read_ends(const Coding *coding, uint64_t at, uint64_t length, uint64_t skip, uint64_t part)
{
  uint64_t unit = coding->node->limits.request_alignment;
  bool tail = skip + part < length;
  int result = skip ? read_units(coding, coding->buffer, unit, at) : 0;
  if (result == 0 && tail && (length > unit || !skip))
    result = read_units(coding, coding->buffer + length - unit, unit, at + length - unit);
  return result;
}

static int write_piece(const Coding *coding, uint64_t at, uint64_t length)
{
  uint64_t skip, part = covered(coding, at, length, &skip);
  int result = read_ends(coding, at, length, skip, part);
  if (result)
    return result;
  bg_iov_to_buffer(coding->iov, coding->iovcnt, at + skip - coding->offset, coding->buffer + skip, part);
  return write_units(coding, coding->buffer, length, at);
}

static int write_pieces(const Coding *coding)
{
  int result = 0;
  for (uint64_t at = coding->start, length; at < coding->end && result == 0; at += length) {
    length = MIN(coding->end - at, PIECE);
    result = write_piece(coding, at, length);
  }
  return result;
}

int bg_encoded_write(BgNode *node, const BgExtent *run, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  Coding coding;
  BgRange range;
  if (!begin(&coding, node, run->child, run->offset - offset, iov, iovcnt, offset))
    return -ENOMEM;
  bg_ranges_lock(&node->coded, &range, coding.start, coding.end - coding.start, true);
  int result = write_pieces(&coding);
  bg_ranges_unlock(&node->coded, &range);
  free(coding.buffer);
  return result;
}

int bg_encoded_write_new(BgNode *node, const BgReservation *place, const struct iovec *iov, int iovcnt)
{
  Coding coding;
  if (!begin(&coding, node, place->child, place->child_offset - place->offset, iov, iovcnt, place->offset))
    return -ENOMEM;
  bool whole = coding.start == coding.offset && coding.end == coding.offset + coding.length;
  int result = whole ? write_pieces(&coding) : -EIO;
  free(coding.buffer);
  return result;
}

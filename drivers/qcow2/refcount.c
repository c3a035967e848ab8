#include "drivers/qcow2/alloc.h"

uint64_t qcow2_refcount_get(const uint8_t *block, unsigned order, uint64_t index)
{
  switch (order) {
  case 3:
    return block[index];
  case 4:
    return qcow2_get16(block + index * 2);
  case 5:
    return qcow2_get32(block + index * 4);
  case 6:
    return qcow2_get64(block + index * 8);
  default: { /* several in a byte, the first in its lowest bits */
    unsigned per_byte = 8u >> order, width = 1u << order;
    return (block[index / per_byte] >> (index % per_byte * width)) & ((1u << width) - 1);
  }
  }
}

void qcow2_refcount_set(uint8_t *block, unsigned order, uint64_t index, uint64_t refcount)
{
  switch (order) {
  case 3:
    block[index] = refcount;
    break;
  case 4:
    qcow2_put16(block + index * 2, refcount);
    break;
  case 5:
    qcow2_put32(block + index * 4, refcount);
    break;
  case 6:
    qcow2_put64(block + index * 8, refcount);
    break;
  default: {
    unsigned per_byte = 8u >> order, width = 1u << order, shift = index % per_byte * width;
    unsigned mask = ((1u << width) - 1) << shift;
    block[index / per_byte] = (block[index / per_byte] & ~mask) | ((unsigned)refcount << shift & mask);
  }
  }
}

#include "drivers/qcow2/alloc.h"

#include <criterion/criterion.h>

/* Every width: what was set is read, and neighbours stay. */
Test(qcow2_refcount, widths)
{
  for (unsigned order = 0; order <= 6; order++) {
    uint8_t block[512];
    uint64_t most = order == 6 ? UINT64_MAX : (UINT64_C(1) << (1 << order)) - 1, count = sizeof block * 8 >> order;
    memset(block, 0, sizeof block);
    for (uint64_t i = 0; i < count; i++)
      qcow2_refcount_set(block, order, i, i * 0x123456789 & most);
    for (uint64_t i = 0; i < count; i++)
      cr_assert_eq(qcow2_refcount_get(block, order, i), (i * 0x123456789 & most));
    for (uint64_t i = 0; i < count; i += 3)
      qcow2_refcount_set(block, order, i, most);
    for (uint64_t i = 0; i < count; i++)
      cr_assert_eq(qcow2_refcount_get(block, order, i), i % 3 ? (i * 0x123456789 & most) : most);
  }
}

Test(qcow2_refcount, layout)
{
  uint8_t block[8] = {0};
  qcow2_refcount_set(block, 0, 1, 1);
  cr_assert_eq(block[0], 2, "narrow counts begin in the lowest bits");
  qcow2_refcount_set(block, 2, 3, 0xa);
  cr_assert_eq(block[1], 0xa0);
  qcow2_refcount_set(block, 4, 1, 0x1234);
  cr_assert(block[2] == 0x12 && block[3] == 0x34, "wide ones are big-endian");
}

/* Persistent dirty bitmaps of qcow2 images, read without the driver's code. */
#ifndef CRASH_QCOW2_BITMAPS_H
#define CRASH_QCOW2_BITMAPS_H

#include "tests/crash/format.h"

/* Whether each bitmap that counts as valid has all sectors in which the disk of `size` bytes differs from what it was. */
bool qcow2_bitmaps_cover(const CrashFormat *format, BgChild *image, const uint8_t *before, const uint8_t *after,
                         uint64_t size, GError **error);

#endif

/* "shots": a format for tests, whose disk is its file, and whose snapshots are what the test says. */
#ifndef BG_TEST_FAKE_SNAPSHOTS_H
#define BG_TEST_FAKE_SNAPSHOTS_H

#include "drivers/driver.h"

/* Those in all images from now on: "s1" to "sCOUNT", of disks of `size` bytes that read as zeros. */
void shots_set(unsigned count, uint64_t size);
/* The next take, apply or delete fails with that errno; 0: none does. */
void shots_fail(int err);

extern const BgDriver bg_driver_shots;

#endif

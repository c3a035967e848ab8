/* Broken qcow2 images. */
#ifndef CRASH_QCOW2_DAMAGES_H
#define CRASH_QCOW2_DAMAGES_H

#include "tests/crash/format.h"

extern const CrashDamage qcow2_damages[];

#endif

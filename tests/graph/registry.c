/* The registry of these tests: the drivers that were built in, and the fakes. It takes the place of the one in libdrivers.a. */
#define bg_drivers built_in_drivers
#include "drivers/registry-table.c"
#undef bg_drivers

#include "tests/graph/fake-drivers.h"
#include "tests/graph/fake-silent.h"
#include "tests/graph/fake-snapshots.h"

#define MAX_DRIVERS 64

const BgDriver *const *bg_drivers(void);

static const BgDriver *all[MAX_DRIVERS];

__attribute__((constructor)) static void collect(void)
{
  size_t count = 0;
  for (const BgDriver *const *driver = built_in_drivers(); *driver; driver++)
    all[count++] = *driver;
  all[count++] = &bg_driver_mem;
  all[count++] = &bg_driver_cow;
  all[count++] = &bg_driver_coded;
  all[count++] = &bg_driver_pass;
  all[count++] = &bg_driver_shots;
  all[count++] = &bg_driver_silent;
}

const BgDriver *const *bg_drivers(void)
{
  return all;
}

#include "drivers/registry.h"

#include <string.h>

const BgDriver *bg_driver_find(const char *name)
{
  for (const BgDriver *const *driver = bg_drivers(); *driver; driver++)
    if (strcmp((*driver)->name, name) == 0)
      return *driver;
  return NULL;
}

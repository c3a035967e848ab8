#include "drivers/registry.h"

#include <glib.h>
#include <string.h>

const BgDriver *bg_driver_find(const char *name)
{
  for (const BgDriver *const *driver = bg_drivers(); *driver; driver++)
    if (strcmp((*driver)->name, name) == 0)
      return *driver;
  return NULL;
}

const BgDriver *bg_driver_of_uri(const char *name)
{
  size_t length = strcspn(name, ":/");
  if (name[length] != ':')
    return NULL;
  g_autofree char *scheme = g_strndup(name, length);
  for (const BgDriver *const *driver = bg_drivers(); *driver; driver++)
    if ((*driver)->schemes && g_strv_contains((*driver)->schemes, scheme))
      return *driver;
  return NULL;
}

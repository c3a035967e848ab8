#include "fs/ctl/units.h"

#include <glib.h>
#include <inttypes.h>

char *bgfs_ctl_size_text(uint64_t bytes)
{
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = (double)bytes;
  unsigned unit = 0;
  for (; value >= 999.5 && unit + 1 < G_N_ELEMENTS(units); unit++)
    value /= 1024;
  return g_strdup_printf("%.3g %s", value, units[unit]);
}

char *bgfs_ctl_duration_text(uint64_t seconds)
{
  uint64_t hours = seconds / 3600, minutes = seconds / 60 % 60;
  if (hours > 0)
    return g_strdup_printf("%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, hours, minutes, seconds % 60);
  return g_strdup_printf("%" PRIu64 ":%02" PRIu64, minutes, seconds % 60);
}

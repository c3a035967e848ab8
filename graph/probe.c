#include "graph/probe.h"

#include "drivers/registry.h"

#include <errno.h>

static bool matches(const BgDriver *driver, const uint8_t *head, size_t length)
{
  return driver->kind == BG_KIND_FORMAT && driver->probe && driver->probe(head, length) > 0;
}

const BgDriver *bg_probe_table(const BgDriver *const *drivers, const uint8_t *head, size_t length, GError **error)
{
  const BgDriver *found = NULL;
  length = MIN(length, BG_PROBE_HEAD);
  for (; *drivers; drivers++) {
    if (!matches(*drivers, head, length))
      continue;
    if (found) {
      bg_set_error(error, EINVAL, "The image could be %s or %s: say which with --format", found->name,
                   (*drivers)->name);
      return NULL;
    }
    found = *drivers;
  }
  return found;
}

const BgDriver *bg_probe_format(const uint8_t *head, size_t length, GError **error)
{
  return bg_probe_table(bg_drivers(), head, length, error);
}

/* Which format an image has, by its first bytes. */
#ifndef BG_PROBE_H
#define BG_PROBE_H

#include "drivers/driver.h"

/* At most this many bytes of an image's head are worth handing in. */
#define BG_PROBE_HEAD (64 * 1024)

/* Asks every FORMAT driver that was built in. NULL without error: none knows these bytes (whether that means raw is for the caller to
 * decide). NULL with EINVAL: several do; the message names them and --format. */
const BgDriver *bg_probe_format(const uint8_t *head, size_t length, GError **error);

/* The same with the drivers of a NULL-terminated table. */
const BgDriver *bg_probe_table(const BgDriver *const *drivers, const uint8_t *head, size_t length, GError **error);

#endif

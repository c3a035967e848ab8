/* The drivers that were built in; the table is generated from the list in Makefile.am. */
#ifndef BG_REGISTRY_H
#define BG_REGISTRY_H

#include "drivers/driver.h"

/* All drivers, NULL-terminated, in the order of the list. Static. */
const BgDriver *const *bg_drivers(void);

/* The driver of that name; NULL if there is none. */
const BgDriver *bg_driver_find(const char *name);

/* The driver for a URI, by its scheme; NULL if it is none, or no driver speaks it. "./" in front makes a file's name of anything. */
const BgDriver *bg_driver_of_uri(const char *name);

#endif

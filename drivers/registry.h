/* The drivers that were built in; the table is generated from the list in Makefile.am. */
#ifndef BG_REGISTRY_H
#define BG_REGISTRY_H

#include "drivers/driver.h"

/* All drivers, NULL-terminated, in the order of the list. Static. */
const BgDriver *const *bg_drivers(void);

/* The driver of that name; NULL if there is none. */
const BgDriver *bg_driver_find(const char *name);

#endif

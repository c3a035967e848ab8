/* Handles that were closed but not released yet: close(2) returns before the kernel's RELEASE arrives. An open
 * that is refused only because of them waits for them. */
#ifndef BGFS_CLOSING_H
#define BGFS_CLOSING_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define BGFS_CLOSING_WAIT G_USEC_PER_SEC /* how long, in µs */

/* Any thread. A handle is known by an address. */
typedef struct BgfsClosing BgfsClosing;

BgfsClosing *bgfs_closing_new(void);
void bgfs_closing_free(BgfsClosing *closing); /* NULL is fine */

/* A close of the handle was seen (perhaps only of one of its descriptors). */
void bgfs_closing_begin(BgfsClosing *closing, const void *handle);
/* The handle is gone, and with it what it kept from others. */
void bgfs_closing_end(BgfsClosing *closing, const void *handle);

/* How many handles have gone so far. */
uint64_t bgfs_closing_count(BgfsClosing *closing);
/* Waits until more than `count` handles have gone: true. False as soon as no handle is closing (those closed
 * longer ago than BGFS_CLOSING_WAIT are not waited for), or at `deadline` (g_get_monotonic_time()). */
bool bgfs_closing_wait(BgfsClosing *closing, uint64_t count, int64_t deadline);

#endif

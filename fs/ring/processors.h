/* The machine's processors, as the kernel numbers them. */
#ifndef BGFS_RING_PROCESSORS_H
#define BGFS_RING_PROCESSORS_H

#include <glib.h>
#include <stdbool.h>

/* More are taken for nonsense: Linux allows 8192. */
#define BGFS_PROCESSORS_MOST 8192u

/* Which of /sys/devices/system/cpu/WHICH ("possible", "online"): a set of numbers, in order (unsigned). NULL: error. Caller frees. */
GArray *bgfs_processors(const char *which, GError **error);

/* A list as such files hold it: "0-3,5\n". NULL: it is none. Caller frees. */
GArray *bgfs_processors_parse(const char *list);

#endif

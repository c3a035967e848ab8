/* Numbers as people read them. */
#ifndef BGFS_CTL_UNITS_H
#define BGFS_CTL_UNITS_H

#include <stdint.h>

/* "512 B", "1.5 GiB": at most three digits and a point. The caller frees. */
char *bgfs_ctl_size_text(uint64_t bytes);
/* "0:09", "1:02:03" of seconds. The caller frees. */
char *bgfs_ctl_duration_text(uint64_t seconds);

#endif

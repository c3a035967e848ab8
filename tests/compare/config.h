/* The shapes of images that are compared. */
#ifndef COMPARE_CONFIG_H
#define COMPARE_CONFIG_H

#include <glib.h>
#include <stdint.h>

typedef enum { BACKING_NONE, BACKING_SHORTER, BACKING_LONGER, BACKINGS } Backing;

typedef struct Config {
  char name[64];
  uint64_t cluster; /* bytes */
  uint64_t granule; /* a cluster, or a subcluster */
  uint64_t size;    /* of the disk at first */
  uint64_t backing_size;
  gboolean extended, lazy, zstd;
  gboolean data_file; /* then there are neither compressed clusters nor snapshots */
} Config;

/* All of them (Config). Free with g_array_unref(). */
GArray *configs_new(void);
/* The options for qemu-img create -o; `data_file` is the name of the data file. Caller frees. */
char *config_options(const Config *config, const char *data_file);

#endif

/* Several listeners where a graph takes one. */
#ifndef BGFS_FAN_OUT_H
#define BGFS_FAN_OUT_H

#include "graph/graph.h"

enum { BGFS_FAN_OUT_MAX = 2 };

/* Filled before the graph is made, which it outlives. */
typedef struct BgfsFanOut {
  const BgListener *listeners[BGFS_FAN_OUT_MAX]; /* each is told in this order; NULL: none */
  void *data[BGFS_FAN_OUT_MAX];
} BgfsFanOut;

/* With the BgfsFanOut as data. */
extern const BgListener bgfs_fan_out_listener;

#endif

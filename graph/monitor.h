/* The one thread that looks after a graph: ends lingering, looks at the storage once a second (permissions, locks and sizes that changed
 * from outside), writes out what is cached every few seconds. */
#ifndef BG_MONITOR_H
#define BG_MONITOR_H

#include "graph/node.h"

typedef struct BgMonitor BgMonitor;

BgMonitor *bg_monitor_start(BgGraph *graph);
/* Returns when the thread has ended. Ringing graph->alarm makes it look at everything at once. */
void bg_monitor_stop(BgMonitor *monitor);

/* Asks the drivers anew whether their storage could be written, without resolving states: for nodes that have just been opened. */
void bg_monitor_probe(BgGraph *graph);

#endif

/* What happens in the graph, told to clients. The listener only takes note; a thread of its own, which holds no lock of the graph,
 * makes events of it. What happens to one node several times before that is told once. */
#ifndef BGFS_QMP_EVENTS_H
#define BGFS_QMP_EVENTS_H

#include "fs/qmp/server.h"

typedef struct BgfsQmpEvents BgfsQmpEvents;

BgfsQmpEvents *bgfs_qmp_events_new(void);
/* Stopped, or never started. NULL is fine. */
void bgfs_qmp_events_free(BgfsQmpEvents *events);

/* Tells an event of its own. `name` is a literal; takes `data`. Any thread; never waits. */
void bgfs_qmp_events_add(BgfsQmpEvents *events, const char *name, JsonObject *data);

/* With the BgfsQmpEvents as data. */
extern const BgListener bgfs_qmp_events_listener;

/* Before this, and after stop, what happens is dropped. False: errno. */
bool bgfs_qmp_events_start(BgfsQmpEvents *events, BgfsQmpServer *server, BgGraph *graph);
/* Tells what happened until now; nothing more is told when it returns. NULL, and what was never started, are fine. */
void bgfs_qmp_events_stop(BgfsQmpEvents *events);

#endif

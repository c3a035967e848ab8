/* The graph from inside: what the files of graph/ share. Nothing outside graph/ includes this.
 *
 * Locks, outermost first:
 *   user gates (gate.h)   held by requests; closed by structural changes
 *   graph->control        pointers, marks and holds below; no I/O, no driver call under it
 *   node->life            an instance exists (readers) or is being closed (writer)
 *   node->state_lock      the published state and the watchers
 * What a comment marks (control) is written and read under graph->control, except by the thread that has marked the node
 * `changing`, which alone may write it. */
#ifndef BG_NODE_H
#define BG_NODE_H

#include "graph/alarm.h"
#include "graph/epoch.h"
#include "graph/gate.h"
#include "graph/graph.h"
#include "graph/range.h"
#include "graph/user.h"

#include <pthread.h>
#include <stdatomic.h>

typedef enum { BG_DISCARD_IGNORE, BG_DISCARD_UNMAP } BgDiscard;
typedef enum { BG_DETECT_ZEROES_OFF, BG_DETECT_ZEROES_ON, BG_DETECT_ZEROES_UNMAP } BgDetectZeroes;

/* The options that every node has. */
typedef struct BgNodeOptions {
  bool read_only, auto_read_only, force_share;
  bool direct, no_flush;
  int discard;       /* BgDiscard */
  int detect_zeroes; /* BgDetectZeroes */
} BgNodeOptions;

/* Somebody's claim on a node: the base of edges and users. */
typedef struct BgHold {
  BgNode *node;        /* (control), and by requests inside a gate. NULL: not attached */
  BgPerm perm, shared; /* (control) */
  char *what;          /* "overlay 'disk'", "file 'disk'": for messages */
  bool is_user;
  const struct BgFreeze
      *freeze; /* (control) of an edge: who froze it; of a user: for whom it stands there; see freeze.h. NULL: nobody */
  atomic_uint
      granted; /* BgPerm: what the data path may do; of an edge, during a change, the old and the new together */
} BgHold;

/* From a parent to a child. */
typedef struct BgEdge {
  BgChild child; /* what the parent's driver sees */
  BgHold hold;   /* on the child node */
  BgNode *parent;
} BgEdge;

struct BgNode {
  BgGraph *graph;
  char *name;
  const BgDriver *driver;
  BgHost host;
  void *instance;                      /* NULL before open and after close; see `life` */
  BgNodeOptions common;                /* (control); by requests inside a gate: discard, detect_zeroes, no_flush */
  void *options;                       /* typed, the driver's; (control) */
  const struct BgFreeze *views_closed; /* (control) who keeps everybody off its views; NULL: nobody; see view.h */
  BgSnapshot *snapshot;                /* that the node shows, see view.h; NULL: it is no view */
  bool implicit;                       /* opened for a parent, goes with it */
  bool live;                           /* (control) shown to the world */
  bool leaving;                        /* (control) being removed: nobody comes any more */
  bool changing;                       /* (control) the mark */
  bool yields;               /* (control) its name is given to a node that is being opened to take its place */
  bool pinned;               /* (control) by chmod */
  unsigned lifted;           /* (control) so many jobs may write it whatever its option read-only says; see freeze.h */
  BgMode mode;               /* (control) how the instance is open */
  GPtrArray *children;       /* BgEdge *, owned; (control), and by requests inside a gate */
  GPtrArray *holders;        /* BgHold *; (control) */
  struct BgOpening *opening; /* during open only: see open.c */

  GError *storage_error; /* (control) what can_change said last; NULL: would work */
  struct stat seen;      /* the monitor's: the host file when last looked at */
  bool seen_valid;       /* the monitor's: `seen` was taken while nobody wrote through the graph */
  int64_t settle_after;  /* (control) monotonic µs: a downgrade is due then; 0: none */
  char *settle_failure;  /* (control) why the last downgrade failed */

  BgLimits limits; /* fixed between changes that close gates */
  BgRanges ranges;
  BgRanges coded; /* units of encoded extents: readers share, who writes in place is alone; taken after `ranges` */
  atomic_uint_fast64_t written, flushed; /* counts of writes, for needless flushes */
  atomic_uint_fast64_t written_up_to;    /* see stats.h */
  struct BgStats *_Atomic stats;         /* NULL: nobody asked anything of it yet */
  struct BgBeforeWrite *before_write;    /* by requests inside a gate; NULL: nobody */
  atomic_bool corrupt;
  atomic_bool snapshots_changed; /* its views are not those of its snapshots any more */
  atomic_uint_fast64_t generation;
  atomic_bool foreign_writer;
  atomic_bool waits; /* requests may wait for somebody else (a server), here or below */

  BgGate errands;             /* the monitor's requests to nodes that wait enter here: see errand.h */
  unsigned errands_under_way; /* (control) BgErrandKind */

  pthread_rwlock_t life;
  pthread_mutex_t state_lock;
  BgNodeState state;   /* published */
  GPtrArray *watchers; /* open nodes whose bytes change when this one is written; replaced, never changed */
  atomic_bool watched; /* watchers is not empty */
};

/* Stands on a node. */
struct BgUser {
  BgGraph *graph;
  BgHold hold;
  BgGate gate;
  atomic_bool passthrough; /* its I/O may go around the graph: see passthrough.h; set under control */
};

struct BgGraph {
  BgPolicy policy;
  const BgListener *listener;
  void *listener_data;

  pthread_mutex_t gates; /* who closes gates holds it while they are closed */
  pthread_mutex_t control;
  pthread_cond_t changed; /* a mark was taken off */
  bool restructured;      /* (control) a mark on the whole: somebody closes gates, which one may do at a time */
  unsigned structure;     /* (control) changes of edges and options so far */
  GPtrArray *nodes;       /* BgNode *; (control); in order of opening */
  GPtrArray *users;       /* BgUser *; (control) */
  GPtrArray *graveyard;   /* removed nodes */

  BgEpoch *epoch;
  BgGate background; /* the monitor's requests enter here */
  unsigned errands;  /* (control) that are under way */
  BgAlarm alarm;     /* wakes the monitor */
  struct BgMonitor *monitor;
  struct BgHurry *hurry; /* (control) see hurry.h */
  struct BgJobs *jobs;
};

static inline BgEdge *bg_edge_of(BgChild *child)
{
  return (BgEdge *)((char *)child - offsetof(BgEdge, child));
}

static inline BgEdge *bg_hold_edge(BgHold *hold)
{
  return hold->is_user ? NULL : (BgEdge *)((char *)hold - offsetof(BgEdge, hold));
}

static inline BgUser *bg_hold_user(BgHold *hold)
{
  return hold->is_user ? (BgUser *)((char *)hold - offsetof(BgUser, hold)) : NULL;
}

static inline BgNode *bg_node_of(BgHost *host)
{
  return (BgNode *)((char *)host - offsetof(BgNode, host));
}

/* A node without an instance, not yet in the graph's list. Takes `name`. */
BgNode *bg_node_new(BgGraph *graph, char *name, const BgDriver *driver);
void bg_node_free(BgNode *node);

/* A request of a user, inside its gate. Whoever is there may call the data calls of graph/io.h on what the user's node reaches. */
typedef struct BgRequest {
  BgUser *user;
  unsigned token;
} G_GNUC_UNUSED BgRequest; /* often there for its end alone */

BgRequest bg_request_begin(BgUser *user);
void bg_request_end(BgRequest *request);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BgRequest, bg_request_end)

/* The edge of that name; NULL if none. (control) or inside a gate. */
BgEdge *bg_node_edge(const BgNode *node, const char *name);
/* The first edge with one of the roles that is attached; NULL if none. (control) or inside a gate. */
BgEdge *bg_node_edge_by_role(const BgNode *node, unsigned roles);

/* bg_node_size() for whoever is inside a gate, or holds `life`: without that lock. */
int64_t bg_node_size_inside(BgNode *node);

/* Why a view has no writers, of its name. */
#define BG_NODE_SNAPSHOT_REASON "node '%s' is an internal snapshot, which never changes"

/* "node 'NAME': " before the message, unless it names a node already. */
void bg_node_prefix_error(const BgNode *node, GError **error);

/* An edge that is attached to no child yet; in nobody's list. */
BgEdge *bg_edge_new(BgNode *parent, const char *name, BgRole role);
void bg_edge_free(BgEdge *edge);

/* Options with which a node is read-write as long as it exists. */
static inline bool bg_node_options_writable(const BgNodeOptions *common)
{
  return !common->read_only && !common->auto_read_only && !common->force_share;
}

/* What a writer of the node takes: WRITE, and RESIZE where it grows as a host file does. */
static inline BgPerm bg_node_write_perm(const BgNode *node)
{
  return BG_PERM_WRITE | (node->limits.grows ? BG_PERM_RESIZE : BG_PERM_NONE);
}

/* bg_graph_find() under graph->control. */
BgNode *bg_graph_look_up(const BgGraph *graph, const char *name);

/* Takes and drops graph->control. */
void bg_graph_lock(BgGraph *graph);
void bg_graph_unlock(BgGraph *graph);

#endif

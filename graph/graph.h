/* The graph of block nodes, as what stands on it (the mount, a control socket, tests) sees it.
 *
 * A BgNode pointer stays valid as long as its graph; a removed node only loses its place in it. Functions may
 * be called from any thread unless they say otherwise. Those marked "a change" may block for I/O and up to 5 s for
 * other changes (then EBUSY), and must not be called from a data call or a listener. */
#ifndef BG_GRAPH_H
#define BG_GRAPH_H

#include "drivers/driver.h"

typedef struct BgGraph BgGraph;
typedef struct BgNode BgNode;
struct BgJobEvent;

/* What images may refer to by themselves (backing files, data files; see graph/reference.h), and what they are decrypted with. */
typedef struct BgPolicy {
  bool trust_images;               /* anything goes */
  const char *const *allowed;      /* NULL-terminated paths and URI prefixes; NULL: none */
  const struct BgSecrets *secrets; /* outlives the graph; NULL: none */
  bool without_keys; /* images are looked at only: encrypted ones open without their keys, their data reads as EACCES */
} BgPolicy;

/* Told of what happened, from whichever thread it happened in, also from data calls: every function only takes note (queues)
 * and returns; it calls no function of the graph. NULL members are skipped. */
typedef struct BgListener {
  /* The published state (bg_node_state) or size changed. */
  void (*state_changed)(void *data, BgNode *node);
  /* The node's bytes may have changed other than through its own users: cached copies are stale. */
  void (*content_changed)(void *data, BgNode *node);
  void (*node_added)(void *data, BgNode *node);
  void (*node_removed)(void *data, BgNode *node);
  /* `to` took the place of `from`, whose content it had at that moment: with those who used it, and below the nodes that stood on it. */
  void (*node_replaced)(void *data, BgNode *from, BgNode *to);
  /* A request of somebody who stands on the node, but no job, failed: to read, or to change or flush what is there. */
  void (*io_error)(void *data, BgNode *node, bool reading, int error);
  /* The node's image contradicts itself, `message` says where: it takes no writer any more. `fatal`: it had one. */
  void (*image_corrupted)(void *data, BgNode *node, const char *message, bool fatal);
  /* Of a job (graph/jobs/job.h), under no lock; one job's events come one after another, from its thread. */
  void (*job_event)(void *data, const struct BgJobEvent *event);
} BgListener;

/* A new, empty graph. The policy is copied. `listener` (NULL: none) outlives the graph. */
BgGraph *bg_graph_new(const BgPolicy *policy, const BgListener *listener, void *listener_data);

/* Cancels all jobs and waits for them; then downgrades and closes all nodes. No other user may be left. False if data could not be flushed (the error names the first
 * node); the graph is gone all the same. */
bool bg_graph_close(BgGraph *graph, GError **error);

/* A change. Opens the node that `options` (QEMU's blockdev options, flat; taken from) describe, with the children
 * written inline. `options` must name a driver, or a `filename`-only child is probed: see graph/open.h. All or nothing. The
 * node, owned by the graph; NULL on error. */
BgNode *bg_graph_add(BgGraph *graph, BgDict *options, GError **error);

/* A change. Removes a node that has neither users nor parents, and its inline children that no one else uses. EBUSY naming
 * the party otherwise. */
bool bg_graph_remove(BgGraph *graph, BgNode *node, GError **error);

/* A change. Gives several nodes new options in one transaction (QEMU's blockdev-reopen): each dictionary (taken from) holds
 * `node-name` and the full set of options; options it leaves out go back to their fallbacks; children may be replaced,
 * attached or detached (`backing`: a node name, or empty for none), or stay with other options (`file.driver` …). All or nothing. */
bool bg_graph_reopen(BgGraph *graph, BgDict *const *options, size_t count, GError **error);

/* The node of that name; NULL if there is none. */
BgNode *bg_graph_find(BgGraph *graph, const char *name);

/* All nodes, parents before children, in the order in which they were opened otherwise. Free with g_ptr_array_unref(). */
GPtrArray *bg_graph_nodes(BgGraph *graph);

/* A change. Ends lingering downgrades now: when it returns true, only nodes in use or pinned are read-write. */
bool bg_graph_settle(BgGraph *graph, GError **error);

/* Whoever waits for somebody else (a server) who has been silent for `silence` ms gets an error now. The names of the nodes that were waited
 * for, in words; NULL: none. Caller frees. Never waits for I/O. */
char *bg_graph_abandon(BgGraph *graph, unsigned silence);

/* The same from now on, for everybody as soon as it is true of him, until the graph is closed: which then fails. */
void bg_graph_hurry(BgGraph *graph, unsigned silence);

/* ── one node ── */

const char *bg_node_name(const BgNode *node);
const BgDriver *bg_node_driver(const BgNode *node);

/* See SEMANTICS in docs/blockgraphfs.1: the file's write state. */
typedef enum {
  BG_STATE_WRITABLE,   /* somebody writes through this node */
  BG_STATE_AVAILABLE,  /* opening for writing would succeed */
  BG_STATE_READ_ONLY,  /* by option or pin */
  BG_STATE_UNWRITABLE, /* storage or driver refuses */
  BG_STATE_BLOCKED     /* another party does not share it */
} BgWriteState;

const char *bg_write_state_name(BgWriteState state);

typedef struct BgNodeState {
  BgWriteState write_state;
  int error;       /* errno that opening for writing gives now; 0: it succeeds */
  char *reason;    /* in words, naming who; never NULL */
  bool read_write; /* how the node itself is open at this moment */
  bool pinned;     /* by bg_node_pin() */
} BgNodeState;

/* A copy of the published state; never waits for a change. Free with bg_node_state_clear(). */
void bg_node_state(BgNode *node, BgNodeState *state);
void bg_node_state_clear(BgNodeState *state);
/* Only whether opening for writing would succeed. */
bool bg_node_writable(BgNode *node);

/* Whether requests to it may wait for somebody else (a server), for long or for ever. Any thread, costs one load. */
bool bg_node_may_wait(const BgNode *node);

/* The node that is its child of that name at this moment; NULL: none. */
BgNode *bg_node_child(BgNode *node, const char *name);

/* Size in bytes, or -errno. Never blocks. */
int64_t bg_node_size(BgNode *node);
/* Bytes of storage in use, or -errno. */
int64_t bg_node_allocated(BgNode *node);
/* The stat of the host file that stands for the node (its PRIMARY children down to a protocol); -ENOENT if none. */
int bg_node_host_stat(BgNode *node, struct stat *st);
/* A copy of the name of that storage, the caller's; NULL if none. */
char *bg_node_filename(BgNode *node);
void bg_node_limits(BgNode *node, BgLimits *limits);
/* What the node's image records of its backing file: each the caller's, or NULL where it records none. */
void bg_node_recorded_backing(BgNode *node, char **file, char **format);

/* Raised whenever the node's bytes may have changed other than through its own users. */
uint64_t bg_node_generation(BgNode *node);
/* Whether a node that shares bytes with this one (above or below it) has a writer now. */
bool bg_node_has_foreign_writer(BgNode *node);

/* Whether a user with passthrough (user.h) stands on a node that shows the same bytes: they change without the graph's
 * knowledge, now or when a writer comes. */
bool bg_node_beside_passthrough(BgNode *node);

/* A change. Pins the node read-only (chmod a-w) or takes that pin back. While it has a writer this succeeds without
 * effect. */
void bg_node_pin(BgNode *node, bool read_only);

#endif

/* Changing the graph: the one way in which permissions, open modes, options and edges change.
 *
 * A change is planned under graph->control, marks all nodes of its plan, and then goes through four steps without the lock:
 *
 *   open     drivers prepare: new descriptors, images, connections
 *   (gates)  closed only if edges or options change, and only those of users who can reach such a node
 *   settle   what becomes writable, children first; then what becomes read-only, parents first; then the proposal's last step. May
 *            fail: undone in reverse
 *   commit   pointers, modes and permissions are exchanged, states resolved anew, marks taken off. Cannot fail
 *
 * A node that nobody needs read-write any more stays so for BG_LINGER_MS (so that loops of writers do not flap); its downgrade is a
 * change of its own, run by the monitor. If it fails the node stays read-write and the monitor tries again. */
#ifndef BG_CHANGE_H
#define BG_CHANGE_H

#include "graph/commit.h"
#include "graph/mark.h"

/* All or nothing. Waits at most BG_MARK_TIMEOUT_MS for other changes of the same nodes, then EBUSY. Not under
 * graph->control, not inside a gate. */
bool bg_change_run(BgGraph *graph, BgProposal *proposal, GError **error);

/* Downgrades every lingering node. False with the first error; the others are tried all the same. */
bool bg_change_settle(BgGraph *graph, GError **error);

/* Downgrades the nodes whose time has come; those that may wait for somebody else in threads of their own. The monotonic time in µs when the next
 * one is due, INT64_MAX if none. */
int64_t bg_change_settle_due(BgGraph *graph);

/* Takes a hold off its node without asking any driver, where bg_change_run() could not: what the hold kept up is brought down later, by
 * the monitor. Not under graph->control. */
void bg_change_drop_hold(BgHold *hold);

#endif

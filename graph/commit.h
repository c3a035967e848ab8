/* The last step of a change: what was planned becomes what is. Cannot fail, does no I/O. */
#ifndef BG_COMMIT_H
#define BG_COMMIT_H

#include "graph/plan.h"
#include "graph/state.h"

/* How long a node that nobody needs read-write any more stays so. */
#define BG_LINGER_MS 300

/* Exchanges edges, options, permissions and modes; takes over the overrides' options. The drivers have committed; the plan's nodes are
 * marked and, where edges or options change, gates closed. States are the caller's to resolve. Under graph->control. */
void bg_commit(const BgPlan *plan, BgNews *news);

#endif

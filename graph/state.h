/* Resolving write states, and who has to be told. Under graph->control unless said otherwise. */
#ifndef BG_STATE_H
#define BG_STATE_H

#include "graph/node.h"

/* What to tell the listener once no lock is held. Zeroed is empty. */
typedef struct BgNews {
  GPtrArray *state;   /* BgNode * */
  GPtrArray *content; /* BgNode * */
} BgNews;

void bg_news_state(BgNews *news, BgNode *node);
void bg_news_content(BgNews *news, BgNode *node);
/* Not under graph->control. */
void bg_news_tell(BgNews *news);
void bg_news_clear(BgNews *news);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BgNews, bg_news_clear)

/* The nodes whose bytes change when `node` is written: what it writes to below, and all that stands on those; itself excluded. Free with
 * g_ptr_array_unref(). */
GPtrArray *bg_state_sharers(BgNode *node);

/* Whether what a user with these permissions writes is no write to the node's own file: a job's. The file shows other bytes then, too. */
bool bg_state_writes_beside_file(const BgHold *hold, BgPerm perm);

/* News for all sharers. */
void bg_state_content_changed(BgNode *node, BgNews *news);

/* Works out and publishes the write states, foreign writers and watchers of all live nodes. */
void bg_state_resolve(BgGraph *graph, BgNews *news);

#endif

#include "graph/events.h"
#include "graph/io.h"

#include <errno.h>

static bool writes_to(BgEdge *edge)
{
  return edge->hold.node && (atomic_load(&edge->hold.granted) & BG_PERM_ANY_WRITE);
}

typedef int ChildCall(BgNode *child);

/* Calls `call` for every child that the node may write to; the first error, but all are called. */
static int for_written_children(BgNode *node, ChildCall *call)
{
  int result = 0;
  for (guint i = 0; i < node->children->len; i++) {
    BgEdge *edge = node->children->pdata[i];
    int one = writes_to(edge) ? call(edge->hold.node) : 0;
    result = result ? result : one;
  }
  return result;
}

int bg_io_write_back(BgNode *node)
{
  int result = node->driver->write_back ? node->driver->write_back(node->instance) : 0;
  int below = for_written_children(node, bg_io_write_back);
  return result ? result : below;
}

/* Counted, so that a flush with nothing new to flush costs nothing; after a failure the count stays behind, and the driver is asked again. */
static int flush_storage(BgNode *node)
{
  uint64_t written = atomic_load(&node->written);
  if (!node->driver->flush || atomic_load(&node->flushed) == written)
    return 0;
  int result = node->driver->flush(node->instance);
  uint64_t flushed = atomic_load(&node->flushed);
  while (result == 0 && flushed < written && !atomic_compare_exchange_weak(&node->flushed, &flushed, written))
    ;
  return result;
}

int bg_io_flush(BgNode *node)
{
  int result = node->driver->write_back ? node->driver->write_back(node->instance) : 0;
  int below = node->common.no_flush ? 0 : for_written_children(node, bg_io_flush);
  int own = node->common.no_flush ? 0 : flush_storage(node);
  return result ? result : below ? below : own;
}

void bg_io_wrote(BgNode *node)
{
  atomic_fetch_add(&node->written, 1);
  if (!atomic_load_explicit(&node->watched, memory_order_relaxed))
    return;
  /* copied rather than referenced: ThreadSanitizer cannot see into GLib's reference counts */
  pthread_mutex_lock(&node->state_lock);
  guint count = node->watchers->len;
  g_autofree gpointer *watchers = g_memdup2(node->watchers->pdata, count * sizeof(gpointer));
  pthread_mutex_unlock(&node->state_lock);
  for (guint i = 0; i < count; i++)
    bg_events_content(watchers[i]);
}

#include "graph/user.h"

#include "drivers/iov.h"
#include "graph/change.h"
#include "graph/events.h"
#include "graph/freeze.h"
#include "graph/io.h"
#include "graph/map.h"
#include "graph/passthrough.h"
#include "graph/state.h"
#include "graph/stats.h"

#include <errno.h>

/* ── permissions ── */

BgPerm bg_user_write_perm(BgNode *node)
{
  bg_graph_lock(node->graph); /* a reopen may be giving the node other limits */
  BgPerm perm = bg_node_write_perm(node);
  bg_graph_unlock(node->graph);
  return perm;
}

static bool run_hold(BgUser *user, BgPerm perm, BgPerm shared, GError **error)
{
  g_auto(BgProposal) proposal;
  bg_proposal_init(&proposal);
  bg_graph_lock(user->graph);
  bg_proposal_hold(&proposal, &user->hold, perm, shared);
  bg_graph_unlock(user->graph);
  return bg_change_run(user->graph, &proposal, error);
}

/* Who reads the bytes below a writable format shall find its metadata there. */
static void write_back_above(BgNode *node)
{
  g_autoptr(GPtrArray) above = g_ptr_array_new();
  bg_graph_lock(node->graph);
  for (guint i = 0; i < node->holders->len; i++) {
    BgEdge *edge = bg_hold_edge(node->holders->pdata[i]);
    if (edge && edge->parent->mode.writable)
      g_ptr_array_add(above, edge->parent);
  }
  bg_graph_unlock(node->graph);
  for (guint i = 0; i < above->len; i++) {
    BgNode *parent = above->pdata[i];
    write_back_above(parent);
    if (parent->driver->write_back && parent->driver->write_back(parent->instance))
      g_warning("node '%s': its metadata could not be written out for the reader of '%s'", parent->name, node->name);
  }
}

static void reader_arrives(BgUser *user)
{
  BgGate *gate = &user->graph->background;
  bg_gate_enter(gate);
  write_back_above(bg_user_node(user));
  bg_gate_leave(gate);
}

/* From then on, changes of what the user's requests walk over close its gate; those under way do not know it. */
static bool enlist(BgUser *user, GError **error)
{
  BgGraph *graph = user->graph;
  bg_graph_lock(graph);
  bool quiet = bg_mark_wait_structure(graph, true);
  const BgNode *node = user->hold.node;
  bool live = node->live;
  if (quiet && live)
    g_ptr_array_add(graph->users, user);
  bg_graph_unlock(graph);
  if (!live)
    bg_set_error(error, ENOENT, "node '%s' was removed", node->name);
  else if (!quiet)
    bg_set_error(error, EBUSY, "node '%s': the graph is being changed", node->name);
  return quiet && live;
}

/* Changes that are under way may be about to close or open its gate. */
static void discharge(BgUser *user)
{
  BgGraph *graph = user->graph;
  bg_graph_lock(graph);
  bg_mark_wait_structure(graph, false);
  g_ptr_array_remove(user->hold.node->holders, &user->hold);
  g_ptr_array_remove(graph->users, user);
  bg_graph_unlock(graph);
}

static void user_free(BgUser *user)
{
  bg_gate_clear(&user->gate);
  g_free(user->hold.what);
  g_free(user);
}

static BgUser *user_new(BgNode *node, const char *what, const BgFreeze *freeze, BgPerm perm, BgPerm shared,
                        GError **error)
{
  BgUser *user = g_new0(BgUser, 1);
  user->graph = node->graph;
  user->hold = (BgHold){.node = node, .shared = BG_PERM_ALL, .what = g_strdup(what), .is_user = true, .freeze = freeze};
  bg_gate_init(&user->gate);
  if (!enlist(user, error)) {
    user_free(user);
    return NULL;
  }
  if (!run_hold(user, perm, shared, error)) {
    discharge(user);
    user_free(user);
    return NULL;
  }
  if (perm & BG_PERM_CONSISTENT_READ)
    reader_arrives(user);
  return user;
}

BgUser *bg_user_new(BgNode *node, const char *what, BgPerm perm, BgPerm shared, GError **error)
{
  return user_new(node, what, NULL, perm, shared, error);
}

BgUser *bg_freeze_user_new(const BgFreeze *freeze, BgNode *node, BgPerm perm, BgPerm shared, GError **error)
{
  return user_new(node, freeze->what, freeze, perm, shared, error);
}

bool bg_user_set_perm(BgUser *user, BgPerm perm, BgPerm shared, GError **error)
{
  return run_hold(user, perm, shared, error);
}

void bg_user_free(BgUser *user)
{
  if (!user)
    return;
  g_autoptr(GError) error = NULL;
  if (!run_hold(user, BG_PERM_NONE, BG_PERM_ALL, &error)) {
    g_warning("%s leaves without being asked: %s", user->hold.what, error->message);
    bg_change_drop_hold(&user->hold);
  }
  discharge(user);
  user_free(user);
}

BgNode *bg_user_node(const BgUser *user)
{
  bg_graph_lock(user->graph);
  BgNode *node = user->hold.node;
  bg_graph_unlock(user->graph);
  return node;
}

BgPerm bg_user_perm(const BgUser *user)
{
  bg_graph_lock(user->graph);
  BgPerm perm = user->hold.perm;
  bg_graph_unlock(user->graph);
  return perm;
}

/* ── requests ── */

BgRequest bg_request_begin(BgUser *user)
{
  bg_gate_enter(&user->gate);
  return (BgRequest){user, bg_epoch_enter(user->graph->epoch)};
}

void bg_request_end(BgRequest *request)
{
  bg_epoch_leave(request->user->graph->epoch, request->token);
  bg_gate_leave(&request->user->gate);
}

/* ── requests that are counted, and told of where they fail: those of jobs are not, for they tell of themselves ── */

static int64_t nanoseconds(void)
{
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Refused before the storage was asked. */
static int invalid(const BgRequest *request, BgStatsKind kind, int refusal)
{
  if (!request->user->hold.freeze)
    bg_stats_add_invalid(request->user->hold.node, request->token, kind);
  return refusal;
}

/* Done: `result` is bytes or -errno, and returned. */
static ssize_t counted(const BgRequest *request, BgStatsKind kind, int64_t began, ssize_t result)
{
  BgNode *node = request->user->hold.node;
  if (request->user->hold.freeze)
    return result;
  if (result == -EOPNOTSUPP)
    return invalid(request, kind, -EOPNOTSUPP);
  bg_stats_add(node, request->token, kind, result, nanoseconds() - began);
  if (G_UNLIKELY(result < 0))
    bg_events_io_error(node, kind == BG_STATS_READ, (int)-result);
  return result;
}

/* The same where a result of 0 stands for all `length` bytes. */
static int counted_whole(const BgRequest *request, BgStatsKind kind, int64_t began, int result, uint64_t length)
{
  counted(request, kind, began, result ? result : (ssize_t)length);
  return result;
}

typedef int VectorCall(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset);

/* Calls `call` for the first `length` bytes of the vector, in vectors no longer than the core takes. Bytes done, or the first error if
 * none are. */
static ssize_t in_batches(BgNode *node, const struct iovec *iov, int iovcnt, uint64_t offset, uint64_t length,
                          VectorCall *call)
{
  uint64_t done = 0;
  while (done < length && iovcnt > 0) {
    int count = MIN(iovcnt, BG_IOV_MAX);
    struct iovec part[BG_IOV_MAX];
    uint64_t batch = MIN(bg_iov_length(iov, count), length - done);
    int parts = bg_iov_slice(iov, count, 0, batch, part);
    int result = parts ? call(node, part, parts, offset + done) : 0;
    if (result)
      return done ? (ssize_t)done : result;
    done += batch;
    iov += count;
    iovcnt -= count;
  }
  return (ssize_t)done;
}

ssize_t bg_user_preadv(BgUser *user, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  int64_t began = nanoseconds();
  g_auto(BgRequest) request = bg_request_begin(user);
  BgNode *node = user->hold.node;
  int64_t size = bg_node_size_inside(node);
  if (size < 0)
    return counted(&request, BG_STATS_READ, began, (ssize_t)size);
  if (offset >= (uint64_t)size)
    return 0;
  uint64_t length = MIN(bg_iov_length(iov, iovcnt), (uint64_t)size - offset);
  return counted(&request, BG_STATS_READ, began, in_batches(node, iov, iovcnt, offset, length, bg_io_preadv));
}

/* What every change of a range asks first: 0 or -errno. */
static int check_change(const BgUser *user, BgPerm perm, uint64_t offset, uint64_t length)
{
  if (!(atomic_load(&user->hold.granted) & perm))
    return -EBADF;
  return offset > INT64_MAX || length > INT64_MAX - offset ? -EFBIG : 0;
}

/* `*full`: there was no space for new data, which is not the answer yet. NULL: it is. */
static ssize_t write_once(BgUser *user, const struct iovec *iov, int iovcnt, uint64_t offset, bool *full)
{
  int64_t began = nanoseconds();
  g_auto(BgRequest) request = bg_request_begin(user);
  BgNode *node = user->hold.node;
  uint64_t length = bg_iov_length(iov, iovcnt);
  int refusal = check_change(user, BG_PERM_WRITE | BG_PERM_WRITE_UNCHANGED, offset, length);
  if (refusal)
    return invalid(&request, BG_STATS_WRITE, refusal);
  if (!node->limits.grows) {
    int64_t size = bg_node_size_inside(node);
    if (size < 0)
      return counted(&request, BG_STATS_WRITE, began, (ssize_t)size);
    if (length && offset >= (uint64_t)size)
      return invalid(&request, BG_STATS_WRITE, -ENOSPC);
    length = MIN(length, (uint64_t)size - offset);
  }
  ssize_t done = in_batches(node, iov, iovcnt, offset, length, bg_io_pwritev);
  if (full && done == -ENOSPC) {
    *full = true;
    return done;
  }
  return counted(&request, BG_STATS_WRITE, began, done);
}

/* Space that was freed comes back once that is durable, and then once no request is left that began before, this one included: so
 * these are two steps, and the request is made again from outside. */
ssize_t bg_user_pwritev(BgUser *user, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  bool full = false;
  ssize_t done = write_once(user, iov, iovcnt, offset, &full);
  if (!full)
    return done;
  for (int step = 0; step < 2; step++)
    bg_user_write_back(user);
  return write_once(user, iov, iovcnt, offset, NULL);
}

int bg_user_zero(BgUser *user, uint64_t offset, uint64_t length, BgUserZero flags)
{
  int64_t began = nanoseconds();
  g_auto(BgRequest) request = bg_request_begin(user);
  bool unmaps = flags & BG_USER_ZERO_MAY_UNMAP;
  BgStatsKind kind = unmaps ? BG_STATS_UNMAP : BG_STATS_WRITE;
  int refusal = check_change(user, BG_PERM_WRITE, offset, length);
  if (refusal)
    return invalid(&request, kind, refusal);
  int result = bg_io_zero(user->hold.node, offset, length, unmaps ? BG_ZERO_MAY_UNMAP : BG_ZERO_NONE,
                          !(flags & BG_USER_ZERO_NO_FALLBACK));
  return counted_whole(&request, kind, began, result, length);
}

int bg_user_discard(BgUser *user, uint64_t offset, uint64_t length)
{
  int64_t began = nanoseconds();
  g_auto(BgRequest) request = bg_request_begin(user);
  int refusal = check_change(user, BG_PERM_WRITE, offset, length);
  if (refusal)
    return invalid(&request, BG_STATS_UNMAP, refusal);
  int result = bg_io_discard(user->hold.node, offset, length);
  return counted_whole(&request, BG_STATS_UNMAP, began, result, length);
}

int bg_user_write_back(BgUser *user)
{
  g_auto(BgRequest) request = bg_request_begin(user);
  bg_passthrough_note(user);
  return bg_io_write_back(user->hold.node);
}

int bg_user_flush(BgUser *user)
{
  int64_t began = nanoseconds();
  g_auto(BgRequest) request = bg_request_begin(user);
  bg_passthrough_note(user);
  return (int)counted(&request, BG_STATS_FLUSH, began, bg_io_flush(user->hold.node));
}

/* Bytes from `offset` to the node's end, more than 0; -ENXIO where that is passed. */
static int64_t bytes_left(BgNode *node, uint64_t offset)
{
  int64_t size = bg_node_size_inside(node);
  if (size < 0)
    return size;
  return offset < (uint64_t)size ? size - (int64_t)offset : -ENXIO;
}

int bg_user_status(BgUser *user, uint64_t offset, BgStatus *status)
{
  g_auto(BgRequest) request = bg_request_begin(user);
  int64_t left = bytes_left(user->hold.node, offset);
  if (left < 0)
    return (int)left;
  return bg_io_status(user->hold.node, offset, (uint64_t)left, status);
}

int bg_user_map(BgUser *user, uint64_t offset, BgMapped *mapped)
{
  g_auto(BgRequest) request = bg_request_begin(user);
  int64_t left = bytes_left(user->hold.node, offset);
  if (left < 0)
    return (int)left;
  return bg_io_map(user->hold.node, offset, (uint64_t)left, mapped);
}

static int populate_once(BgUser *user, uint64_t offset, uint64_t length, unsigned depth, void *buffer)
{
  g_auto(BgRequest) request = bg_request_begin(user);
  int refusal = check_change(user, BG_PERM_WRITE | BG_PERM_WRITE_UNCHANGED, offset, length);
  int64_t left = refusal ? refusal : bytes_left(user->hold.node, offset);
  if (left < 0)
    return (int)left;
  return bg_io_populate(user->hold.node, offset, MIN(length, (uint64_t)left), depth, buffer);
}

/* As bg_user_pwritev() does where there is no space. */
int bg_user_populate(BgUser *user, uint64_t offset, uint64_t length, unsigned depth, void *buffer)
{
  int result = populate_once(user, offset, length, depth, buffer);
  if (result != -ENOSPC || bg_user_write_back(user) || bg_user_write_back(user))
    return result;
  return populate_once(user, offset, length, depth, buffer);
}

/* ── size ── */

static int resize_inside(BgUser *user, uint64_t size)
{
  g_auto(BgRequest) request = bg_request_begin(user);
  return bg_io_resize(user->hold.node, size);
}

static void size_changed(BgNode *node)
{
  g_auto(BgNews) news = {0};
  bg_graph_lock(node->graph);
  g_autoptr(GPtrArray) sharers = bg_state_sharers(node);
  bg_graph_unlock(node->graph);
  bg_news_state(&news, node);
  for (guint i = 0; i < sharers->len; i++) {
    bg_news_state(&news, sharers->pdata[i]);
    bg_news_content(&news, sharers->pdata[i]);
  }
  bg_news_tell(&news);
}

int bg_user_resize(BgUser *user, uint64_t size, GError **error)
{
  BgPerm perm = user->hold.perm, shared = user->hold.shared;
  g_autoptr(GError) refusal = NULL;
  if (!(perm & BG_PERM_WRITE))
    return -EBADF;
  if (size > INT64_MAX)
    return -EFBIG;
  if (!(perm & BG_PERM_RESIZE) && !run_hold(user, perm | BG_PERM_RESIZE, shared & ~BG_PERM_RESIZE, &refusal)) {
    int result = -bg_error_errno(refusal);
    g_propagate_error(error, g_steal_pointer(&refusal));
    return result;
  }
  int result = resize_inside(user, size);
  if (result)
    bg_set_error_errno(error, -result, "node '%s': cannot be resized", bg_user_node(user)->name);
  else
    size_changed(bg_user_node(user));
  if (!(perm & BG_PERM_RESIZE) && !run_hold(user, perm, shared, &refusal))
    g_warning("node '%s': %s", bg_user_node(user)->name, refusal->message);
  return result;
}

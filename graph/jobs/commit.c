#include "graph/jobs/commit.h"

#include "graph/jobs/chain.h"
#include "graph/jobs/copy.h"
#include "graph/jobs/mirror.h"
#include "graph/map.h"
#include "graph/node.h"

#include <errno.h>

typedef struct Commit {
  BgChain chain;
  BgUser *from, *to;  /* on top, on base */
  BgUser *image;      /* on the overlay while its header is written */
  char *backing_file; /* NULL: as base was opened */
  BgOnError on_error;
  int first; /* error that was passed over */
  void *buffer;
} Commit;

static void commit_clean(void *work)
{
  Commit *commit = work;
  if (commit->chain.freeze.graph)
    bg_freeze_let_read_only(&commit->chain.freeze);
  bg_user_free(commit->image);
  bg_user_free(commit->to);
  bg_user_free(commit->from);
  bg_chain_clear(&commit->chain);
  g_free(commit->backing_file);
  g_free(commit->buffer);
  g_free(commit);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Commit, commit_clean)

/* ── the data ── */

/* What is at `offset`, as far as one piece of work goes. */
static int look(BgJob *job, Commit *commit, uint64_t offset, BgMapped *mapped)
{
  int result = bg_user_map(commit->from, offset, mapped);
  if (result == 0 && mapped->depth < commit->chain.depth && !mapped->zero)
    mapped->length = MIN(mapped->length, bg_job_piece(job, BG_COPY_PIECE));
  return result;
}

/* What no disk above base says anything of shows through already. What lies past the end of one of them reads as zeros, and hides base. */
static int take_up(Commit *commit, const BgMapped *mapped, bool *reading)
{
  *reading = false;
  if (mapped->depth >= commit->chain.depth)
    return 0;
  if (mapped->zero)
    return bg_user_zero(commit->to, mapped->start, mapped->length, BG_USER_ZERO_MAY_UNMAP);
  return bg_copy_data(commit->from, commit->to, mapped->start, mapped->length, commit->buffer, reading);
}

/* One piece from *offset on, which is moved past it. */
static bool commit_piece(BgJob *job, Commit *commit, uint64_t *offset, GError **error)
{
  BgMapped mapped = {.length = BG_COPY_PIECE};
  bool reading = true;
  int result = look(job, commit, *offset, &mapped);
  if (result == 0)
    result = take_up(commit, &mapped, &reading);
  BgCopyVerdict verdict = BG_COPY_PAST;
  if (result)
    verdict = bg_copy_failed(job, commit->on_error, reading, result, &commit->first, error);
  if (verdict == BG_COPY_FAILS)
    return false;
  if (verdict == BG_COPY_AGAIN)
    return true;
  *offset += mapped.length;
  bg_job_advance(job, mapped.length);
  bool copied = mapped.depth < commit->chain.depth && !mapped.zero;
  return copied ? bg_job_throttle(job, mapped.length) : bg_job_go_on(job);
}

static bool make_durable(Commit *commit, GError **error)
{
  int result = commit->first ? commit->first : bg_user_flush(commit->to);
  if (result)
    bg_set_error_errno(error, -result, "node '%s': not all was written", commit->chain.base->name);
  return result == 0;
}

static bool commit_run(BgJob *job, void *work, GError **error)
{
  Commit *commit = work;
  int64_t size = bg_node_size(commit->chain.top);
  if (size < 0) {
    bg_set_error_errno(error, (int)-size, "node '%s': its size is not known", commit->chain.top->name);
    return false;
  }
  bg_job_set_total(job, (uint64_t)size);
  commit->buffer = g_malloc(BG_COPY_PIECE);
  if (!bg_copy_grow(commit->to, (uint64_t)size, error))
    return false;
  for (uint64_t offset = 0; offset < (uint64_t)size;)
    if (!commit_piece(job, commit, &offset, error))
      return false;
  return make_durable(commit, error);
}

/* ── the chain ── */

static bool commit_finish(BgJob *job, void *work, GError **error)
{
  Commit *commit = work;
  BgChain *chain = &commit->chain;
  g_autofree char *file = NULL;
  const char *format;
  (void)job;
  bg_freeze_lift_read_only(&chain->freeze, chain->overlay);
  commit->image = bg_freeze_user_new(&chain->freeze, chain->overlay, BG_PERM_WRITE_UNCHANGED, BG_PERM_ALL, error);
  if (!commit->image || !bg_chain_base_name(chain, &file, &format, error))
    return false;
  g_autoptr(GPtrArray) users = g_ptr_array_new();
  g_ptr_array_add(users, commit->from);
  g_ptr_array_add(users, commit->to);
  if (!bg_chain_relink(chain, commit->backing_file ? commit->backing_file : file, format, users, error))
    return false;
  g_clear_pointer(&commit->from, bg_user_free);
  g_clear_pointer(&commit->to, bg_user_free);
  bg_chain_drop_unused(chain);
  return true;
}

static const BgJobKind commit_kind = {
    .type = "commit", .block = true, .run = commit_run, .finish = commit_finish, .clean = commit_clean};

/* ── the start ── */

/* The node above top in the chain of `device`; NULL: top is not below it. */
static BgNode *find_overlay(BgNode *device, const BgNode *top)
{
  BgNode *node = device, *overlay = NULL;
  bg_graph_lock(device->graph);
  while (node && node != top) {
    BgEdge *edge = bg_node_edge_by_role(node, BG_ROLE_COW);
    overlay = node;
    node = edge ? edge->hold.node : NULL;
  }
  bg_graph_unlock(device->graph);
  return node ? overlay : NULL;
}

static bool stand(Commit *commit, GError **error)
{
  BgChain *chain = &commit->chain;
  BgPerm shared = BG_PERM_CONSISTENT_READ | BG_PERM_WRITE_UNCHANGED;
  bg_freeze_lift_read_only(&chain->freeze, chain->base);
  commit->from = bg_freeze_user_new(&chain->freeze, chain->top, BG_PERM_CONSISTENT_READ, shared, error);
  if (!commit->from)
    return false;
  BgPerm perm = BG_PERM_CONSISTENT_READ | bg_user_write_perm(chain->base);
  commit->to = bg_freeze_user_new(&chain->freeze, chain->base, perm, shared, error);
  return commit->to != NULL;
}

static bool check_nodes(const BgJobCommit *commit, GError **error)
{
  if (commit->top == commit->base) {
    bg_set_error(error, EINVAL, "top and base are both node '%s'", bg_node_name(commit->top));
    return false;
  }
  return true;
}

BgJob *bg_job_commit(BgGraph *graph, const BgJobCommit *options, GError **error)
{
  if (!bg_jobs_check_id(graph, options->settings.id, error) || !check_nodes(options, error))
    return NULL;
  if (options->top == options->device)
    return bg_job_commit_active(graph, options, error);
  BgNode *overlay = find_overlay(options->device, options->top);
  if (!overlay) {
    bg_set_error(error, EINVAL, "node '%s' is not below node '%s' in its backing chain", bg_node_name(options->top),
                 bg_node_name(options->device));
    return NULL;
  }
  g_autoptr(Commit) commit = g_new0(Commit, 1);
  g_autofree char *what = g_strdup_printf("commit job '%s'", options->settings.id);
  commit->backing_file = g_strdup(options->backing_file);
  commit->on_error = options->on_error;
  if (!bg_chain_freeze(&commit->chain, overlay, options->top, options->base, what, error) ||
      !bg_chain_check_link(&commit->chain, error) || !stand(commit, error))
    return NULL;
  return bg_job_start(graph, &commit_kind, &options->settings, g_steal_pointer(&commit), error);
}

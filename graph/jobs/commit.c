#include "graph/jobs/commit.h"

#include "graph/jobs/chain.h"
#include "graph/jobs/copy.h"
#include "graph/jobs/mirror.h"
#include "graph/jobs/walk.h"
#include "graph/map.h"
#include "graph/node.h"

#include <errno.h>

typedef struct Commit {
  BgCopy copy;        /* of top to base */
  BgUser *image;      /* on the overlay while its header is written */
  char *backing_file; /* NULL: as base was opened */
  BgOnError on_error;
  BgMapped seen; /* in top, which nobody writes */
} Commit;

static void commit_clean(void *work)
{
  Commit *commit = work;
  if (commit->copy.chain.freeze.graph)
    bg_freeze_let_read_only(&commit->copy.chain.freeze);
  bg_user_free(commit->image);
  bg_copy_clear(&commit->copy);
  g_free(commit->backing_file);
  g_free(commit);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Commit, commit_clean)

/* ── the data ── */

/* What no disk above base says anything of shows through already. What lies past the end of one of them reads as zeros, and hides base. */
static int commit_look(BgJob *job, void *work, uint64_t offset, BgWalkStep *step)
{
  Commit *commit = work;
  BgMapped *seen = &commit->seen;
  int result = bg_walk_look(commit->copy.from, offset, seen);
  if (result)
    return result;
  step->wanted = seen->depth < commit->copy.chain.depth;
  step->zero = seen->zero;
  step->length = step->wanted && !step->zero ? MIN(seen->length, bg_job_piece(job, BG_COPY_PIECE)) : seen->length;
  return 0;
}

static int commit_see_to(void *work, BgPiece *piece)
{
  const Commit *commit = work;
  return bg_copy_piece(commit->copy.from, commit->copy.to, piece);
}

static bool commit_run(BgJob *job, void *work, GError **error)
{
  Commit *commit = work;
  BgWalk walk = {commit->copy.source, commit->copy.to, commit->on_error, commit, commit_look, commit_see_to};
  return bg_copy_grow(&commit->copy, error) && bg_walk(job, &walk, error);
}

/* ── the chain ── */

static bool commit_finish(BgJob *job, void *work, GError **error)
{
  Commit *commit = work;
  BgChain *chain = &commit->copy.chain;
  g_autofree char *file = NULL;
  const char *format;
  (void)job;
  bg_freeze_lift_read_only(&chain->freeze, chain->overlay);
  commit->image = bg_freeze_user_new(&chain->freeze, chain->overlay, BG_PERM_WRITE_UNCHANGED, BG_PERM_ALL, error);
  if (!commit->image || !bg_chain_base_name(chain, &file, &format, error))
    return false;
  g_autoptr(GPtrArray) users = g_ptr_array_new();
  g_ptr_array_add(users, commit->copy.from);
  g_ptr_array_add(users, commit->copy.to);
  if (!bg_chain_relink(chain, commit->backing_file ? commit->backing_file : file, format, users, error))
    return false;
  g_clear_pointer(&commit->copy.from, bg_user_free);
  g_clear_pointer(&commit->copy.to, bg_user_free);
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
  bg_freeze_lift_read_only(&commit->copy.chain.freeze, commit->copy.target);
  return bg_copy_open(&commit->copy, BG_PERM_CONSISTENT_READ, BG_PERM_CONSISTENT_READ | BG_PERM_WRITE_UNCHANGED, error);
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
  commit->copy.source = options->top;
  commit->copy.target = options->base;
  commit->on_error = options->on_error;
  if (!bg_chain_freeze(&commit->copy.chain, overlay, options->top, options->base, what, error) ||
      !bg_chain_check_link(&commit->copy.chain, error) || !stand(commit, error))
    return NULL;
  return bg_job_start(graph, &commit_kind, &options->settings, g_steal_pointer(&commit), error);
}

#include "graph/jobs/copy.h"

#include "graph/change.h"

#include <errno.h>
#include <stdlib.h>

enum { RETRY_MS = 100 }; /* after an error that is ignored */

/* ── from where, to where ── */

BgPerm bg_copy_shared_with_writers(BgNode *source)
{
  BgLimits limits;
  bg_node_limits(source, &limits);
  return limits.grows ? BG_PERM_ALL : BG_PERM_ALL & ~BG_PERM_RESIZE; /* its writers hold RESIZE all the time */
}

bool bg_copy_open(BgCopy *copy, BgPerm perm, BgPerm shared, GError **error)
{
  const BgFreeze *freeze = &copy->chain.freeze;
  copy->from = bg_freeze_user_new(freeze, copy->source, perm, shared, error);
  if (!copy->from)
    return false;
  perm = BG_PERM_CONSISTENT_READ | bg_user_write_perm(copy->target);
  shared = BG_PERM_CONSISTENT_READ | BG_PERM_WRITE_UNCHANGED;
  copy->to = bg_freeze_user_new(freeze, copy->target, perm, shared, error);
  return copy->to != NULL;
}

bool bg_copy_grow(const BgCopy *copy, GError **error)
{
  int64_t size = bg_node_size(copy->source), now = bg_node_size(copy->target);
  if (size < 0 || (now >= 0 && now >= size))
    return true;
  g_autoptr(GError) refusal = NULL;
  int result = now < 0 ? (int)now : bg_user_resize(copy->to, (uint64_t)size, &refusal);
  if (result == 0)
    return true;
  if (refusal)
    g_propagate_error(error, g_steal_pointer(&refusal));
  else
    bg_set_error_errno(error, -result, "node '%s': cannot be made larger", copy->target->name);
  return false;
}

bool bg_copy_run_alone(BgCopy *copy, bool (*last)(void *data, GError **error),
                       void (*more)(void *data, BgProposal *proposal), void *data, GError **error)
{
  BgGraph *graph = copy->source->graph;
  g_auto(BgProposal) proposal;
  bg_proposal_init(&proposal);
  proposal.by = &copy->chain.freeze;
  proposal.last = last;
  proposal.data = data;
  bg_graph_lock(graph);
  bg_proposal_drain(&proposal, copy->source);
  if (more)
    more(data, &proposal);
  bg_graph_unlock(graph);
  return bg_change_run(graph, &proposal, error);
}

void bg_copy_clear(BgCopy *copy)
{
  if (copy->chain.freeze.graph)
    bg_freeze_let_read_only(&copy->chain.freeze);
  g_clear_pointer(&copy->to, bg_user_free);
  g_clear_pointer(&copy->from, bg_user_free);
  bg_chain_clear(&copy->chain);
}

/* ── pieces ── */

void *bg_copy_buffer(void)
{
  return aligned_alloc(4096, BG_COPY_PIECE);
}

/* All of it; the node is that large. */
static int read_all(BgUser *user, uint64_t offset, uint64_t length, void *buffer)
{
  struct iovec iov = {buffer, length};
  ssize_t done = bg_user_preadv(user, &iov, 1, offset);
  return done < 0 ? (int)done : (uint64_t)done == length ? 0 : -EIO;
}

static int write_all(BgUser *user, uint64_t offset, uint64_t length, void *buffer)
{
  for (uint64_t done = 0; done < length;) {
    struct iovec iov = {(char *)buffer + done, length - done};
    ssize_t part = bg_user_pwritev(user, &iov, 1, offset + done);
    if (part <= 0)
      return part < 0 ? (int)part : -EIO;
    done += (uint64_t)part;
  }
  return 0;
}

int bg_copy_piece(BgUser *from, BgUser *to, BgPiece *piece)
{
  piece->reading = false;
  if (piece->zero)
    return bg_user_zero(to, piece->offset, piece->length, BG_USER_ZERO_MAY_UNMAP);
  int result = read_all(from, piece->offset, piece->length, piece->buffer);
  piece->reading = result != 0;
  return result ? result : write_all(to, piece->offset, piece->length, piece->buffer);
}

bool bg_copy_check_sizes(BgNode *source, BgNode *target, GError **error)
{
  int64_t from = bg_node_size(source), to = bg_node_size(target);
  if (from >= 0 && to >= 0 && to <= from)
    return true;
  if (from < 0 || to < 0)
    bg_set_error_errno(error, (int)-(from < 0 ? from : to), "node '%s': its size is not known",
                       from < 0 ? source->name : target->name);
  else
    bg_set_error(error, EINVAL, "node '%s' is larger than node '%s'", target->name, source->name);
  return false;
}

BgCopyVerdict bg_copy_failed(BgJob *job, BgOnError on_error, bool reading, int result, int *first, GError **error)
{
  if (!bg_job_io_failed(job, on_error, reading, result)) {
    bg_set_error_errno(error, -result, "Cannot %s", reading ? "read" : "write");
    return BG_COPY_FAILS;
  }
  if (on_error != BG_ON_ERROR_IGNORE)
    return BG_COPY_AGAIN;
  *first = *first ? *first : result;
  return BG_COPY_PAST;
}

BgCopyVerdict bg_copy_failed_for_now(BgJob *job, const BgCopyPolicy *on_error, const BgPiece *piece, int result,
                                     GError **error)
{
  int first = 0;
  BgCopyVerdict verdict =
      bg_copy_failed(job, piece->reading ? on_error->source : on_error->target, piece->reading, result, &first, error);
  if (verdict == BG_COPY_PAST)
    bg_job_sleep(job, RETRY_MS * 1000);
  return verdict;
}

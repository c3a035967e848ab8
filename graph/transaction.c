#include "graph/transaction.h"

#include "graph/change.h"
#include "graph/jobs/group.h"
#include "graph/snapshot.h"
#include "graph/step.h"

#include <errno.h>

struct BgTransaction {
  BgGraph *graph;
  GPtrArray *steps;  /* BgStep * */
  BgJobGroup *group; /* NULL: jobs do not depend on each other */
};

BgTransaction *bg_transaction_new(BgGraph *graph, bool grouped)
{
  BgTransaction *transaction = g_new0(BgTransaction, 1);
  transaction->graph = graph;
  transaction->steps = g_ptr_array_new();
  transaction->group = grouped ? bg_job_group_new() : NULL;
  return transaction;
}

static void end_all(BgTransaction *transaction, bool done)
{
  for (guint i = 0; i < transaction->steps->len; i++) {
    BgStep *step = transaction->steps->pdata[i];
    step->kind->end(step, done);
  }
  g_ptr_array_set_size(transaction->steps, 0);
}

void bg_transaction_free(BgTransaction *transaction)
{
  if (!transaction)
    return;
  end_all(transaction, false);
  g_ptr_array_unref(transaction->steps);
  bg_job_group_unref(transaction->group);
  g_free(transaction);
}

/* ── adding ── */

static bool add(BgTransaction *transaction, BgStep *step)
{
  if (step)
    g_ptr_array_add(transaction->steps, step);
  return step;
}

bool bg_transaction_add_bitmap(BgTransaction *transaction, const BgBitmapAction *action, GError **error)
{
  (void)error;
  return add(transaction, bg_bitmap_step_new(action));
}

bool bg_transaction_add_append(BgTransaction *transaction, const BgAppend *append, GError **error)
{
  (void)error;
  return add(transaction, bg_append_step_new(append));
}

bool bg_transaction_add_snapshot(BgTransaction *transaction, BgNode *node, const char *name, GError **error)
{
  return add(transaction, bg_snapshot_step_new(node, name, error));
}

bool bg_transaction_add_backup(BgTransaction *transaction, const BgJobBackup *options, GError **error)
{
  return add(transaction, bg_backup_step_new(transaction->graph, options, transaction->group, error));
}

static bool propose_nothing(BgStep *step, BgProposal *proposal, GError **error)
{
  (void)step, (void)proposal, (void)error;
  return true;
}

static bool fail(BgStep *step, GError **error)
{
  (void)step;
  bg_set_error(error, ECANCELED, "Transaction aborted using Abort action");
  return false;
}

static void free_step(BgStep *step, bool done)
{
  (void)done;
  g_free(step);
}

void bg_transaction_add_abort(BgTransaction *transaction)
{
  static const BgStepKind abort_kind = {.propose = propose_nothing, .act = fail, .end = free_step};
  BgStep *step = g_new0(BgStep, 1);
  step->kind = &abort_kind;
  add(transaction, step);
}

/* ── running ── */

static bool propose_all(BgTransaction *transaction, BgProposal *proposal, GError **error)
{
  bool good = true;
  bg_graph_lock(transaction->graph);
  for (guint i = 0; good && i < transaction->steps->len; i++) {
    BgStep *step = transaction->steps->pdata[i];
    good = step->kind->propose(step, proposal, error);
  }
  bg_graph_unlock(transaction->graph);
  return good;
}

static void undo_before(const BgTransaction *transaction, guint failed)
{
  for (guint i = failed; i-- > 0;) {
    BgStep *step = transaction->steps->pdata[i];
    if (step->kind->undo)
      step->kind->undo(step);
  }
}

static void seal_all(const BgTransaction *transaction)
{
  for (guint i = 0; i < transaction->steps->len; i++) {
    BgStep *step = transaction->steps->pdata[i];
    if (step->kind->seal)
      step->kind->seal(step);
  }
}

/* The last step of the change that may fail. */
static bool act_all(void *data, GError **error)
{
  const BgTransaction *transaction = data;
  for (guint i = 0; i < transaction->steps->len; i++) {
    BgStep *step = transaction->steps->pdata[i];
    if (!step->kind->act || step->kind->act(step, error))
      continue;
    undo_before(transaction, i);
    return false;
  }
  seal_all(transaction);
  return true;
}

bool bg_transaction_run(BgTransaction *transaction, GError **error)
{
  g_auto(BgProposal) proposal;
  bg_proposal_init(&proposal);
  proposal.last = act_all;
  proposal.data = transaction;
  bool done = propose_all(transaction, &proposal, error) && bg_change_run(transaction->graph, &proposal, error);
  end_all(transaction, done);
  return done;
}

#include "fs/ctl/wait.h"

#include "drivers/error.h"
#include "fs/ctl/interrupt.h"
#include "fs/ctl/values.h"

#include <errno.h>
#include <string.h>

enum {
  SHOWN = 250,    /* ms between two looks at the progress of a bar */
  PLAIN = 1000,   /* … of plain lines */
  UNSHOWN = 5000, /* … where none is shown: events tell all that matters, as long as none is lost */
  LATE = 2000,    /* ms that a job's last events may come after it is gone */
};

typedef struct Waiting {
  const BgfsCtlWait *wait;
  BgfsCtlProgress progress;
  char *state;  /* of the job, where it is not at work; NULL */
  bool missing; /* the job, in the list; its last events may be on their way */
  bool gone;
  bool is_ready;    /* and shall be left so */
  bool interrupted; /* once */
  bool left;        /* interrupted again */
  GError *failure;  /* of the job */
} Waiting;

static void remark(const Waiting *waiting, const char *text)
{
  bgfs_ctl_progress_wipe(waiting->wait->style, stderr);
  fprintf(stderr, "%s: %s\n", waiting->wait->id, text);
}

/* ── events ── */

static bool on_ready(Waiting *waiting, GError **error)
{
  const BgfsCtlWait *wait = waiting->wait;
  if (waiting->interrupted)
    return true;
  if (wait->ready == BGFS_CTL_READY_COMPLETE)
    return bgfs_ctl_client_do(wait->client, "job-complete", bgfs_ctl_arguments("id", wait->id, NULL), error);
  if (wait->ready == BGFS_CTL_READY_FINISH)
    return bgfs_ctl_client_do(wait->client, "block-job-cancel", bgfs_ctl_arguments("device", wait->id, NULL), error);
  waiting->is_ready = true;
  return true;
}

static void on_completed(Waiting *waiting, JsonObject *data)
{
  const char *reason = bgfs_ctl_text(data, "error");
  if (!reason || waiting->failure)
    return;
  g_autofree char *shown = bgfs_ctl_shown(reason);
  bg_set_error(&waiting->failure, EIO, "%s", shown);
}

/* A mirror that was ready and is finished is cancelled too, by QEMU's word. */
static void on_cancelled(Waiting *waiting)
{
  bool meant = waiting->wait->ready == BGFS_CTL_READY_FINISH && !waiting->interrupted;
  if (!meant && !waiting->failure)
    bg_set_error(&waiting->failure, ECANCELED, "cancelled");
}

static void on_error(const Waiting *waiting, JsonObject *data)
{
  if (g_strcmp0(bgfs_ctl_text(data, "action"), "stop") == 0)
    remark(waiting, "an error stopped it; blockgraphctl jobs MOUNTPOINT resume lets it try again");
}

static bool take_event(Waiting *waiting, JsonObject *event, GError **error)
{
  const char *name = bgfs_ctl_text(event, "event");
  JsonObject *data = bgfs_ctl_object(event, "data");
  bool is_status = strcmp(name, "JOB_STATUS_CHANGE") == 0;
  if (g_strcmp0(bgfs_ctl_text(data, is_status ? "id" : "device"), waiting->wait->id) != 0)
    return true;
  if (is_status)
    waiting->gone |= g_strcmp0(bgfs_ctl_text(data, "status"), "null") == 0;
  else if (strcmp(name, "BLOCK_JOB_READY") == 0)
    return on_ready(waiting, error);
  else if (strcmp(name, "BLOCK_JOB_COMPLETED") == 0)
    on_completed(waiting, data);
  else if (strcmp(name, "BLOCK_JOB_CANCELLED") == 0)
    on_cancelled(waiting);
  else if (strcmp(name, "BLOCK_JOB_ERROR") == 0)
    on_error(waiting, data);
  return true;
}

/* ── progress ── */

static const char *state_worth_showing(JsonObject *job)
{
  const char *status = bgfs_ctl_text(job, "status");
  return g_strcmp0(status, "running") == 0 ? NULL : status;
}

static bool look(Waiting *waiting, GError **error)
{
  const BgfsCtlWait *wait = waiting->wait;
  g_autoptr(JsonNode) jobs = bgfs_ctl_client_call(wait->client, "query-jobs", NULL, error);
  if (!jobs)
    return false;
  JsonArray *list = JSON_NODE_HOLDS_ARRAY(jobs) ? json_node_get_array(jobs) : NULL;
  bool found = false;
  for (unsigned i = 0; i < bgfs_ctl_length(list); i++) {
    JsonObject *job = bgfs_ctl_element(list, i);
    if (g_strcmp0(bgfs_ctl_text(job, "id"), wait->id) != 0)
      continue;
    found = true;
    bgfs_ctl_progress_sample(&waiting->progress, g_get_monotonic_time(),
                             (uint64_t)MAX(bgfs_ctl_number(job, "current-progress", 0), 0),
                             (uint64_t)MAX(bgfs_ctl_number(job, "total-progress", 0), 0));
    g_free(waiting->state);
    waiting->state = bgfs_ctl_shown(state_worth_showing(job));
  }
  waiting->missing = !found;
  if (found)
    bgfs_ctl_progress_show(&waiting->progress, wait->style, wait->id, *waiting->state ? waiting->state : NULL, stderr);
  return true;
}

/* ── interrupts ── */

/* True: it goes on being waited for. */
static bool on_interrupt(Waiting *waiting, GError **error)
{
  const BgfsCtlWait *wait = waiting->wait;
  if (waiting->interrupted) {
    bg_set_error(error, EINTR, "it is being cancelled and was left to itself");
    waiting->left = true;
    return false;
  }
  waiting->interrupted = true;
  remark(waiting, "cancelling");
  g_autoptr(GError) refused = NULL;
  if (!bgfs_ctl_client_do(wait->client, "job-cancel", bgfs_ctl_arguments("id", wait->id, NULL), &refused) &&
      bg_error_errno(refused) != EINTR)
    remark(waiting, refused->message); /* it is just ending, or the connection is gone, which the next look tells */
  return true;
}

/* ── waiting ── */

static int interval(const BgfsCtlWait *wait)
{
  return wait->style == BGFS_CTL_PROGRESS_BAR ? SHOWN : wait->style == BGFS_CTL_PROGRESS_PLAIN ? PLAIN : UNSHOWN;
}

/* One thing that happens, or the time for a look. */
static bool step(Waiting *waiting, int64_t *next_look, GError **error)
{
  const BgfsCtlWait *wait = waiting->wait;
  int64_t left = (*next_look - g_get_monotonic_time()) / 1000;
  g_autoptr(GError) failure = NULL;
  JsonObject *event = bgfs_ctl_client_event(wait->client, (int)MAX(left, 0), wait->interrupt, &failure);
  if (failure) {
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
  }
  if (event) {
    bool taken = take_event(waiting, event, error);
    json_object_unref(event);
    return taken;
  }
  if (bgfs_ctl_interrupt_take(wait->interrupt))
    return on_interrupt(waiting, error);
  if (g_get_monotonic_time() < *next_look)
    return true;
  waiting->gone |= waiting->missing;
  if (waiting->gone || !look(waiting, error))
    return waiting->gone;
  *next_look = g_get_monotonic_time() + (int64_t)(waiting->missing ? LATE : interval(wait)) * 1000;
  return true;
}

/* A command that was interrupted is no failure: the next step takes the interrupt. */
static bool step_on(Waiting *waiting, int64_t *next_look, GError **error)
{
  g_autoptr(GError) failure = NULL;
  if (step(waiting, next_look, &failure))
    return true;
  if (!waiting->left && bg_error_errno(failure) == EINTR)
    return true;
  g_propagate_error(error, g_steal_pointer(&failure));
  return false;
}

BgfsCtlWaited bgfs_ctl_wait(const BgfsCtlWait *wait, GError **error)
{
  Waiting waiting = {.wait = wait};
  int64_t next_look = g_get_monotonic_time();
  bool going = true;
  bgfs_ctl_client_set_wake(wait->client, wait->interrupt);
  while (going && !waiting.gone && !waiting.is_ready)
    going = step_on(&waiting, &next_look, error);
  bgfs_ctl_client_set_wake(wait->client, -1);
  bgfs_ctl_progress_wipe(wait->style, stderr);
  g_free(waiting.state);
  if (waiting.failure && going)
    g_propagate_error(error, g_steal_pointer(&waiting.failure));
  else if (going)
    return waiting.gone ? BGFS_CTL_WAIT_DONE : BGFS_CTL_WAIT_READY;
  g_clear_error(&waiting.failure);
  return BGFS_CTL_WAIT_FAILED;
}

#include "fs/ctl/work.h"

#include "drivers/error.h"
#include "drivers/options.h"
#include "fs/ctl/interrupt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ── the command line ── */

static bool check_on_error(const BgfsCtlWork *work)
{
  static const char *const words[] = {"report", "ignore", "stop", "enospc", NULL};
  return !work->on_error || g_strv_contains(words, work->on_error);
}

static bool check(BgfsCtlWork *work, int *status)
{
  g_autoptr(GError) error = NULL;
  if (work->speed && !bg_parse_size(work->speed, &work->bytes_per_second, &error))
    *status = bgfs_ctl_usage(&work->ctl, error->message);
  else if (!check_on_error(work))
    *status = bgfs_ctl_usage(&work->ctl, "--on-error is report, ignore, stop or enospc");
  else if (!bgfs_ctl_progress_parse(work->progress ? work->progress : "auto", &work->style))
    *status = bgfs_ctl_usage(&work->ctl, "--progress is auto, bar, plain or none");
  else
    return true;
  return false;
}

bool bgfs_ctl_work_parse(BgfsCtlWork *work, const char *type, const BgfsCtlCommand *command,
                         const GOptionEntry *entries, int argc, char **argv, int *status)
{
  *work = (BgfsCtlWork){.type = type};
  const GOptionEntry common[] = {
      {"detach", 'd', 0, G_OPTION_ARG_NONE, &work->detach, "Print the job's id and do not wait for it", NULL},
      {"id", 0, 0, G_OPTION_ARG_STRING, &work->id, "What the job shall be called", "ID"},
      {"on-error", 0, 0, G_OPTION_ARG_STRING, &work->on_error, "What to do about failed reads and writes",
       "report|ignore|stop|enospc"},
      {"progress", 0, 0, G_OPTION_ARG_STRING, &work->progress, "How to show progress (default: auto)",
       "auto|bar|plain|none"},
      {"speed", 0, 0, G_OPTION_ARG_STRING, &work->speed, "At most so many bytes a second, with K, M, G or T behind",
       "SIZE"},
  };
  g_autoptr(GArray) all = g_array_new(TRUE, TRUE, sizeof(GOptionEntry));
  for (; entries && entries->long_name; entries++)
    g_array_append_vals(all, entries, 1);
  g_array_append_vals(all, common, G_N_ELEMENTS(common));
  return bgfs_ctl_parse(&work->ctl, command, (const GOptionEntry *)(void *)all->data, argc, argv, status) &&
         check(work, status);
}

void bgfs_ctl_work_clear(BgfsCtlWork *work)
{
  bgfs_ctl_target_clear(&work->target);
  bgfs_ctl_clear(&work->ctl);
  g_free(work->format);
  g_free(work->id);
  g_free(work->speed);
  g_free(work->on_error);
  g_free(work->progress);
}

/* ── starting ── */

static GHashTable *ids_in_use(JsonNode *jobs)
{
  GHashTable *ids = g_hash_table_new(g_str_hash, g_str_equal);
  JsonArray *list = JSON_NODE_HOLDS_ARRAY(jobs) ? json_node_get_array(jobs) : NULL;
  for (unsigned i = 0; i < bgfs_ctl_length(list); i++) {
    const char *id = bgfs_ctl_text(bgfs_ctl_element(list, i), "id");
    if (id)
      g_hash_table_add(ids, (gpointer)id);
  }
  return ids;
}

/* "commit0", or with the first number that is free. */
static bool choose_id(BgfsCtlWork *work, GError **error)
{
  if (work->id)
    return true;
  g_autoptr(JsonNode) jobs = bgfs_ctl_client_call(work->ctl.client, "query-jobs", NULL, error);
  if (!jobs)
    return false;
  g_autoptr(GHashTable) used = ids_in_use(jobs);
  for (unsigned i = 0; !work->id; i++) {
    g_autofree char *id = g_strdup_printf("%s%u", work->type, i);
    if (!g_hash_table_contains(used, id))
      work->id = g_steal_pointer(&id);
  }
  return true;
}

static void set_options(const BgfsCtlWork *work, JsonObject *arguments)
{
  bool two_sides = json_object_has_member(arguments, "target");
  json_object_set_string_member(arguments, "job-id", work->id);
  if (work->speed)
    json_object_set_int_member(arguments, "speed", (gint64)work->bytes_per_second);
  if (work->on_error)
    json_object_set_string_member(arguments, two_sides ? "on-source-error" : "on-error", work->on_error);
  if (work->on_error && two_sides)
    json_object_set_string_member(arguments, "on-target-error", work->on_error);
}

/* ── what came of it ── */

static void print_result(const BgfsCtlWork *work, const char *status)
{
  if (work->ctl.json) {
    g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(root, bgfs_ctl_arguments("id", work->id, "type", work->type, "status", status, NULL));
    bgfs_ctl_print_json(root);
  } else if (strcmp(status, "concluded") != 0) {
    puts(work->id);
  }
}

/* Whoever interrupts it twice waits for nothing any more. */
static void release_target(BgfsCtlWork *work, BgfsCtlWaited waited, const GError *error)
{
  bool failed = waited == BGFS_CTL_WAIT_FAILED, left = failed && bg_error_errno(error) == EINTR;
  bool taken = waited == BGFS_CTL_WAIT_READY || (!failed && work->replaces);
  if (left && work->target.file)
    fprintf(stderr, "%s: %s is left\n", work->ctl.subcommand.name, work->target.file);
  bgfs_ctl_target_close(&work->ctl, &work->target, failed, left || taken);
}

static int wait_for(BgfsCtlWork *work, const char *node, int interrupt, BgfsCtlReady ready)
{
  const BgfsCtlWait wait = {work->ctl.client, work->id, ready, work->style, interrupt};
  GError *error = NULL;
  BgfsCtlWaited waited = bgfs_ctl_wait(&wait, &error);
  release_target(work, waited, error);
  if (waited == BGFS_CTL_WAIT_FAILED) {
    g_prefix_error(&error, "job %s: ", work->id);
    return bgfs_ctl_fail(&work->ctl, node, error);
  }
  print_result(work, waited == BGFS_CTL_WAIT_READY ? "ready" : "concluded");
  return EXIT_SUCCESS;
}

static bool open_target(BgfsCtlWork *work, const char *node, const char *target, JsonObject *arguments, GError **error)
{
  if (!target)
    return true;
  if (!bgfs_ctl_target_open(&work->ctl, &work->target, node, target, work->format, error))
    return false;
  json_object_set_string_member(arguments, "target", work->target.node);
  return true;
}

/* `arguments` is taken. */
static bool start_job(BgfsCtlWork *work, const char *start, JsonObject *arguments, GError **error)
{
  set_options(work, arguments);
  if (bgfs_ctl_client_do(work->ctl.client, start, arguments, error))
    return true;
  bgfs_ctl_target_close(&work->ctl, &work->target, true, false);
  return false;
}

int bgfs_ctl_work_run(BgfsCtlWork *work, const char *node, const char *target, const char *start, JsonObject *arguments,
                      BgfsCtlReady ready)
{
  GError *error = NULL;
  /* before anything is there: an interrupt that comes while it starts cancels it */
  int interrupt = choose_id(work, &error) ? bgfs_ctl_interrupt_new(&error) : -1;
  if (interrupt < 0 || !open_target(work, node, target, arguments, &error)) {
    json_object_unref(arguments);
    return bgfs_ctl_fail(&work->ctl, node, error);
  }
  if (!start_job(work, start, arguments, &error))
    return bgfs_ctl_fail(&work->ctl, node, error);
  if (!work->detach)
    return wait_for(work, node, interrupt, ready);
  print_result(work, "running");
  return EXIT_SUCCESS;
}

#include "fs/image-info.h"
#include "fs/qmp/command.h"

#include "fs/qmp/error.h"
#include "fs/qmp/job-info.h"
#include "graph/escape.h"

/* The commands job-… name the job by `id`, the older block-job-… most of them by `device`. */
static BgJob *find_job(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  bool older = json_object_has_member(arguments, "device");
  const char *id = json_object_get_string_member(arguments, older ? "device" : "id");
  BgJob *job = bg_jobs_find(mount->graph, id);
  if (job)
    return job;
  g_autofree char *shown = bg_escape(id);
  if (older)
    bgfs_qmp_set_error(error, BGFS_QMP_DEVICE_NOT_ACTIVE, "Block job '%s' not found", shown);
  else
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Job not found");
  return NULL;
}

static JsonNode *done_if(bool done)
{
  return done ? bgfs_qmp_done() : NULL;
}

/* ── verbs ── */

static JsonNode *job_pause(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  g_autoptr(BgJob) job = find_job(mount, arguments, error);
  return done_if(job && bg_job_pause(job, error));
}

static JsonNode *job_resume(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  g_autoptr(BgJob) job = find_job(mount, arguments, error);
  return done_if(job && bg_job_resume(job, error));
}

static JsonNode *job_complete(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  g_autoptr(BgJob) job = find_job(mount, arguments, error);
  return done_if(job && bg_job_complete(job, error));
}

static JsonNode *job_finalize(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  g_autoptr(BgJob) job = find_job(mount, arguments, error);
  return done_if(job && bg_job_finalize(job, error));
}

static JsonNode *job_dismiss(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  g_autoptr(BgJob) job = find_job(mount, arguments, error);
  return done_if(job && bg_job_dismiss(job, error));
}

/* As QEMU's, this one always aborts. */
static JsonNode *job_cancel(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  g_autoptr(BgJob) job = find_job(mount, arguments, error);
  return done_if(job && bg_job_cancel(job, true, error));
}

static JsonNode *block_job_cancel(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  g_autoptr(BgJob) job = find_job(mount, arguments, error);
  bool force = json_object_get_boolean_member_with_default(arguments, "force", FALSE);
  return done_if(job && bg_job_cancel(job, force, error));
}

static JsonNode *block_job_set_speed(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  gint64 speed = json_object_get_int_member(arguments, "speed");
  if (speed < 0) {
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Parameter 'speed' expects a non-negative value");
    return NULL;
  }
  g_autoptr(BgJob) job = find_job(mount, arguments, error);
  return done_if(job && bg_job_set_speed(job, (uint64_t)speed, error));
}

/* ── queries ── */

static JsonNode *list(const BgfsQmpMount *mount, bool block_only)
{
  g_autoptr(GPtrArray) jobs = bg_jobs_list(mount->graph);
  JsonArray *told = json_array_new();
  for (guint i = 0; i < jobs->len; i++) {
    g_auto(BgJobInfo) info = {0};
    bg_job_info(jobs->pdata[i], &info);
    if (!block_only)
      json_array_add_object_element(told, bgfs_qmp_job_info(&info));
    else if (info.block)
      json_array_add_object_element(told, bgfs_qmp_block_job_info(&info));
  }
  return bgfs_json_of_array(told);
}

static JsonNode *query_jobs(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  (void)arguments;
  (void)error;
  return list(mount, false);
}

static JsonNode *query_block_jobs(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  (void)arguments;
  (void)error;
  return list(mount, true);
}

/* ── types ── */

static const BgfsQmpMember id_members[] = {{"id", &bgfs_qmp_string, false, "the job"}, {NULL}};
static const BgfsQmpType id_type = {.kind = BGFS_QMP_OBJECT, .name = "JobId", .members = id_members};

static const BgfsQmpMember device_members[] = {{"device", &bgfs_qmp_string, false, "the job"}, {NULL}};
static const BgfsQmpType device_type = {.kind = BGFS_QMP_OBJECT, .name = "BlockJobDevice", .members = device_members};

static const BgfsQmpMember cancel_members[] = {
    {"device", &bgfs_qmp_string, false, "the job"},
    {"force", &bgfs_qmp_bool, true, "abort also a job that is ready (default: false)"},
    {NULL},
};
static const BgfsQmpType cancel_type = {.kind = BGFS_QMP_OBJECT, .name = "BlockJobCancel", .members = cancel_members};

static const BgfsQmpMember speed_members[] = {
    {"device", &bgfs_qmp_string, false, "the job"},
    {"speed", &bgfs_qmp_int, false, "bytes a second, 0: as fast as it goes"},
    {NULL},
};
static const BgfsQmpType speed_type = {.kind = BGFS_QMP_OBJECT, .name = "BlockJobSetSpeed", .members = speed_members};

static const BgfsQmpMember job_members[] = {
    {"id", &bgfs_qmp_string, false, "its name"},
    {"type", &bgfs_qmp_string, false, "commit, stream, mirror, backup or create"},
    {"status", &bgfs_qmp_string, false,
     "created, running, paused, ready, standby, waiting, pending, aborting or concluded"},
    {"current-progress", &bgfs_qmp_int, false, "what is done …"},
    {"total-progress", &bgfs_qmp_int, false, "… of so much, which may grow"},
    {"error", &bgfs_qmp_string, true, "why it failed"},
    {NULL},
};
static const BgfsQmpType job_type = {.kind = BGFS_QMP_OBJECT, .name = "JobInfo", .members = job_members};
static const BgfsQmpType job_list = {.kind = BGFS_QMP_ARRAY, .name = "[JobInfo]", .element = &job_type};

static const BgfsQmpMember block_job_members[] = {
    {"type", &bgfs_qmp_string, false, "commit, stream, mirror or backup"},
    {"device", &bgfs_qmp_string, false, "its name"},
    {"len", &bgfs_qmp_int, false, "bytes to do"},
    {"offset", &bgfs_qmp_int, false, "bytes that are done"},
    {"speed", &bgfs_qmp_int, false, "bytes a second at most, 0: no limit"},
    {"busy", &bgfs_qmp_bool, false, "whether it works at this moment"},
    {"paused", &bgfs_qmp_bool, false, "whether it was paused"},
    {"io-status", &bgfs_qmp_string, false, "ok; failed or nospace where an error stopped it"},
    {"ready", &bgfs_qmp_bool, false, "whether it waits to be completed"},
    {"status", &bgfs_qmp_string, false, "as query-jobs has it"},
    {"auto-finalize", &bgfs_qmp_bool, false, "whether it needs no job-finalize"},
    {"auto-dismiss", &bgfs_qmp_bool, false, "whether it needs no job-dismiss"},
    {"error", &bgfs_qmp_string, true, "why it failed"},
    {NULL},
};
static const BgfsQmpType block_job_type = {
    .kind = BGFS_QMP_OBJECT, .name = "BlockJobInfo", .members = block_job_members};
static const BgfsQmpType block_job_list = {
    .kind = BGFS_QMP_ARRAY, .name = "[BlockJobInfo]", .element = &block_job_type};

const BgfsQmpCommand bgfs_qmp_job_commands[] = {
    {"query-jobs", query_jobs, &bgfs_qmp_nothing, &job_list, 0, "Lists the jobs."},
    {"job-pause", job_pause, &id_type, &bgfs_qmp_nothing, 0, "Pauses a job, at its next pause point."},
    {"job-resume", job_resume, &id_type, &bgfs_qmp_nothing, 0, "Lets a paused job go on."},
    {"job-cancel", job_cancel, &id_type, &bgfs_qmp_nothing, 0, "Aborts a job."},
    {"job-complete", job_complete, &id_type, &bgfs_qmp_nothing, 0, "Lets a job that is ready come to its end."},
    {"job-finalize", job_finalize, &id_type, &bgfs_qmp_nothing, 0, "Lets what a pending job did take effect."},
    {"job-dismiss", job_dismiss, &id_type, &bgfs_qmp_nothing, 0, "Forgets a job that is concluded."},
    {"query-block-jobs", query_block_jobs, &bgfs_qmp_nothing, &block_job_list, 0,
     "Lists the jobs that copy between nodes."},
    {"block-job-pause", job_pause, &device_type, &bgfs_qmp_nothing, 0, "As job-pause."},
    {"block-job-resume", job_resume, &device_type, &bgfs_qmp_nothing, 0, "As job-resume."},
    {"block-job-cancel", block_job_cancel, &cancel_type, &bgfs_qmp_nothing, 0,
     "As job-cancel; but a job that is ready ends well, and leaves its target as the copy of this moment, unless it is "
     "forced."},
    {"block-job-complete", job_complete, &device_type, &bgfs_qmp_nothing, 0, "As job-complete."},
    {"block-job-finalize", job_finalize, &id_type, &bgfs_qmp_nothing, 0, "As job-finalize."},
    {"block-job-dismiss", job_dismiss, &id_type, &bgfs_qmp_nothing, 0, "As job-dismiss."},
    {"block-job-set-speed", block_job_set_speed, &speed_type, &bgfs_qmp_nothing, 0, "Gives a job another limit."},
    {NULL},
};

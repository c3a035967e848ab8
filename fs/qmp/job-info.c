#include "fs/qmp/job-info.h"

#include "fs/image-info.h"

#include <errno.h>

/* ── queries ── */

static void set_error(JsonObject *object, const BgJobInfo *info)
{
  if (info->error)
    bgfs_json_set_text(object, "error", info->message ? info->message : g_strerror(info->error));
}

JsonObject *bgfs_qmp_job_info(const BgJobInfo *info)
{
  JsonObject *job = json_object_new();
  json_object_set_string_member(job, "id", info->id);
  json_object_set_string_member(job, "type", info->type);
  json_object_set_string_member(job, "status", bg_job_status_name(info->status));
  json_object_set_int_member(job, "current-progress", (gint64)info->current);
  json_object_set_int_member(job, "total-progress", (gint64)info->total);
  set_error(job, info);
  return job;
}

static const char *io_status(int error)
{
  return error == 0 ? "ok" : error == ENOSPC ? "nospace" : "failed";
}

/* What query-block-jobs and the events of block jobs have in common. */
static JsonObject *block_job(const BgJobInfo *info)
{
  JsonObject *job = json_object_new();
  json_object_set_string_member(job, "type", info->type);
  json_object_set_string_member(job, "device", info->id);
  json_object_set_int_member(job, "len", (gint64)info->total);
  json_object_set_int_member(job, "offset", (gint64)info->current);
  json_object_set_int_member(job, "speed", (gint64)info->speed);
  return job;
}

JsonObject *bgfs_qmp_block_job_info(const BgJobInfo *info)
{
  JsonObject *job = block_job(info);
  json_object_set_boolean_member(job, "busy", info->busy);
  json_object_set_boolean_member(job, "paused", info->paused);
  json_object_set_string_member(job, "io-status", io_status(info->stopped_by));
  json_object_set_boolean_member(job, "ready", info->ready);
  json_object_set_string_member(job, "status", bg_job_status_name(info->status));
  json_object_set_boolean_member(job, "auto-finalize", info->auto_finalize);
  json_object_set_boolean_member(job, "auto-dismiss", info->auto_dismiss);
  set_error(job, info);
  return job;
}

/* ── events ── */

const char *bgfs_qmp_job_event_name(const BgJobEvent *event)
{
  static const char *const names[] = {
      [BG_JOB_EVENT_STATUS] = "JOB_STATUS_CHANGE",      [BG_JOB_EVENT_READY] = "BLOCK_JOB_READY",
      [BG_JOB_EVENT_PENDING] = "BLOCK_JOB_PENDING",     [BG_JOB_EVENT_COMPLETED] = "BLOCK_JOB_COMPLETED",
      [BG_JOB_EVENT_CANCELLED] = "BLOCK_JOB_CANCELLED", [BG_JOB_EVENT_ERROR] = "BLOCK_JOB_ERROR"};
  return names[event->kind];
}

static JsonObject *status_data(const BgJobInfo *info)
{
  JsonObject *data = json_object_new();
  json_object_set_string_member(data, "id", info->id);
  json_object_set_string_member(data, "status", bg_job_status_name(info->status));
  return data;
}

static JsonObject *pending_data(const BgJobInfo *info)
{
  JsonObject *data = json_object_new();
  json_object_set_string_member(data, "type", info->type);
  json_object_set_string_member(data, "id", info->id);
  return data;
}

static JsonObject *error_data(const BgJobEvent *event)
{
  JsonObject *data = json_object_new();
  json_object_set_string_member(data, "device", event->info->id);
  json_object_set_string_member(data, "operation", event->reading ? "read" : "write");
  json_object_set_string_member(data, "action", bg_on_error_names[event->action]);
  return data;
}

JsonObject *bgfs_qmp_job_event_data(const BgJobEvent *event)
{
  switch (event->kind) {
  case BG_JOB_EVENT_STATUS:
    return status_data(event->info);
  case BG_JOB_EVENT_PENDING:
    return pending_data(event->info);
  case BG_JOB_EVENT_ERROR:
    return error_data(event);
  default: {
    JsonObject *data = block_job(event->info);
    if (event->kind == BG_JOB_EVENT_COMPLETED)
      set_error(data, event->info);
    return data;
  }
  }
}

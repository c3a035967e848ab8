/* Jobs: long work on the graph, each in a thread of its own that stands on nodes as a user does. States, verbs and their rules are QEMU's
 * (QEMU, qapi/job.json), so that tools which know those know these.
 *
 * A job goes through
 *
 *   created → running ⇄ paused → waiting → pending → concluded → null
 *             running → ready ⇄ standby → waiting …                     (mirror, active commit)
 *             any before concluded → aborting → concluded → null       (failed or cancelled)
 *
 * and its thread alone makes these steps, so the listener hears of them in their order. Verbs only ask for a step, and return at once;
 * but what was dismissed is gone.
 *
 * What a job did takes effect between pending and concluded, in one change of the graph; before, nodes are as they were but for the
 * permissions that the job holds. A BgJob is reference counted, and its facts can be read for as long as somebody holds a reference, the
 * graph's end included. All functions may be called from any thread; none may be called from a listener. */
#ifndef BG_JOB_H
#define BG_JOB_H

#include "graph/graph.h"

typedef struct BgJob BgJob;

typedef enum {
  BG_JOB_CREATED,
  BG_JOB_RUNNING,
  BG_JOB_PAUSED,
  BG_JOB_READY,   /* source and target are the same, and kept so; waits for complete or cancel */
  BG_JOB_STANDBY, /* paused while ready */
  BG_JOB_WAITING, /* the work is done */
  BG_JOB_PENDING, /* waits for finalize, unless that is automatic */
  BG_JOB_ABORTING,
  BG_JOB_CONCLUDED, /* waits for dismiss, unless that is automatic */
  BG_JOB_NULL       /* gone */
} BgJobStatus;

/* QEMU's JobStatus: "created" … "null". */
const char *bg_job_status_name(BgJobStatus status);

/* What a job does about a failed read or write (QEMU's BlockdevOnError). */
typedef enum {
  BG_ON_ERROR_REPORT, /* the job fails */
  BG_ON_ERROR_IGNORE, /* goes on, and tries the same bytes again where it can */
  BG_ON_ERROR_ENOSPC, /* STOP where space is missing, else REPORT */
  BG_ON_ERROR_STOP    /* pauses; tries again when resumed */
} BgOnError;

/* QEMU's names, one for each; NULL-terminated. */
extern const char *const bg_on_error_names[];

/* What every job is started with. */
typedef struct BgJobSettings {
  const char *id;       /* a letter, then letters, digits, '-', '.', '_'; unique among the graph's jobs; copied */
  uint64_t speed;       /* bytes/s; 0: as fast as it goes */
  bool manual_finalize; /* QEMU's auto-finalize=false */
  bool manual_dismiss;  /* QEMU's auto-dismiss=false */
} BgJobSettings;

/* A job's facts at one moment. */
typedef struct BgJobInfo {
  char *id;
  const char *type; /* QEMU's JobType: "commit", "stream", "mirror", "backup", "create" */
  BgJobStatus status;
  bool block;              /* one that QEMU's query-block-jobs lists, and that has BLOCK_JOB_… events */
  uint64_t current, total; /* bytes; total is an estimate that may grow, current never passes it */
  uint64_t speed;          /* bytes/s; 0: unlimited */
  bool busy;               /* neither paused nor asleep */
  bool paused;             /* somebody asked for a pause, or an error did */
  bool ready;              /* was ready once */
  bool auto_finalize, auto_dismiss;
  int stopped_by; /* errno that a job with on-error=stop waits for; 0: none */
  int error;      /* errno that the job failed with; ECANCELED: it was cancelled; 0: it did not */
  char *message;  /* of that error; NULL: none */
} BgJobInfo;

void bg_job_info(BgJob *job, BgJobInfo *info);
void bg_job_info_clear(BgJobInfo *info);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BgJobInfo, bg_job_info_clear)

typedef enum {
  BG_JOB_EVENT_STATUS,    /* JOB_STATUS_CHANGE */
  BG_JOB_EVENT_READY,     /* BLOCK_JOB_READY; this and those below come from block jobs only */
  BG_JOB_EVENT_PENDING,   /* BLOCK_JOB_PENDING: waits for finalize */
  BG_JOB_EVENT_COMPLETED, /* BLOCK_JOB_COMPLETED, with info->error and message where it failed */
  BG_JOB_EVENT_CANCELLED, /* BLOCK_JOB_CANCELLED */
  BG_JOB_EVENT_ERROR      /* BLOCK_JOB_ERROR */
} BgJobEventKind;

/* For BgListener.job_event; valid during the call. */
typedef struct BgJobEvent {
  BgJobEventKind kind;
  const BgJobInfo *info; /* as it was when this happened */
  bool reading;          /* ERROR: the operation, read or write */
  BgOnError action;      /* ERROR: what follows: REPORT, IGNORE or STOP */
} BgJobEvent;

BgJob *bg_job_ref(BgJob *job);
void bg_job_unref(BgJob *job); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgJob, bg_job_unref)

const char *bg_job_id(const BgJob *job);

/* ── verbs: false and EINVAL where the job's status does not take it, with QEMU's wording ── */

/* Takes effect at the job's next pause point: within one piece of its work (at most 16 MiB). EINVAL: it is paused already. */
bool bg_job_pause(BgJob *job, GError **error);
/* EINVAL: it was not paused. Goes on also after an error that stopped it. */
bool bg_job_resume(BgJob *job, GError **error);
/* Bytes/s, 0: unlimited; from now on, also for a job that is asleep. */
bool bg_job_set_speed(BgJob *job, uint64_t speed, GError **error);
/* Without `force` a ready job ends well, but without what complete would do: its target is the copy of this moment. Every other job, and
 * with `force` a ready one, too, is aborted. */
bool bg_job_cancel(BgJob *job, bool force, GError **error);
/* Of a ready job: it shall end, and the target take the source's place. */
bool bg_job_complete(BgJob *job, GError **error);
/* Of a pending job whose finalize is manual: what was done shall take effect. */
bool bg_job_finalize(BgJob *job, GError **error);
/* Of a concluded job: it shall go. Returns when it has, in no time: its id is free. */
bool bg_job_dismiss(BgJob *job, GError **error);

/* ── the graph's jobs ── */

/* A reference; NULL: there is none (any more). */
BgJob *bg_jobs_find(BgGraph *graph, const char *id);
/* All, in order of creation (BgJob *). Free with g_ptr_array_unref(), which drops the references. */
GPtrArray *bg_jobs_list(BgGraph *graph);
/* Whether a job of that id could be started now: EINVAL for an id that is none, or in use. */
bool bg_jobs_check_id(BgGraph *graph, const char *id, GError **error);

#endif

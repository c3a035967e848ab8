#include "graph/jobs/private.h"

#include "graph/escape.h"

#include <errno.h>
#include <string.h>

struct BgJobs {
  pthread_mutex_t lock;
  bool stopped;        /* no more jobs are taken */
  GPtrArray *list;     /* BgJob *, a reference each */
  GPtrArray *finished; /* the same: gone, their threads to be joined */
};

BgJobs *bg_jobs_new(void)
{
  BgJobs *jobs = g_new0(BgJobs, 1);
  pthread_mutex_init(&jobs->lock, NULL);
  jobs->list = g_ptr_array_new();
  jobs->finished = g_ptr_array_new();
  return jobs;
}

/* ── threads ── */

/* Its thread has left, or is about to. */
static void reap_one(BgJob *job)
{
  pthread_join(job->thread, NULL);
  bg_job_unref(job);
}

static BgJob *next_finished(BgJobs *jobs)
{
  pthread_mutex_lock(&jobs->lock);
  BgJob *job = jobs->finished->len ? g_ptr_array_steal_index(jobs->finished, 0) : NULL;
  pthread_mutex_unlock(&jobs->lock);
  return job;
}

static void reap(BgJobs *jobs)
{
  for (BgJob *job; (job = next_finished(jobs));)
    reap_one(job);
}

void bg_jobs_leave(BgJobs *jobs, BgJob *job)
{
  pthread_mutex_lock(&jobs->lock);
  g_ptr_array_remove(jobs->list, job);
  g_ptr_array_add(jobs->finished, job);
  pthread_mutex_unlock(&jobs->lock);
}

/* ── the end ── */

static BgJob *first_running(BgJobs *jobs)
{
  pthread_mutex_lock(&jobs->lock);
  BgJob *job = jobs->list->len ? bg_job_ref(jobs->list->pdata[0]) : NULL;
  pthread_mutex_unlock(&jobs->lock);
  return job;
}

static void shut_down_all(BgJobs *jobs)
{
  pthread_mutex_lock(&jobs->lock);
  jobs->stopped = true;
  for (guint i = 0; i < jobs->list->len; i++)
    bg_job_shut_down(jobs->list->pdata[i]);
  pthread_mutex_unlock(&jobs->lock);
}

/* Nobody else joins threads any more, for nobody adds jobs. */
static void take_finished(BgJobs *jobs, BgJob *job)
{
  pthread_mutex_lock(&jobs->lock);
  g_ptr_array_remove(jobs->finished, job);
  pthread_mutex_unlock(&jobs->lock);
  bg_job_unref(job);
}

void bg_jobs_stop(BgJobs *jobs)
{
  shut_down_all(jobs);
  for (BgJob *job; (job = first_running(jobs));) {
    pthread_join(job->thread, NULL);
    take_finished(jobs, job);
    bg_job_unref(job);
  }
  reap(jobs);
}

void bg_jobs_free(BgJobs *jobs)
{
  g_ptr_array_unref(jobs->list);
  g_ptr_array_unref(jobs->finished);
  pthread_mutex_destroy(&jobs->lock);
  g_free(jobs);
}

/* ── ids ── */

static bool id_valid(const char *id)
{
  if (!id || !g_ascii_isalpha(id[0]))
    return false;
  return strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == strlen(id);
}

/* With the lock held. */
static BgJob *find(BgJobs *jobs, const char *id)
{
  for (guint i = 0; i < jobs->list->len; i++)
    if (strcmp(bg_job_id(jobs->list->pdata[i]), id) == 0)
      return jobs->list->pdata[i];
  return NULL;
}

/* With the lock held. */
static bool check_id(BgJobs *jobs, const char *id, GError **error)
{
  g_autofree char *shown = bg_escape(id ? id : "");
  if (jobs->stopped)
    bg_set_error(error, EBUSY, "No jobs are started any more");
  else if (!id_valid(id))
    bg_set_error(error, EINVAL, "Invalid job ID '%s'", shown);
  else if (find(jobs, id))
    bg_set_error(error, EINVAL, "Job ID '%s' already in use", id);
  else
    return true;
  return false;
}

bool bg_jobs_check_id(BgGraph *graph, const char *id, GError **error)
{
  pthread_mutex_lock(&graph->jobs->lock);
  bool valid = check_id(graph->jobs, id, error);
  pthread_mutex_unlock(&graph->jobs->lock);
  return valid;
}

/* With the lock held: whoever joins the thread, or looks for it in the list, waits. */
static bool launch(BgJobs *jobs, BgJob *job, GError **error)
{
  int result = pthread_create(&job->thread, NULL, bg_job_run, job);
  if (result)
    bg_set_error_errno(error, result, "Job '%s' cannot get a thread", job->id);
  else
    g_ptr_array_add(jobs->list, bg_job_ref(job));
  return result == 0;
}

bool bg_jobs_add(BgJobs *jobs, BgJob *job, GError **error)
{
  reap(jobs);
  pthread_mutex_lock(&jobs->lock);
  bool added = check_id(jobs, job->id, error) && launch(jobs, job, error);
  pthread_mutex_unlock(&jobs->lock);
  return added;
}

/* ── looking ── */

BgJob *bg_jobs_find(BgGraph *graph, const char *id)
{
  pthread_mutex_lock(&graph->jobs->lock);
  BgJob *job = find(graph->jobs, id);
  if (job)
    bg_job_ref(job);
  pthread_mutex_unlock(&graph->jobs->lock);
  return job;
}

static void unref(gpointer job)
{
  bg_job_unref(job);
}

GPtrArray *bg_jobs_list(BgGraph *graph)
{
  GPtrArray *list = g_ptr_array_new_with_free_func(unref);
  pthread_mutex_lock(&graph->jobs->lock);
  for (guint i = 0; i < graph->jobs->list->len; i++)
    g_ptr_array_add(list, bg_job_ref(graph->jobs->list->pdata[i]));
  pthread_mutex_unlock(&graph->jobs->lock);
  return list;
}

#include "graph/jobs/group.h"

#include <glib.h>
#include <pthread.h>
#include <stdatomic.h>

struct BgJobGroup {
  atomic_uint references, left; /* left: whose work is not done */
  atomic_bool manual;
  pthread_mutex_t lock; /* taken before the lock of a job */
  GPtrArray *jobs;      /* struct BgJob *, a reference each */
};

BgJobGroup *bg_job_group_new(void)
{
  BgJobGroup *group = g_new0(BgJobGroup, 1);
  atomic_init(&group->references, 1);
  pthread_mutex_init(&group->lock, NULL);
  group->jobs = g_ptr_array_new();
  return group;
}

BgJobGroup *bg_job_group_ref(BgJobGroup *group)
{
  if (group)
    atomic_fetch_add(&group->references, 1);
  return group;
}

void bg_job_group_unref(BgJobGroup *group)
{
  if (!group || atomic_fetch_sub(&group->references, 1) > 1)
    return;
  pthread_mutex_destroy(&group->lock);
  g_ptr_array_unref(group->jobs);
  g_free(group);
}

/* ── membership ── */

void bg_job_group_join(BgJobGroup *group, struct BgJob *job, bool manual)
{
  pthread_mutex_lock(&group->lock);
  g_ptr_array_add(group->jobs, job);
  atomic_fetch_add(&group->left, 1);
  if (manual)
    atomic_store(&group->manual, true);
  pthread_mutex_unlock(&group->lock);
}

bool bg_job_group_leave(BgJobGroup *group, struct BgJob *job)
{
  if (!group)
    return false;
  pthread_mutex_lock(&group->lock);
  bool member = g_ptr_array_remove(group->jobs, job);
  pthread_mutex_unlock(&group->lock);
  return member;
}

/* ── news ── */

void bg_job_group_tell(BgJobGroup *group, const struct BgJob *but, void (*news)(struct BgJob *job))
{
  if (!group)
    return;
  pthread_mutex_lock(&group->lock);
  for (guint i = 0; i < group->jobs->len; i++)
    if (group->jobs->pdata[i] != but)
      news(group->jobs->pdata[i]);
  pthread_mutex_unlock(&group->lock);
}

bool bg_job_group_arrive(BgJobGroup *group)
{
  return group && atomic_fetch_sub(&group->left, 1) == 1;
}

bool bg_job_group_is_complete(BgJobGroup *group)
{
  return !group || atomic_load(&group->left) == 0;
}

bool bg_job_group_is_manual(BgJobGroup *group)
{
  return group && atomic_load(&group->manual);
}

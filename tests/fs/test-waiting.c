#include "fs/waiting.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(waiting, .timeout = 30);

/* ── what libfuse does for a request ── */

typedef struct Request {
  struct fuse_ctx caller;
  BgfsFs *fs;
  atomic_int answers;
  int error;
} Request;

static Request *request_of(fuse_req_t req)
{
  return (Request *)(void *)req;
}

const struct fuse_ctx *fuse_req_ctx(fuse_req_t req)
{
  return &request_of(req)->caller;
}

void *fuse_req_userdata(fuse_req_t req)
{
  return request_of(req)->fs;
}

int fuse_reply_err(fuse_req_t req, int error)
{
  request_of(req)->error = error;
  atomic_fetch_add(&request_of(req)->answers, 1);
  return 0;
}

/* ── work that waits until it may go on ── */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned inside;
static bool may_go_on;

static int64_t run_until_allowed(BgfsWaiting *waiting)
{
  (void)waiting;
  pthread_mutex_lock(&lock);
  inside++;
  pthread_cond_broadcast(&changed);
  while (!may_go_on)
    pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
  return 0;
}

static void reply(fuse_req_t req, int64_t result, const BgfsWaiting *waiting)
{
  (void)waiting;
  fuse_reply_err(req, (int)-result);
}

static const BgfsWork work = {run_until_allowed, reply};

static void wait_inside(unsigned count)
{
  pthread_mutex_lock(&lock);
  while (inside < count)
    pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
}

static void let_go_on(void)
{
  pthread_mutex_lock(&lock);
  may_go_on = true;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

static BgfsFs fs;
static BgfsInode inode;
static BgfsHandle handle;

static fuse_req_t request(Request *request, pid_t caller)
{
  *request = (Request){.caller.pid = caller, .fs = &fs};
  return (fuse_req_t)(void *)request;
}

static void set_up(void)
{
  fs.watch = bgfs_watch_new();
  bgfs_pool_init(&fs.changes, 4);
  bgfs_pool_init(&inode.pool, 16);
  bgfs_serial_init(&inode.serial);
  handle.inode = &inode;
}

static void tear_down(void)
{
  bgfs_pool_clear(&inode.pool);
  bgfs_pool_clear(&fs.changes);
  bgfs_serial_clear(&inode.serial);
  bgfs_watch_free(fs.watch);
}

static void *submit(void *data)
{
  bgfs_waiting_run((fuse_req_t)data, &handle, &(BgfsWaiting){.work = &work});
  return NULL;
}

static void answered(const Request *request, int error)
{
  for (int i = 0; i < 1000 && request->answers == 0; i++)
    g_usleep(10000);
  cr_assert_eq(request->answers, 1);
  cr_assert_eq(request->error, error);
}

/* ── tests ── */

Test(waiting, half_of_the_threads_wait_themselves, .init = set_up, .fini = tear_down)
{
  Request here[BGFS_WAITING_HERE], beyond;
  pthread_t threads[BGFS_WAITING_HERE];
  for (int i = 0; i < BGFS_WAITING_HERE; i++)
    pthread_create(&threads[i], NULL, submit, request(&here[i], getpid()));
  wait_inside(BGFS_WAITING_HERE);
  submit(request(&beyond, getpid())); /* which returns, for the pool carries it out */
  wait_inside(BGFS_WAITING_HERE + 1);
  cr_assert_eq(beyond.answers, 0);
  let_go_on();
  for (int i = 0; i < BGFS_WAITING_HERE; i++) {
    pthread_join(threads[i], NULL);
    answered(&here[i], 0);
  }
  answered(&beyond, 0);
}

static void note_release(BgfsTask *task)
{
  (void)task;
  pthread_mutex_lock(&lock);
  inside += 100;
  pthread_cond_broadcast(&changed);
  pthread_mutex_unlock(&lock);
}

Test(waiting, a_handle_stays_while_requests_are_under_way, .init = set_up, .fini = tear_down)
{
  Request one;
  pthread_t thread;
  BgfsTask release = {note_release};
  pthread_create(&thread, NULL, submit, request(&one, getpid()));
  wait_inside(1);
  bgfs_waiting_release(&fs, &handle, &release);
  g_usleep(50000);
  cr_assert_eq(inside, 1, "it was released too early");
  let_go_on();
  pthread_join(thread, NULL);
  wait_inside(101);
}

Test(waiting, only_the_killed_are_answered_early, .init = set_up, .fini = tear_down)
{
  pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  Request killed, other;
  pthread_t threads[2];
  pthread_create(&threads[0], NULL, submit, request(&killed, child));
  pthread_create(&threads[1], NULL, submit, request(&other, getpid()));
  wait_inside(2);
  kill(child, SIGKILL);
  siginfo_t info;
  waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT); /* it has ended, and is in /proc still */
  answered(&killed, EINTR);
  cr_assert_eq(other.answers, 0);
  let_go_on();
  pthread_join(threads[0], NULL);
  pthread_join(threads[1], NULL);
  cr_assert_eq(killed.answers, 1, "once");
  answered(&other, 0);
  waitpid(child, NULL, 0);
}

#include "fs/ring/thread.h"

#include <errno.h>
#include <linux/fuse.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
  SUBMISSIONS = 8,
  FEW = 8, /* seats: where there are more, a server did not answer once, and what they held is let go */
};

static _Thread_local BgfsRingThread *self;

BgfsRingThread *bgfs_ring_thread_self(void)
{
  return self;
}

BgfsRingThread *bgfs_ring_thread_new(const BgfsRingServer *server, BgfsRingPlace *place, unsigned first_queue, unsigned queues)
{
  BgfsRingThread *thread = g_new0(BgfsRingThread, 1);
  thread->server = server;
  thread->stand.place = place;
  thread->first_queue = first_queue;
  thread->queues = queues;
  pthread_mutex_init(&thread->lock, NULL);
  thread->wake = eventfd(0, EFD_CLOEXEC);
  thread->wake_error = thread->wake < 0 ? errno : 0;
  return thread;
}

void bgfs_ring_thread_free(BgfsRingThread *thread)
{
  for (BgfsRingSeat *seat = thread->seats, *next; seat; seat = next) {
    next = seat->next;
    bgfs_ring_slot_clear(&seat->slot);
    g_free(seat);
  }
  if (thread->wake >= 0)
    close(thread->wake);
  pthread_mutex_destroy(&thread->lock);
  g_free(thread);
}

static void wake(BgfsRingThread *thread)
{
  uint64_t one = 1;
  if (write(thread->wake, &one, sizeof one) != sizeof one)
    g_debug("io_uring: eventfd: %s", g_strerror(errno)); /* it is full: the thread will be woken */
}

void bgfs_ring_thread_stop(BgfsRingThread *thread)
{
  atomic_store(&thread->stop, true);
  wake(thread);
}

/* Who has an answer asks again only afterwards, perhaps another thread. ThreadSanitizer sees no order in that: the kernel keeps it. */
#ifdef __SANITIZE_THREAD__
static atomic_uint answers;

static void note_answer(void)
{
  atomic_fetch_add_explicit(&answers, 1, memory_order_release);
}

static void note_request(void)
{
  atomic_load_explicit(&answers, memory_order_acquire);
}
#else
static inline void note_answer(void)
{
}

static inline void note_request(void)
{
}
#endif

/* ── to the kernel ── */

/* What is in the way is submitted first. */
static struct io_uring_sqe *submission(BgfsRingThread *thread)
{
  struct io_uring_sqe *sqe = io_uring_get_sqe(&thread->uring);
  while (!sqe) {
    io_uring_submit(&thread->uring);
    sqe = io_uring_get_sqe(&thread->uring);
  }
  memset(sqe, 0, 2 * sizeof *sqe); /* SQE128 */
  return sqe;
}

static struct io_uring_sqe *command(BgfsRingThread *thread, BgfsRingSeat *seat, unsigned operation)
{
  struct io_uring_sqe *sqe = submission(thread);
  sqe->opcode = IORING_OP_URING_CMD;
  sqe->fd = thread->server->fd;
  sqe->cmd_op = operation;
  BgfsRingCommand which = {.commit_id = seat->commit, .queue = seat->queue};
  memcpy(sqe->cmd, &which, sizeof which);
  io_uring_sqe_set_data(sqe, seat);
  seat->waiting = true;
  return sqe;
}

static void commit(BgfsRingThread *thread, BgfsRingSeat *seat)
{
  note_answer();
  atomic_store(&seat->slot.unique, 0);
  command(thread, seat, BGFS_RING_COMMIT_AND_FETCH);
}

static void enlist(BgfsRingThread *thread, BgfsRingSeat *seat)
{
  struct io_uring_sqe *sqe = command(thread, seat, BGFS_RING_REGISTER);
  sqe->addr = (uintptr_t)seat->iov;
  sqe->len = G_N_ELEMENTS(seat->iov);
  thread->alive++;
}

/* Wakes the thread when there are answers, or it shall stop. */
static void await_wake(BgfsRingThread *thread)
{
  struct io_uring_sqe *sqe = submission(thread);
  io_uring_prep_read(sqe, thread->wake, &thread->woken, sizeof thread->woken, 0);
  io_uring_sqe_set_data(sqe, NULL);
}

/* ── seats ── */

/* NULL: errno. */
static BgfsRingSeat *add_seat(BgfsRingThread *thread, unsigned queue)
{
  BgfsRingSeat *seat = g_new0(BgfsRingSeat, 1);
  if (!bgfs_ring_slot_init(&seat->slot, thread->server->payload)) {
    g_free(seat);
    return NULL;
  }
  seat->queue = queue;
  seat->iov[0] = (struct iovec){seat->slot.header, sizeof *seat->slot.header};
  seat->iov[1] = (struct iovec){seat->slot.payload, seat->slot.size};
  seat->next = thread->seats;
  atomic_store(&thread->seats, seat);
  thread->count++;
  return seat;
}

static bool is_attended(BgfsRingThread *thread, unsigned queue)
{
  for (const BgfsRingSeat *seat = thread->seats; seat; seat = seat->next)
    if (seat->queue == queue && seat->waiting)
      return true;
  return false;
}

static unsigned most_seats(const BgfsRingThread *thread)
{
  return thread->queues + BGFS_RING_SLOTS;
}

/* The answer comes later, by somebody else: the thread is there for other requests meanwhile. */
static void attend(BgfsRingThread *thread, unsigned queue)
{
  if (is_attended(thread, queue) || thread->count >= most_seats(thread))
    return;
  BgfsRingSeat *seat = add_seat(thread, queue);
  if (seat)
    enlist(thread, seat);
}

/* ── requests ── */

static void serve(BgfsRingThread *thread, BgfsRingSeat *seat)
{
  size_t length;
  note_request();
  seat->commit = seat->slot.header->commit_id;
  const void *request = bgfs_ring_slot_request(&seat->slot, &length);
  thread->current = seat;
  if (request) {
    thread->server->serve(thread->server->data, request, length, seat->slot.payload);
  } else {
    bgfs_ring_slot_refuse(&seat->slot);
    thread->current = NULL;
  }
  if (thread->current)
    attend(thread, seat->queue);
  else
    commit(thread, seat);
  thread->current = NULL;
}

static void take_request(BgfsRingThread *thread, BgfsRingSeat *seat, bool at_once)
{
  bgfs_ring_stand_begin(&thread->stand, ((const struct fuse_in_header *)seat->slot.header->in_out)->pid, at_once);
  serve(thread, seat);
  bgfs_ring_stand_end(&thread->stand);
}

/* The kernel gives the seat up: normally because the connection ends. */
static void lose(BgfsRingThread *thread, BgfsRingSeat *seat, int err)
{
  thread->alive--;
  if (err != ENOTCONN && err != ECONNABORTED && err != ECANCELED)
    g_warning("io_uring: the kernel's queue %u has one thread less: %s", seat->queue, g_strerror(err));
}

static void take(BgfsRingThread *thread, BgfsRingSeat *seat, int result, bool at_once)
{
  if (!seat) {
    await_wake(thread);
    return;
  }
  seat->waiting = false;
  if (result >= 0)
    take_request(thread, seat, at_once);
  else
    lose(thread, seat, -result);
}

static void give_back_answered(BgfsRingThread *thread)
{
  pthread_mutex_lock(&thread->lock);
  BgfsRingSeat *seat = g_steal_pointer(&thread->answered);
  pthread_mutex_unlock(&thread->lock);
  while (seat) {
    BgfsRingSeat *next = seat->answered;
    if (thread->count > thread->queues + FEW)
      bgfs_ring_slot_trim(&seat->slot);
    commit(thread, seat);
    seat = next;
  }
}

/* ── answers ── */

static BgfsRingSeat *find_seat(BgfsRingThread *thread, uint64_t unique)
{
  for (BgfsRingSeat *seat = atomic_load(&thread->seats); seat; seat = seat->next)
    if (atomic_load(&seat->slot.unique) == unique)
      return seat;
  return NULL;
}

bool bgfs_ring_thread_answer(BgfsRingThread *thread, const struct iovec *iov, int count)
{
  uint64_t unique = ((const struct fuse_out_header *)iov[0].iov_base)->unique;
  if (thread == self && thread->current && atomic_load(&thread->current->slot.unique) == unique) {
    bgfs_ring_slot_answer(&thread->current->slot, iov, count);
    thread->current = NULL;
    return true;
  }
  BgfsRingSeat *seat = find_seat(thread, unique);
  if (!seat)
    return false;
  bgfs_ring_slot_answer(&seat->slot, iov, count);
  pthread_mutex_lock(&thread->lock);
  seat->answered = thread->answered;
  thread->answered = seat;
  pthread_mutex_unlock(&thread->lock);
  wake(thread);
  return true;
}

/* ── its life ── */

static bool fail(int err)
{
  errno = err;
  return false;
}

/* What `top` and a debugger show. */
static void set_name(const BgfsRingThread *thread)
{
  char name[16]; /* pthread_setname_np(3) */
  g_snprintf(name, sizeof name, "ring-%u", thread->first_queue);
  pthread_setname_np(pthread_self(), name);
}

bool bgfs_ring_thread_open(BgfsRingThread *thread)
{
  set_name(thread);
  if (thread->wake < 0)
    return fail(thread->wake_error);
  self = thread;
  struct io_uring_params params = {
      .flags = IORING_SETUP_SQE128 | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
      .cq_entries = most_seats(thread) + 1}; /* one for each seat, and being woken */
  int result = io_uring_queue_init_params(SUBMISSIONS, &thread->uring, &params);
  if (result < 0)
    return fail(-result);
  thread->open = true;
  io_uring_register_ring_fd(&thread->uring); /* only faster */
  for (unsigned i = 0; i < thread->queues; i++)
    if (!add_seat(thread, thread->first_queue + i))
      return false;
  return true;
}

static bool is_passing(int err)
{
  return err == EINTR || err == EAGAIN || err == EBUSY;
}

/* One that has come; if there is none, sleeps until there is. NULL: look again, or it has been stopped by an error. */
static struct io_uring_cqe *next_completion(BgfsRingThread *thread, bool *at_once)
{
  struct io_uring_cqe *cqe = NULL;
  int result = io_uring_submit(&thread->uring);
  *at_once = io_uring_peek_cqe(&thread->uring, &cqe) == 0;
  if (!*at_once)
    result = io_uring_wait_cqe(&thread->uring, &cqe);
  if (!cqe && result < 0 && !is_passing(-result)) {
    g_warning("io_uring: a thread ends: %s", g_strerror(-result));
    atomic_store(&thread->stop, true);
  }
  return cqe;
}

void bgfs_ring_thread_run(BgfsRingThread *thread)
{
  for (BgfsRingSeat *seat = thread->seats; seat; seat = seat->next)
    enlist(thread, seat);
  await_wake(thread);
  while (thread->alive > 0 && !atomic_load(&thread->stop)) {
    bool at_once;
    struct io_uring_cqe *cqe = next_completion(thread, &at_once);
    if (!cqe)
      continue;
    BgfsRingSeat *seat = io_uring_cqe_get_data(cqe);
    int result = cqe->res;
    io_uring_cqe_seen(&thread->uring, cqe);
    take(thread, seat, result, at_once);
    give_back_answered(thread);
  }
  io_uring_submit(&thread->uring); /* what has been answered is answered */
}

void bgfs_ring_thread_close(BgfsRingThread *thread)
{
  if (thread->open)
    io_uring_queue_exit(&thread->uring);
  thread->open = false;
  self = NULL;
}

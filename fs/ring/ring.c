#include "fs/ring/ring.h"

#include "drivers/error.h"
#include "fs/ring/processors.h"
#include "fs/ring/thread.h"

#include <errno.h>
#include <linux/fuse.h>

/* Threads of all queues together, and of one. */
enum { THREADS = 16, FEWEST = 2, MOST = 4 };

typedef enum Phase { PHASE_OPENING, PHASE_GOING, PHASE_STOPPED } Phase;

struct BgfsRing {
  BgfsRingServer server;
  BgfsRingPlaces places;
  BgfsRingPlace *queues; /* by number */
  GArray *ids;           /* pthread_t: those that are running */
  GPtrArray *threads;    /* BgfsRingThread */
  pthread_mutex_t lock;
  pthread_cond_t changed;
  unsigned opened; /* (lock) threads that have, or have failed to */
  int failure;     /* (lock) errno; 0: none */
  Phase phase;     /* (lock) */
};

bool bgfs_ring_is_mine(void)
{
  return bgfs_ring_thread_self();
}

/* ── what its threads do ── */

/* Whether it shall go on. */
static bool wait_for_go(BgfsRing *ring, int failure)
{
  pthread_mutex_lock(&ring->lock);
  ring->opened++;
  if (failure)
    ring->failure = failure;
  pthread_cond_broadcast(&ring->changed);
  while (ring->phase == PHASE_OPENING)
    pthread_cond_wait(&ring->changed, &ring->lock);
  bool go = ring->phase == PHASE_GOING && !failure;
  pthread_mutex_unlock(&ring->lock);
  return go;
}

typedef struct Start {
  BgfsRing *ring;
  BgfsRingThread *thread;
} Start;

static void *run(void *data)
{
  g_autofree Start *start = data;
  bool open = bgfs_ring_thread_open(start->thread);
  if (wait_for_go(start->ring, open ? 0 : errno))
    bgfs_ring_thread_run(start->thread);
  bgfs_ring_thread_close(start->thread);
  return NULL;
}

/* 0 or errno. */
static int start_thread(BgfsRing *ring, BgfsRingThread *thread)
{
  pthread_t id;
  Start *start = g_memdup2(&(Start){ring, thread}, sizeof *start);
  int err = pthread_create(&id, NULL, run, start);
  if (err)
    g_free(start);
  else
    g_array_append_val(ring->ids, id);
  return err;
}

static void set_phase(BgfsRing *ring, Phase phase)
{
  pthread_mutex_lock(&ring->lock);
  ring->phase = phase;
  pthread_cond_broadcast(&ring->changed);
  pthread_mutex_unlock(&ring->lock);
}

/* ── which threads there are ── */

static void add_thread(BgfsRing *ring, unsigned first_queue, unsigned queues)
{
  g_ptr_array_add(ring->threads,
                  bgfs_ring_thread_new(&ring->server, &ring->queues[first_queue], first_queue, queues));
}

/* The kernel begins only once each queue has somebody, also those of processors that are not there: one thread for each run of them is enough. */
static void add_threads(BgfsRing *ring, const GArray *online, unsigned queues)
{
  unsigned each = CLAMP(THREADS / online->len, FEWEST, MOST);
  unsigned queue = 0;
  for (guint i = 0; i < online->len; i++) {
    unsigned next = g_array_index(online, unsigned, i);
    if (next > queue)
      add_thread(ring, queue, next - queue);
    for (unsigned j = 0; j < each; j++)
      add_thread(ring, next, 1);
    queue = next + 1;
  }
  if (queues > queue)
    add_thread(ring, queue, queues - queue);
}

/* False: the machine's processors are not known. */
static bool lay_out(BgfsRing *ring, GError **error)
{
  g_autoptr(GArray) possible = bgfs_processors("possible", error);
  g_autoptr(GArray) online = possible ? bgfs_processors("online", error) : NULL;
  if (!online)
    return false;
  unsigned queues = g_array_index(possible, unsigned, possible->len - 1) + 1;
  if (g_array_index(online, unsigned, online->len - 1) >= queues) {
    bg_set_error(error, EINVAL, "more processors are online than are possible");
    return false;
  }
  bgfs_ring_places_init(&ring->places);
  ring->queues = g_aligned_alloc0(queues, sizeof *ring->queues, BGFS_RING_LINE);
  for (unsigned i = 0; i < queues; i++)
    bgfs_ring_place_init(&ring->queues[i], &ring->places, i);
  add_threads(ring, online, queues);
  return true;
}

/* ── its life ── */

static bool start(BgfsRing *ring, GError **error)
{
  int err = 0;
  for (guint i = 0; i < ring->threads->len && err == 0; i++)
    err = start_thread(ring, ring->threads->pdata[i]);
  pthread_mutex_lock(&ring->lock);
  while (ring->opened < ring->ids->len)
    pthread_cond_wait(&ring->changed, &ring->lock);
  if (ring->failure)
    err = ring->failure;
  pthread_mutex_unlock(&ring->lock);
  if (err)
    bg_set_error_errno(error, err, "io_uring");
  return err == 0;
}

BgfsRing *bgfs_ring_new(const BgfsRingServer *server, GError **error)
{
  BgfsRing *ring = g_aligned_alloc0(1, sizeof *ring, BGFS_RING_LINE);
  ring->server = *server;
  ring->ids = g_array_new(FALSE, FALSE, sizeof(pthread_t));
  ring->threads = g_ptr_array_new();
  pthread_mutex_init(&ring->lock, NULL);
  pthread_cond_init(&ring->changed, NULL);
  if (lay_out(ring, error) && start(ring, error))
    return ring;
  bgfs_ring_free(ring);
  return NULL;
}

void bgfs_ring_go(BgfsRing *ring)
{
  set_phase(ring, PHASE_GOING);
}

bool bgfs_ring_answer(BgfsRing *ring, const struct iovec *iov, int count)
{
  BgfsRingThread *self = bgfs_ring_thread_self();
  if (!ring || ((const struct fuse_out_header *)iov[0].iov_base)->unique == 0) /* a notification */
    return false;
  if (self && bgfs_ring_thread_answer(self, iov, count))
    return true;
  for (guint i = 0; i < ring->threads->len; i++)
    if (ring->threads->pdata[i] != self && bgfs_ring_thread_answer(ring->threads->pdata[i], iov, count))
      return true;
  return false;
}

void bgfs_ring_stop(BgfsRing *ring)
{
  if (!ring)
    return;
  set_phase(ring, PHASE_STOPPED);
  for (guint i = 0; i < ring->threads->len; i++)
    bgfs_ring_thread_stop(ring->threads->pdata[i]);
  for (guint i = 0; i < ring->ids->len; i++)
    pthread_join(g_array_index(ring->ids, pthread_t, i), NULL);
  g_array_set_size(ring->ids, 0);
}

void bgfs_ring_free(BgfsRing *ring)
{
  if (!ring)
    return;
  bgfs_ring_stop(ring);
  for (guint i = 0; i < ring->threads->len; i++)
    bgfs_ring_thread_free(ring->threads->pdata[i]);
  g_ptr_array_free(ring->threads, TRUE);
  g_array_free(ring->ids, TRUE);
  g_aligned_free(ring->queues);
  pthread_cond_destroy(&ring->changed);
  pthread_mutex_destroy(&ring->lock);
  g_aligned_free(ring);
}

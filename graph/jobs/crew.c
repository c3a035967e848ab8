#include "graph/jobs/crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* Enough to keep storage busy that answers late; more only takes memory. */
enum { HANDS = 4 };

typedef enum State { FREE, IN_HAND, SEEN_TO } State;

/* A hand, and the piece that is its. */
typedef struct Slot {
  BgCrew *crew;
  pthread_t hand;
  pthread_cond_t given; /* the piece is in hand, or will not be any more */
  BgPiece piece;
  State state; /* under the lock */
  int result;  /* of what was seen to */
} Slot;

struct BgCrew {
  BgJob *job;
  const BgCrewKind *kind;
  void *work;
  pthread_mutex_t lock;
  pthread_cond_t done; /* a piece is no longer in hand */
  bool ends;
  unsigned hands; /* that have begun */
  Slot slots[HANDS];
};

/* With the lock held. False: nothing will come any more. */
static bool wait_for_piece(Slot *slot)
{
  while (slot->state != IN_HAND && !slot->crew->ends)
    pthread_cond_wait(&slot->given, &slot->crew->lock);
  return slot->state == IN_HAND;
}

static void *hand(void *data)
{
  Slot *slot = data;
  BgCrew *crew = slot->crew;
  pthread_mutex_lock(&crew->lock);
  while (wait_for_piece(slot)) {
    pthread_mutex_unlock(&crew->lock);
    int result = crew->kind->see_to(crew->work, &slot->piece);
    pthread_mutex_lock(&crew->lock);
    slot->result = result;
    slot->state = SEEN_TO;
    pthread_cond_signal(&crew->done);
  }
  pthread_mutex_unlock(&crew->lock);
  return NULL;
}

static Slot *find(BgCrew *crew, State state)
{
  for (unsigned i = 0; i < HANDS; i++)
    if (crew->slots[i].state == state)
      return &crew->slots[i];
  return NULL;
}

/* The job is about to pause: waits until nothing is in hand. */
static void rest(void *data)
{
  BgCrew *crew = data;
  pthread_mutex_lock(&crew->lock);
  while (find(crew, IN_HAND))
    pthread_cond_wait(&crew->done, &crew->lock);
  pthread_mutex_unlock(&crew->lock);
}

static bool begin(BgCrew *crew, Slot *slot, GError **error)
{
  slot->crew = crew;
  slot->piece.buffer = bg_copy_buffer();
  if (!slot->piece.buffer) {
    bg_set_error(error, ENOMEM, "no memory for the job");
    return false;
  }
  int result = pthread_create(&slot->hand, NULL, hand, slot);
  if (result) {
    bg_set_error_errno(error, result, "no thread for the job");
    return false;
  }
  crew->hands++;
  return true;
}

BgCrew *bg_crew_new(BgJob *job, const BgCrewKind *kind, void *work, GError **error)
{
  g_autoptr(BgCrew) crew = g_new0(BgCrew, 1);
  pthread_mutex_init(&crew->lock, NULL);
  pthread_cond_init(&crew->done, NULL);
  crew->job = job;
  crew->kind = kind;
  crew->work = work;
  for (unsigned i = 0; i < HANDS; i++)
    pthread_cond_init(&crew->slots[i].given, NULL);
  for (unsigned i = 0; i < HANDS; i++)
    if (!begin(crew, &crew->slots[i], error))
      return NULL;
  bg_job_set_before_pause(job, rest, crew);
  return g_steal_pointer(&crew);
}

static void end_hands(BgCrew *crew)
{
  pthread_mutex_lock(&crew->lock);
  crew->ends = true;
  for (unsigned i = 0; i < crew->hands; i++)
    pthread_cond_signal(&crew->slots[i].given);
  pthread_mutex_unlock(&crew->lock);
  for (unsigned i = 0; i < crew->hands; i++)
    pthread_join(crew->slots[i].hand, NULL);
}

void bg_crew_free(BgCrew *crew)
{
  if (!crew)
    return;
  bg_job_set_before_pause(crew->job, NULL, NULL);
  end_hands(crew);
  for (unsigned i = 0; i < HANDS; i++) {
    pthread_cond_destroy(&crew->slots[i].given);
    free(crew->slots[i].piece.buffer);
  }
  pthread_cond_destroy(&crew->done);
  pthread_mutex_destroy(&crew->lock);
  g_free(crew);
}

/* One that is done, or (if `free_too`) free; NULL: there is none, and none will be. */
static Slot *wait_for_slot(BgCrew *crew, bool free_too)
{
  Slot *slot;
  pthread_mutex_lock(&crew->lock);
  for (;;) {
    slot = find(crew, SEEN_TO);
    if (!slot && free_too)
      slot = find(crew, FREE);
    if (slot || !find(crew, IN_HAND))
      break;
    pthread_cond_wait(&crew->done, &crew->lock);
  }
  pthread_mutex_unlock(&crew->lock);
  return slot;
}

/* With the lock held. */
static void hand_over(Slot *slot)
{
  slot->piece.reading = false;
  slot->state = IN_HAND;
  pthread_cond_signal(&slot->given);
}

/* All that failed, without a judgement of its own: whoever let the job go on after a failure has mended what it was, and they failed
 * before that. */
static void try_again(BgCrew *crew)
{
  pthread_mutex_lock(&crew->lock);
  for (unsigned i = 0; i < HANDS; i++)
    if (crew->slots[i].state == SEEN_TO && crew->slots[i].result != 0)
      hand_over(&crew->slots[i]);
  pthread_mutex_unlock(&crew->lock);
}

static void set_free(BgCrew *crew, Slot *slot)
{
  pthread_mutex_lock(&crew->lock);
  slot->state = FREE;
  pthread_mutex_unlock(&crew->lock);
}

/* False: the job fails. */
static bool judge(BgCrew *crew, Slot *slot, GError **error)
{
  BgCopyVerdict verdict = BG_COPY_PAST;
  if (slot->result == 0)
    bg_job_advance(crew->job, slot->piece.length);
  else
    verdict = crew->kind->failed(crew->job, crew->work, &slot->piece, slot->result, error);
  if (verdict == BG_COPY_AGAIN)
    try_again(crew);
  else
    set_free(crew, slot);
  return verdict != BG_COPY_FAILS;
}

/* NULL: the job fails. */
static Slot *free_slot(BgCrew *crew, GError **error)
{
  for (;;) {
    Slot *slot = wait_for_slot(crew, true);
    if (slot->state == FREE)
      return slot;
    if (!judge(crew, slot, error))
      return NULL;
  }
}

bool bg_crew_give(BgCrew *crew, uint64_t offset, uint64_t length, bool zero, GError **error)
{
  Slot *slot = free_slot(crew, error);
  if (!slot)
    return false;
  pthread_mutex_lock(&crew->lock);
  slot->piece.offset = offset;
  slot->piece.length = length;
  slot->piece.zero = zero;
  hand_over(slot);
  pthread_mutex_unlock(&crew->lock);
  return true;
}

bool bg_crew_finish(BgCrew *crew, GError **error)
{
  for (Slot *slot; (slot = wait_for_slot(crew, false));)
    if (!judge(crew, slot, error))
      return false;
  return true;
}

#include "drivers/nbd/status.h"

#include <errno.h>

/* How long an answer holds, and about how much the server is asked at a time: what it takes to find out is the server's work. */
#define VALID     (G_USEC_PER_SEC / 2)
#define ASKED_MAX ((uint64_t)1 << 30)

void bg_nbd_status_init(BgNbdStatus *status)
{
  *status = (BgNbdStatus){0};
  pthread_mutex_init(&status->lock, NULL);
}

void bg_nbd_status_clear(BgNbdStatus *status)
{
  if (status->extents)
    g_array_unref(status->extents);
  pthread_mutex_destroy(&status->lock);
}

/* What the answer says of `offset`, neighbours of one kind merged. False: nothing. */
static bool look_up(const GArray *extents, uint64_t start, uint64_t offset, uint64_t length, BgNbdExtent *found)
{
  *found = (BgNbdExtent){0};
  for (guint i = 0; i < extents->len; i++) {
    BgNbdExtent extent = g_array_index(extents, BgNbdExtent, i);
    uint64_t end = start + extent.length;
    if (found->length && extent.zero != found->zero)
      break;
    if (end > offset) {
      found->zero = extent.zero;
      found->length = MIN(end - offset, length);
    }
    start = end;
  }
  return found->length > 0;
}

static bool look_up_kept(BgNbdStatus *status, uint64_t offset, uint64_t length, BgNbdExtent *found)
{
  pthread_mutex_lock(&status->lock);
  bool fresh = status->extents && status->seen == atomic_load(&status->changes) &&
               g_get_monotonic_time() < status->until && status->start <= offset;
  fresh = fresh && look_up(status->extents, status->start, offset, length, found);
  pthread_mutex_unlock(&status->lock);
  return fresh;
}

static void keep(BgNbdStatus *status, GArray *extents, uint64_t start, uint64_t seen)
{
  pthread_mutex_lock(&status->lock);
  GArray *old = status->extents;
  status->extents = extents;
  status->start = start;
  status->seen = seen;
  status->until = g_get_monotonic_time() + VALID;
  pthread_mutex_unlock(&status->lock);
  if (old)
    g_array_unref(old);
}

static int ask(BgNbdStatus *status, BgNbdSession *session, const BgNbdFacts *facts, uint64_t offset, uint64_t length,
               BgNbdExtent *found)
{
  uint64_t mask = facts->minimum - 1, start = offset & ~mask;
  uint64_t asked = MIN((offset + length + mask) & ~mask, facts->size) - start;
  uint64_t seen = atomic_load(&status->changes);
  g_autoptr(GArray) extents = g_array_new(FALSE, FALSE, sizeof(BgNbdExtent));
  int result = bg_nbd_session_status(session, start, MIN(asked, ASKED_MAX), extents);
  if (result)
    return result;
  if (!look_up(extents, start, offset, length, found))
    return -EIO;
  keep(status, g_steal_pointer(&extents), start, seen);
  return 0;
}

int bg_nbd_status_map(BgNbdStatus *status, BgNbdSession *session, uint64_t offset, uint64_t length, BgExtent *extent)
{
  BgNbdFacts facts = bg_nbd_session_facts(session);
  BgNbdExtent found = {length, false};
  int result = 0;
  if (facts.allocation && !look_up_kept(status, offset, length, &found))
    result = ask(status, session, &facts, offset, length, &found);
  if (result)
    return result;
  if (found.zero)
    *extent = (BgExtent){.kind = BG_EXTENT_ZERO, .length = found.length};
  else
    *extent = (BgExtent){.kind = BG_EXTENT_DATA, .flags = BG_EXTENT_IN_PLACE, .length = found.length, .offset = offset};
  return 0;
}

#include "drivers/nbd/unstable.h"

#include "drivers/iov.h"

/* What a kept write costs beside its data. */
#define OVERHEAD sizeof(BgNbdKept)

BgNbdKept *bg_nbd_kept_new(const struct iovec *iov, int iovcnt, uint64_t offset, uint64_t length, uint32_t flags)
{
  BgNbdKept *kept = g_malloc(sizeof(BgNbdKept) + (iov ? length : 0));
  *kept = (BgNbdKept){.zero = !iov, .offset = offset, .length = length, .flags = flags};
  kept->link.data = kept;
  if (iov)
    bg_iov_to_buffer(iov, iovcnt, 0, kept->data, length);
  return kept;
}

static uint64_t cost(const BgNbdKept *kept)
{
  return OVERHEAD + (kept->zero ? 0 : kept->length);
}

void bg_nbd_unstable_add(BgNbdUnstable *unstable, BgNbdKept *kept)
{
  g_queue_push_tail_link(&unstable->kept, &kept->link);
  unstable->bytes += cost(kept);
}

void bg_nbd_unstable_remove(BgNbdUnstable *unstable, BgNbdKept *kept)
{
  g_queue_unlink(&unstable->kept, &kept->link);
  unstable->bytes -= cost(kept);
  g_free(kept);
}

void bg_nbd_unstable_clear(BgNbdUnstable *unstable)
{
  while (unstable->kept.head)
    bg_nbd_unstable_remove(unstable, unstable->kept.head->data);
}

uint64_t bg_nbd_unstable_flush_begin(BgNbdUnstable *unstable)
{
  uint64_t number = ++unstable->flushes;
  for (GList *link = unstable->kept.head; link; link = link->next) {
    BgNbdKept *kept = link->data;
    if (kept->acknowledged && kept->flush == 0)
      kept->flush = number;
  }
  return number;
}

void bg_nbd_unstable_flush_end(BgNbdUnstable *unstable, uint64_t flush, bool done)
{
  for (GList *link = unstable->kept.head, *next; link; link = next) {
    BgNbdKept *kept = link->data;
    next = link->next;
    if (kept->flush != flush)
      continue;
    if (done)
      bg_nbd_unstable_remove(unstable, kept);
    else
      kept->flush = 0;
  }
}

BgNbdKept *bg_nbd_unstable_next(BgNbdUnstable *unstable, BgNbdKept *after)
{
  GList *link = after ? after->link.next : unstable->kept.head;
  while (link && !((BgNbdKept *)link->data)->acknowledged)
    link = link->next;
  return link ? link->data : NULL;
}

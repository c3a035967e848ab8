#include "drivers/nbd/request.h"

#include <errno.h>
#include <string.h>

void bg_nbd_request_init(BgNbdRequest *request, BgNbdCommand command, uint64_t offset, uint64_t length)
{
  *request = (BgNbdRequest){.command = command, .offset = offset, .length = length, .link.data = request};
  pthread_mutex_init(&request->lock, NULL);
  pthread_cond_init(&request->ended, NULL);
}

void bg_nbd_request_clear(BgNbdRequest *request)
{
  pthread_cond_destroy(&request->ended);
  pthread_mutex_destroy(&request->lock);
}

/* ── the answer ── */

static bool end(BgNbdRequest *request, BgNbdOutcome outcome, int error)
{
  pthread_mutex_lock(&request->lock);
  bool first = request->outcome == BG_NBD_UNDER_WAY;
  if (first) {
    request->outcome = outcome;
    request->error = error;
    pthread_cond_signal(&request->ended);
  }
  pthread_mutex_unlock(&request->lock);
  return first;
}

/* ENOTCONN is what libnbd says when the connection broke: the request is lost once that has been closed. ESHUTDOWN is what a server says
 * that will not go on. */
static int on_answer(void *data, int *error)
{
  if (*error == ESHUTDOWN)
    end(data, BG_NBD_LOST, ESHUTDOWN);
  else if (*error != ENOTCONN)
    end(data, BG_NBD_ANSWERED, *error);
  return 1;
}

void bg_nbd_request_answer(BgNbdRequest *request, int error)
{
  end(request, BG_NBD_ANSWERED, error);
}

static int on_extents(void *data, const char *context, uint64_t offset, uint32_t *entries, size_t count, int *error)
{
  BgNbdRequest *request = data;
  (void)offset, (void)error;
  if (strcmp(context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0)
    return 0;
  for (size_t i = 0; i + 1 < count; i += 2) {
    BgNbdExtent extent = {entries[i], entries[i + 1] & LIBNBD_STATE_ZERO};
    g_array_append_val(request->extents, extent);
  }
  return 0;
}

/* ── sending ── */

static int64_t submit(BgNbdRequest *r, struct nbd_handle *nbd)
{
  nbd_completion_callback answer = {.callback = on_answer, .user_data = r};
  nbd_extent_callback extents = {.callback = on_extents, .user_data = r};
  switch (r->command) {
  case BG_NBD_READ:
    return nbd_aio_pread(nbd, r->buffer, r->length, r->offset, answer, r->flags);
  case BG_NBD_WRITE:
    return nbd_aio_pwrite(nbd, r->buffer, r->length, r->offset, answer, r->flags);
  case BG_NBD_ZERO:
    return nbd_aio_zero(nbd, r->length, r->offset, answer, r->flags);
  case BG_NBD_TRIM:
    return nbd_aio_trim(nbd, r->length, r->offset, answer, r->flags);
  case BG_NBD_FLUSH:
    return nbd_aio_flush(nbd, answer, r->flags);
  case BG_NBD_STATUS:
    return nbd_aio_block_status(nbd, r->length, r->offset, extents, answer, r->flags);
  }
  g_assert_not_reached();
}

int bg_nbd_request_send(BgNbdRequest *request, struct nbd_handle *nbd)
{
  if (submit(request, nbd) >= 0)
    return 0;
  int error = nbd_get_errno();
  return error > 0 ? error : EIO;
}

BgNbdOutcome bg_nbd_request_wait(BgNbdRequest *request, bool *appointed)
{
  pthread_mutex_lock(&request->lock);
  while (request->outcome == BG_NBD_UNDER_WAY && !request->appointed)
    pthread_cond_wait(&request->ended, &request->lock);
  BgNbdOutcome outcome = request->outcome;
  *appointed = request->appointed;
  request->appointed = false;
  pthread_mutex_unlock(&request->lock);
  return outcome;
}

bool bg_nbd_request_appoint(BgNbdRequest *request)
{
  pthread_mutex_lock(&request->lock);
  bool waits = request->outcome == BG_NBD_UNDER_WAY;
  if (waits) {
    request->appointed = true;
    pthread_cond_signal(&request->ended);
  }
  pthread_mutex_unlock(&request->lock);
  return waits;
}

BgNbdOutcome bg_nbd_request_outcome(BgNbdRequest *request)
{
  pthread_mutex_lock(&request->lock);
  BgNbdOutcome outcome = request->outcome;
  pthread_mutex_unlock(&request->lock);
  return outcome;
}

bool bg_nbd_request_lose(BgNbdRequest *request)
{
  return end(request, BG_NBD_LOST, 0);
}

void bg_nbd_request_rewind(BgNbdRequest *request)
{
  pthread_mutex_lock(&request->lock);
  request->outcome = BG_NBD_UNDER_WAY;
  request->error = 0;
  pthread_mutex_unlock(&request->lock);
  if (request->extents)
    g_array_set_size(request->extents, 0);
}

#include "graph/jobs/stream.h"

#include "graph/jobs/chain.h"
#include "graph/jobs/copy.h"
#include "graph/map.h"
#include "graph/node.h"

#include <errno.h>

/* Writers wait for a piece that is just being copied: smaller than others. */
#define PIECE (UINT64_C(512) << 10)

typedef struct Stream {
  BgChain chain;
  BgUser *user; /* on the device */
  char *backing_file;
  BgOnError on_error;
  int first; /* error that was passed over */
  void *buffer;
} Stream;

static void stream_clean(void *work)
{
  Stream *stream = work;
  if (stream->chain.freeze.graph)
    bg_freeze_let_read_only(&stream->chain.freeze);
  bg_user_free(stream->user);
  bg_chain_clear(&stream->chain);
  g_free(stream->backing_file);
  g_free(stream->buffer);
  g_free(stream);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Stream, stream_clean)

/* What shows through without being anybody's between may stay so. */
static bool is_above_base(const Stream *stream, const BgMapped *mapped)
{
  if (mapped->depth >= stream->chain.depth || (mapped->depth == 0 && mapped->present))
    return false;
  return mapped->present || stream->chain.base;
}

static bool stream_piece(BgJob *job, Stream *stream, uint64_t *offset, GError **error)
{
  BgMapped mapped = {.length = PIECE};
  bool above = false, reading = true;
  int result = bg_user_map(stream->user, *offset, &mapped);
  if (result == 0 && is_above_base(stream, &mapped)) {
    above = true;
    reading = false;
    mapped.length = MIN(mapped.length, bg_job_piece(job, PIECE));
    result = bg_user_populate(stream->user, *offset, mapped.length, stream->chain.depth, stream->buffer);
  }
  BgCopyVerdict verdict = BG_COPY_PAST;
  if (result)
    verdict = bg_copy_failed(job, stream->on_error, reading, result, &stream->first, error);
  if (verdict == BG_COPY_FAILS)
    return false;
  if (verdict == BG_COPY_AGAIN)
    return true;
  *offset += mapped.length;
  bg_job_advance(job, mapped.length);
  return above && !mapped.zero ? bg_job_throttle(job, mapped.length) : bg_job_go_on(job);
}

static bool make_durable(Stream *stream, GError **error)
{
  int result = stream->first ? stream->first : bg_user_flush(stream->user);
  if (result)
    bg_set_error_errno(error, -result, "node '%s': not all was written", stream->chain.top->name);
  return result == 0;
}

static bool stream_run(BgJob *job, void *work, GError **error)
{
  Stream *stream = work;
  int64_t size = bg_node_size(stream->chain.top);
  if (size < 0) {
    bg_set_error_errno(error, (int)-size, "node '%s': its size is not known", stream->chain.top->name);
    return false;
  }
  bg_job_set_total(job, (uint64_t)size);
  stream->buffer = g_malloc(PIECE);
  for (uint64_t offset = 0; offset < (uint64_t)size;)
    if (!stream_piece(job, stream, &offset, error))
      return false;
  return make_durable(stream, error);
}

static bool stream_finish(BgJob *job, void *work, GError **error)
{
  Stream *stream = work;
  BgChain *chain = &stream->chain;
  g_autofree char *file = NULL;
  g_autoptr(GPtrArray) nobody = g_ptr_array_new();
  const char *format;
  (void)job;
  if (!bg_chain_base_name(chain, &file, &format, error) ||
      !bg_chain_relink(chain, chain->base && stream->backing_file ? stream->backing_file : file, format, nobody, error))
    return false;
  bg_chain_drop_unused(chain);
  return true;
}

static const BgJobKind stream_kind = {
    .type = "stream", .block = true, .run = stream_run, .finish = stream_finish, .clean = stream_clean};

BgJob *bg_job_stream(BgGraph *graph, const BgJobStream *options, GError **error)
{
  if (!bg_jobs_check_id(graph, options->settings.id, error))
    return NULL;
  g_autoptr(Stream) stream = g_new0(Stream, 1);
  g_autofree char *what = g_strdup_printf("stream job '%s'", options->settings.id);
  stream->backing_file = g_strdup(options->backing_file);
  stream->on_error = options->on_error;
  if (!bg_chain_freeze(&stream->chain, NULL, options->device, options->base, what, error) ||
      !bg_chain_check_link(&stream->chain, error))
    return NULL;
  bg_freeze_lift_read_only(&stream->chain.freeze, options->device);
  stream->user =
      bg_freeze_user_new(&stream->chain.freeze, options->device, BG_PERM_CONSISTENT_READ | BG_PERM_WRITE_UNCHANGED,
                         BG_PERM_ALL & ~BG_PERM_RESIZE, error);
  if (!stream->user)
    return NULL;
  return bg_job_start(graph, &stream_kind, &options->settings, g_steal_pointer(&stream), error);
}

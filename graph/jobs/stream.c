#include "graph/jobs/stream.h"

#include "graph/jobs/chain.h"
#include "graph/jobs/walk.h"
#include "graph/map.h"
#include "graph/node.h"

/* Writers wait for a piece that is just being copied: smaller than others. */
#define PIECE (UINT64_C(512) << 10)

typedef struct Stream {
  BgChain chain;
  BgUser *user; /* on the device */
  char *backing_file;
  BgOnError on_error;
  BgMapped seen; /* before what was written since, which is the device's own and no harm */
} Stream;

static void stream_clean(void *work)
{
  Stream *stream = work;
  if (stream->chain.freeze.graph)
    bg_freeze_let_read_only(&stream->chain.freeze);
  bg_user_free(stream->user);
  bg_chain_clear(&stream->chain);
  g_free(stream->backing_file);
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

static int stream_look(BgJob *job, void *work, uint64_t offset, BgWalkStep *step)
{
  Stream *stream = work;
  const BgMapped *seen = &stream->seen;
  int result = bg_walk_look(stream->user, offset, &stream->seen);
  if (result)
    return result;
  step->wanted = is_above_base(stream, seen);
  step->zero = seen->zero;
  step->length = step->wanted ? MIN(seen->length, bg_job_piece(job, PIECE)) : seen->length;
  return 0;
}

static int stream_see_to(void *work, BgPiece *piece)
{
  const Stream *stream = work;
  return bg_user_populate(stream->user, piece->offset, piece->length, stream->chain.depth, piece->buffer);
}

static bool stream_run(BgJob *job, void *work, GError **error)
{
  Stream *stream = work;
  BgWalk walk = {stream->chain.top, stream->user, stream->on_error, stream, stream_look, stream_see_to};
  return bg_walk(job, &walk, error);
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

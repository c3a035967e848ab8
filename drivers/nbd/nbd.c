/* The driver `nbd`: an export of a server, by the Network Block Device protocol. */
#include "drivers/nbd/nbd.h"

#include "drivers/error.h"
#include "drivers/iov.h"

#include <errno.h>
#include <unistd.h>

static const char *const server_types[] = {"inet", "unix", NULL};

#define OPTION(name, type, field, ...)                                                                                 \
  {                                                                                                                    \
    name, type, offsetof(BgNbdOptions, field), __VA_ARGS__                                                             \
  }

static const BgOption nbd_options[] = {
    OPTION("filename", BG_OPTION_STRING, filename,
           .help = "a URI (nbd, nbds, nbd+unix, nbds+unix) in the place of server and export"),
    OPTION("server.type", BG_OPTION_ENUM, server_type, .values = server_types, .help = "how the server is reached"),
    OPTION("server.host", BG_OPTION_STRING, host, .help = "name or address of the server (inet)"),
    OPTION("server.port", BG_OPTION_STRING, port, .help = "port or service of the server, else 10809 (inet)"),
    OPTION("server.path", BG_OPTION_STRING, path, .help = "name of the server's socket (unix)"),
    OPTION("export", BG_OPTION_STRING, export, .help = "name of the export, else the server's default one"),
    OPTION("tls-creds", BG_OPTION_STRING, tls_creds,
           .help = "directory of X.509 certificates, or file of pre-shared keys, to encrypt with"),
    OPTION("tls-username", BG_OPTION_STRING, tls_username,
           .help = "whose pre-shared key is used, else the process's user"),
    OPTION("reconnect-delay", BG_OPTION_UINT, reconnect_delay, .max = 86400, .changeable = true,
           .help = "seconds for which requests wait when the connection is lost, before they fail"),
    OPTION("open-timeout", BG_OPTION_UINT, open_timeout, .max = 86400, .changeable = true,
           .help = "seconds for which opening tries to connect; 0 is one attempt"),
    {NULL}};

static const char *const schemes[] = {"nbd", "nbds", "nbd+unix", "nbds+unix", NULL};

/* ── control calls ── */

static void nbd_driver_close(void *instance)
{
  BgNbd *nbd = instance;
  bg_nbd_session_free(nbd->session);
  bg_nbd_status_clear(&nbd->status);
  pthread_mutex_destroy(&nbd->lock);
  g_free(nbd->uri);
  g_free(nbd);
}

/* What everybody here could read from the server himself may be read by everybody: a server that listens on the network and asks for no
 * credentials. A socket lets those in who may write to it. */
static void note_access(BgNbd *nbd, const BgNbdTarget *target)
{
  struct stat st;
  nbd->seen = (struct stat){.st_mode = S_IFREG | 0600, .st_uid = geteuid(), .st_gid = getegid()};
  clock_gettime(CLOCK_REALTIME, &nbd->seen.st_mtim);
  nbd->seen.st_atim = nbd->seen.st_ctim = nbd->seen.st_mtim;
  if (!target->path) {
    nbd->seen.st_mode |= target->tls_creds ? 0 : 0044;
  } else if (stat(target->path, &st) == 0) {
    nbd->seen.st_uid = st.st_uid;
    nbd->seen.st_gid = st.st_gid;
    nbd->seen.st_mode |= (st.st_mode & 0022) << 1;
  }
}

static void *nbd_driver_open(BgHost *host, const void *options, const BgMode *mode, GError **error)
{
  (void)mode;
  g_autoptr(BgNbdTarget) target = bg_nbd_target_new(options, error);
  BgNbdSession *session = target ? bg_nbd_session_new(target, host, error) : NULL;
  if (!session)
    return NULL;
  BgNbd *nbd = g_new0(BgNbd, 1);
  nbd->host = host;
  nbd->options = options;
  nbd->session = session;
  nbd->uri = g_strdup(target->uri);
  nbd->size = session->facts.size;
  note_access(nbd, target);
  pthread_mutex_init(&nbd->lock, NULL);
  bg_nbd_status_init(&nbd->status);
  g_steal_pointer(&target);
  return nbd;
}

static int nbd_host_stat(void *instance, struct stat *st)
{
  *st = ((BgNbd *)instance)->seen;
  return 0;
}

static const char *nbd_filename(void *instance)
{
  return ((BgNbd *)instance)->uri;
}

static const char *state_word(BgNbdState state)
{
  static const char *const words[] = {
      [BG_NBD_DOWN] = "reconnecting", [BG_NBD_UP] = "connected", [BG_NBD_FAILED] = "failed"};
  return words[state];
}

static unsigned connections(const BgNbdSession *s)
{
  unsigned count = 0;
  for (unsigned i = 0; i < BG_NBD_CONNECTIONS; i++)
    count += s->connections[i].usable;
  return count;
}

static void session_info(BgNbdSession *s, BgInfo *info)
{
  pthread_mutex_lock(&s->lock);
  info->add(info, "connection", g_variant_new_string(state_word(s->state)));
  info->add(info, "connections", g_variant_new_uint32(connections(s)));
  info->add(info, "outages", g_variant_new_uint32(s->outages));
  info->add(info, "server-read-only", g_variant_new_boolean(s->facts.read_only));
  info->add(info, "multi-conn", g_variant_new_boolean(s->facts.multi_conn));
  info->add(info, "holes", g_variant_new_boolean(s->facts.allocation));
  info->add(info, "tls", g_variant_new_boolean(s->target->tls));
  info->add(info, "minimum-block-size", g_variant_new_uint32(s->facts.minimum));
  info->add(info, "preferred-block-size", g_variant_new_uint32(s->facts.preferred));
  info->add(info, "maximum-block-size", g_variant_new_uint32(s->facts.maximum));
  pthread_mutex_unlock(&s->lock);
}

static void nbd_info(void *instance, BgInfo *info)
{
  BgNbd *nbd = instance;
  pthread_mutex_lock(&nbd->lock);
  session_info(nbd->session, info);
  pthread_mutex_unlock(&nbd->lock);
}

static bool nbd_abandon(void *instance, unsigned silence)
{
  BgNbd *nbd = instance;
  pthread_mutex_lock(&nbd->lock);
  bool waited = bg_nbd_session_abandon(nbd->session, silence);
  pthread_mutex_unlock(&nbd->lock);
  return waited;
}

/* ── data calls ── */

static void nbd_limits(void *instance, BgLimits *limits)
{
  BgNbd *nbd = instance;
  pthread_mutex_lock(&nbd->lock);
  BgNbdFacts facts = bg_nbd_session_facts(nbd->session);
  pthread_mutex_unlock(&nbd->lock);
  *limits = (BgLimits){.request_alignment = facts.minimum, .granularity = facts.minimum};
}

static uint64_t size_of(BgNbd *nbd)
{
  return __atomic_load_n(&nbd->size, __ATOMIC_RELAXED);
}

static int64_t nbd_size(void *instance)
{
  return (int64_t)size_of(instance);
}

/* No server tells it. */
static int64_t nbd_allocated(void *instance)
{
  return nbd_size(instance);
}

static int read_vector(BgNbd *nbd, const struct iovec *iov, int iovcnt, uint64_t offset, uint64_t length)
{
  if (iovcnt == 1)
    return bg_nbd_session_read(nbd->session, iov->iov_base, length, offset);
  g_autofree void *buffer = g_try_malloc(length);
  if (!buffer)
    return -ENOMEM;
  int result = bg_nbd_session_read(nbd->session, buffer, length, offset);
  if (result == 0)
    bg_iov_from_buffer(iov, iovcnt, 0, buffer, length);
  return result;
}

static int nbd_driver_preadv(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  BgNbd *nbd = instance;
  uint64_t wanted = bg_iov_length(iov, iovcnt), size = size_of(nbd);
  uint64_t length = offset < size ? MIN(wanted, size - offset) : 0;
  int result = length ? read_vector(nbd, iov, iovcnt, offset, length) : 0;
  if (result == 0)
    bg_iov_zero(iov, iovcnt, length, wanted - length);
  return result;
}

static int nbd_driver_pwritev(void *instance, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  BgNbd *nbd = instance;
  bg_nbd_status_note_write(&nbd->status);
  int result = bg_nbd_session_write(nbd->session, iov, iovcnt, offset);
  bg_nbd_status_note_write(&nbd->status);
  return result;
}

static int nbd_map(void *instance, uint64_t offset, uint64_t length, BgExtent *extent)
{
  BgNbd *nbd = instance;
  return bg_nbd_status_map(&nbd->status, nbd->session, offset, length, extent);
}

/* The lengths of such requests have 32 bits; and the server shall not be busy with one for long. */
#define PIECE_MAX ((uint64_t)1 << 30)

static int zero_pieces(BgNbd *nbd, uint64_t offset, uint64_t length, uint32_t flags)
{
  int result = 0;
  for (uint64_t done = 0; done < length && result == 0; done += PIECE_MAX)
    result = bg_nbd_session_zero(nbd->session, offset + done, MIN(length - done, PIECE_MAX), flags);
  return result;
}

/* Servers that cannot promise to be fast, but give space back, are so where they may. */
static bool may_be_slow(const BgNbdFacts *facts, BgZeroFlags flags)
{
  return !facts->fast_zero && !(facts->trim && flags & BG_ZERO_MAY_UNMAP);
}

static int nbd_driver_zero(void *instance, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  BgNbd *nbd = instance;
  BgNbdFacts facts = bg_nbd_session_facts(nbd->session);
  if (!facts.zero || (flags & BG_ZERO_NO_FALLBACK && may_be_slow(&facts, flags)))
    return -ENOTSUP;
  bool fast = flags & BG_ZERO_NO_FALLBACK && facts.fast_zero;
  bg_nbd_status_note_write(&nbd->status);
  int result =
      zero_pieces(nbd, offset, length,
                  (flags & BG_ZERO_MAY_UNMAP ? 0 : LIBNBD_CMD_FLAG_NO_HOLE) | (fast ? LIBNBD_CMD_FLAG_FAST_ZERO : 0));
  bg_nbd_status_note_write(&nbd->status);
  return result == -EOPNOTSUPP ? -ENOTSUP : result;
}

static int nbd_discard(void *instance, uint64_t offset, uint64_t length)
{
  BgNbd *nbd = instance;
  if (!bg_nbd_session_facts(nbd->session).trim)
    return -ENOTSUP;
  bg_nbd_status_note_write(&nbd->status);
  int result = 0;
  for (uint64_t done = 0; done < length && result == 0; done += PIECE_MAX)
    result = bg_nbd_session_trim(nbd->session, offset + done, MIN(length - done, PIECE_MAX));
  bg_nbd_status_note_write(&nbd->status);
  return result;
}

static int nbd_driver_flush(void *instance)
{
  return bg_nbd_session_flush(((BgNbd *)instance)->session);
}

const BgDriver bg_driver_nbd = {
    .name = "nbd",
    .summary = "an export of an NBD server",
    .kind = BG_KIND_PROTOCOL,
    .schemes = schemes,
    .waits = true,
    .options = nbd_options,
    .options_size = sizeof(BgNbdOptions),
    .open = nbd_driver_open,
    .close = nbd_driver_close,
    .change_open = bg_nbd_change_open,
    .change_settle = bg_nbd_change_settle,
    .change_commit = bg_nbd_change_commit,
    .change_abort = bg_nbd_change_abort,
    .can_change = bg_nbd_can_change,
    .abandon = nbd_abandon,
    .info = nbd_info,
    .host_stat = nbd_host_stat,
    .filename = nbd_filename,
    .limits = nbd_limits,
    .size = nbd_size,
    .allocated = nbd_allocated,
    .preadv = nbd_driver_preadv,
    .pwritev = nbd_driver_pwritev,
    .map = nbd_map,
    .zero = nbd_driver_zero,
    .discard = nbd_discard,
    .flush = nbd_driver_flush,
};

#include "drivers/nbd/handshake.h"

#include "drivers/error.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct nbd_handle NbdHandle;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NbdHandle, nbd_close)

/* What a request is at most where the server does not say: the protocol's own bound for such servers. */
enum { DEFAULT_MAXIMUM = 32 << 20, DEFAULT_PREFERRED = 4096, SECTOR = 512 };

/* ── polling ── */

static short events_of(struct nbd_handle *nbd)
{
  unsigned direction = nbd_aio_get_direction(nbd);
  return (short)((direction & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
                 (direction & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0));
}

static bool is_over(struct nbd_handle *nbd)
{
  return nbd_aio_is_dead(nbd) > 0 || nbd_aio_is_closed(nbd) > 0;
}

/* What others did meanwhile may have turned the direction. */
static bool notify(struct nbd_handle *nbd, short revents)
{
  unsigned direction = nbd_aio_get_direction(nbd);
  if (direction & LIBNBD_AIO_DIRECTION_READ && revents & (POLLIN | POLLHUP | POLLERR))
    return nbd_aio_notify_read(nbd) == 0;
  if (direction & LIBNBD_AIO_DIRECTION_WRITE && revents & (POLLOUT | POLLHUP | POLLERR))
    return nbd_aio_notify_write(nbd) == 0;
  return !(revents & (POLLHUP | POLLERR | POLLNVAL));
}

bool bg_nbd_pump(struct nbd_handle *nbd, int wake_fd, int timeout)
{
  if (is_over(nbd))
    return false;
  struct pollfd fds[] = {{nbd_aio_get_fd(nbd), events_of(nbd), 0}, {wake_fd, POLLIN, 0}};
  int ready = poll(fds, G_N_ELEMENTS(fds), timeout);
  if (ready <= 0)
    return ready == 0 || errno == EINTR;
  return !fds[0].revents || notify(nbd, fds[0].revents);
}

/* ── connecting ── */

/* libnbd's own words, without the function's name in front. */
static const char *reason(void)
{
  const char *text = nbd_get_error();
  const char *colon = text ? strstr(text, ": ") : NULL;
  return colon ? colon + 2 : text ? text : "unknown error";
}

static bool set_failure(GError **error, const BgNbdTarget *target, int fallback)
{
  int err = nbd_get_errno();
  bg_set_error(error, err > 0 ? err : fallback, "NBD server '%s': %s", target->uri, reason());
  return false;
}

static bool set_credentials(struct nbd_handle *nbd, const BgNbdTarget *target, GError **error)
{
  if (!target->tls_creds)
    return true;
  struct stat st;
  if (stat(target->tls_creds, &st) < 0) {
    bg_set_error_errno(error, errno, "TLS credentials '%s'", target->tls_creds);
    return false;
  }
  g_autofree char *authority = g_build_filename(target->tls_creds, "ca-cert.pem", NULL);
  if (S_ISDIR(st.st_mode) && access(authority, R_OK) < 0) {
    bg_set_error_errno(error, errno, "TLS credentials '%s'", authority);
    return false;
  }
  int rc = S_ISDIR(st.st_mode) ? nbd_set_tls_certificates(nbd, target->tls_creds)
                               : nbd_set_tls_psk_file(nbd, target->tls_creds);
  return rc == 0 || set_failure(error, target, EINVAL);
}

static bool set_up(struct nbd_handle *nbd, const BgNbdTarget *target, GError **error)
{
  if (!set_credentials(nbd, target, error))
    return false;
  bool ok = nbd_set_export_name(nbd, target->export) == 0 &&
            nbd_add_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) == 0 &&
            nbd_set_pread_initialize(nbd, false) == 0 &&
            nbd_set_tls(nbd, target->tls ? LIBNBD_TLS_REQUIRE : LIBNBD_TLS_DISABLE) == 0 &&
            nbd_set_tls_verify_peer(nbd, true) == 0 &&
            (!target->tls_username || nbd_set_tls_username(nbd, target->tls_username) == 0);
  return ok || set_failure(error, target, EINVAL);
}

/* A peer that has vanished without a word is found out within half a minute. */
static void keep_alive(int fd)
{
  int on = 1, idle = 10, interval = 5, count = 4;
  if (setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on) < 0)
    return; /* not TCP */
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
}

static bool woken(int fd)
{
  struct pollfd poller = {fd, POLLIN, 0};
  return poll(&poller, 1, 0) == 1;
}

static bool until_ready(struct nbd_handle *nbd, const BgNbdTarget *target, int wake_fd, int64_t deadline,
                        GError **error)
{
  while (nbd_aio_is_ready(nbd) == 0) {
    int64_t left = (deadline - g_get_monotonic_time() + 999) / 1000;
    if (left <= 0) {
      bg_set_error(error, ETIMEDOUT, "NBD server '%s' does not answer", target->uri);
      return false;
    }
    if (woken(wake_fd)) {
      bg_set_error(error, ECANCELED, "NBD server '%s': given up", target->uri);
      return false;
    }
    if (!bg_nbd_pump(nbd, wake_fd, (int)MIN(left, 60000)))
      return set_failure(error, target, ECONNREFUSED);
  }
  return true;
}

static bool connect_handle(struct nbd_handle *nbd, const BgNbdTarget *target, int wake_fd, int64_t deadline,
                           GError **error)
{
  int rc =
      target->path ? nbd_aio_connect_unix(nbd, target->path) : nbd_aio_connect_tcp(nbd, target->host, target->port);
  if (rc < 0)
    return set_failure(error, target, ECONNREFUSED);
  return until_ready(nbd, target, wake_fd, deadline, error);
}

/* ── the export ── */

static bool is_power(uint64_t value)
{
  return value && !(value & (value - 1));
}

static bool read_block_sizes(struct nbd_handle *nbd, BgNbdFacts *facts)
{
  int64_t minimum = nbd_get_block_size(nbd, LIBNBD_SIZE_MINIMUM);
  int64_t preferred = nbd_get_block_size(nbd, LIBNBD_SIZE_PREFERRED);
  int64_t maximum = nbd_get_block_size(nbd, LIBNBD_SIZE_MAXIMUM);
  if (minimum <= 0) /* not said: sectors, if the export has whole ones */
    minimum = facts->size % SECTOR ? 1 : SECTOR;
  if (preferred < minimum || !is_power((uint64_t)preferred))
    preferred = MAX(minimum, DEFAULT_PREFERRED);
  if (maximum <= 0 || maximum > DEFAULT_MAXIMUM)
    maximum = DEFAULT_MAXIMUM;
  maximum -= maximum % minimum;
  facts->minimum = (uint32_t)minimum;
  facts->preferred = (uint32_t)preferred;
  facts->maximum = (uint32_t)maximum;
  return is_power((uint64_t)minimum) && minimum <= 65536 && preferred <= DEFAULT_MAXIMUM && maximum > 0;
}

static bool read_facts(struct nbd_handle *nbd, const BgNbdTarget *target, BgNbdFacts *facts, GError **error)
{
  int64_t size = nbd_get_size(nbd);
  if (size < 0)
    return set_failure(error, target, EIO);
  facts->size = (uint64_t)size;
  if (!read_block_sizes(nbd, facts) || facts->size % facts->minimum) {
    bg_set_error(error, EINVAL,
                 "NBD server '%s': its sizes of blocks (%u to %u bytes) do not fit an export of %" G_GUINT64_FORMAT,
                 target->uri, facts->minimum, facts->maximum, facts->size);
    return false;
  }
  facts->read_only = nbd_is_read_only(nbd) != 0;
  facts->flush = nbd_can_flush(nbd) > 0;
  facts->trim = nbd_can_trim(nbd) > 0;
  facts->zero = nbd_can_zero(nbd) > 0;
  facts->fast_zero = nbd_can_fast_zero(nbd) > 0;
  facts->multi_conn = nbd_can_multi_conn(nbd) > 0;
  facts->allocation = nbd_can_meta_context(nbd, LIBNBD_CONTEXT_BASE_ALLOCATION) > 0;
  return true;
}

struct nbd_handle *bg_nbd_handshake(const BgNbdTarget *target, int wake_fd, int64_t deadline, BgNbdFacts *facts,
                                    GError **error)
{
  g_autoptr(NbdHandle) nbd = nbd_create();
  if (!nbd) {
    set_failure(error, target, ENOMEM);
    return NULL;
  }
  BgNbdFacts said = {0};
  if (!set_up(nbd, target, error) || !connect_handle(nbd, target, wake_fd, deadline, error) ||
      !read_facts(nbd, target, &said, error))
    return NULL;
  if (target->host)
    keep_alive(nbd_aio_get_fd(nbd));
  *facts = said;
  return g_steal_pointer(&nbd);
}

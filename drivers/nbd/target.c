#include "drivers/nbd/target.h"

#include "drivers/error.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>

#define DEFAULT_PORT "10809"

void bg_nbd_target_free(BgNbdTarget *target)
{
  if (!target)
    return;
  g_free(target->host);
  g_free(target->port);
  g_free(target->path);
  g_free(target->export);
  g_free(target->tls_creds);
  g_free(target->tls_username);
  g_free(target->uri);
  g_free(target);
}

static bool fail(GError **error, const char *uri, const char *why)
{
  bg_set_error(error, EINVAL, "'%s' %s", uri, why);
  return false;
}

/* ── URIs: https://github.com/NetworkBlockDevice/nbd/blob/master/doc/uri.md ── */

static bool set_seconds(uint64_t *seconds, const char *name, const char *value, GError **error)
{
  if (g_ascii_string_to_unsigned(value, 10, 0, G_MAXUINT32, seconds, NULL))
    return true;
  bg_set_error(error, EINVAL, "'%s' is no number of seconds for '%s'", value, name);
  return false;
}

static bool take_parameter(BgNbdTarget *target, const char *uri, const char *name, char *value, GError **error)
{
  if (strcmp(name, "reconnect-delay") == 0)
    return set_seconds(&target->reconnect_delay, name, value, error);
  if (strcmp(name, "open-timeout") == 0)
    return set_seconds(&target->open_timeout, name, value, error);
  char **field = NULL;
  if (strcmp(name, "socket") == 0 && !target->host)
    field = &target->path;
  else if ((strcmp(name, "tls-certificates") == 0 || strcmp(name, "tls-psk-file") == 0) && target->tls)
    field = &target->tls_creds;
  if (!field || *field) {
    g_autofree char *why = g_strdup_printf("has a parameter '%s', which does not belong there", name);
    return fail(error, uri, why);
  }
  *field = g_strdup(value);
  return true;
}

static bool take_parameters(BgNbdTarget *target, const char *uri, const char *query, GError **error)
{
  GUriParamsIter iter;
  char *name, *value;
  g_uri_params_iter_init(&iter, query ? query : "", -1, "&;", G_URI_PARAMS_NONE);
  for (;;) {
    g_autoptr(GError) failure = NULL;
    bool more = g_uri_params_iter_next(&iter, &name, &value, &failure);
    if (failure)
      return fail(error, uri, failure->message);
    if (!more)
      return true;
    bool ok = take_parameter(target, uri, name, value, error);
    g_free(name);
    g_free(value);
    if (!ok)
      return false;
  }
}

/* "nbd:HOST:PORT" and "nbd:unix:PATH", each with ":exportname=NAME" or not, which old images name. */
static bool parse_legacy(BgNbdTarget *target, const char *uri, const char *rest, GError **error)
{
  static const char mark[] = ":exportname=";
  const char *export = strstr(rest, mark);
  g_autofree char *where = export ? g_strndup(rest, export - rest) : g_strdup(rest);
  const char *colon = strrchr(where, ':');
  target->export = g_strdup(export ? export + strlen(mark) : "");
  if (g_str_has_prefix(where, "unix:")) {
    target->path = g_strdup(where + strlen("unix:"));
    return true;
  }
  if (!colon || colon == where || !colon[1])
    return fail(error, uri, "names no HOST:PORT");
  target->host = g_strndup(where, colon - where);
  target->port = g_strdup(colon + 1);
  return true;
}

static bool parse_scheme(BgNbdTarget *target, const char *uri, const GUri *parsed, bool *unix_socket, GError **error)
{
  const char *scheme = g_uri_get_scheme((GUri *)parsed);
  target->tls = g_str_has_prefix(scheme, "nbds");
  *unix_socket = g_str_has_suffix(scheme, "+unix");
  static const char *const known[] = {"nbd", "nbds", "nbd+unix", "nbds+unix", NULL};
  return g_strv_contains(known, scheme) ||
         fail(error, uri, "has a scheme that is none of nbd, nbds, nbd+unix, nbds+unix");
}

static bool parse_uri(BgNbdTarget *target, const char *uri, GError **error)
{
  if (g_str_has_prefix(uri, "nbd:") && !g_str_has_prefix(uri, "nbd:/"))
    return parse_legacy(target, uri, uri + strlen("nbd:"), error);
  g_autoptr(GError) failure = NULL;
  g_autoptr(GUri) parsed = g_uri_parse(uri, G_URI_FLAGS_ENCODED_QUERY, &failure);
  if (!parsed)
    return fail(error, uri, failure->message);
  bool unix_socket;
  if (!parse_scheme(target, uri, parsed, &unix_socket, error))
    return false;
  const char *host = g_uri_get_host(parsed), *path = g_uri_get_path(parsed);
  if (!unix_socket && (!host || !*host))
    return fail(error, uri, "names no host");
  if (unix_socket && host && *host)
    return fail(error, uri, "names a host beside a socket");
  if (g_uri_get_fragment(parsed))
    return fail(error, uri, "has a fragment");
  target->host = unix_socket ? NULL : g_strdup(host);
  target->port = g_uri_get_port(parsed) > 0 ? g_strdup_printf("%d", g_uri_get_port(parsed)) : NULL;
  target->export = g_strdup(*path == '/' ? path + 1 : path);
  target->tls_username = g_strdup(g_uri_get_userinfo(parsed));
  return take_parameters(target, uri, g_uri_get_query(parsed), error);
}

static char *format_uri(const BgNbdTarget *target)
{
  g_autofree char *export = g_uri_escape_string(target->export, "/:@+,", FALSE);
  const char *tls = target->tls ? "s" : "";
  if (target->path) {
    g_autofree char *path = g_uri_escape_string(target->path, "/:@+,", FALSE);
    return g_strdup_printf("nbd%s+unix:///%s?socket=%s", tls, export, path);
  }
  bool bracket = strchr(target->host, ':');
  bool plain = strcmp(target->port, DEFAULT_PORT) == 0;
  return g_strdup_printf("nbd%s://%s%s%s%s%s/%s", tls, bracket ? "[" : "", target->host, bracket ? "]" : "",
                         plain ? "" : ":", plain ? "" : target->port, export);
}

/* ── options ── */

static bool take_options(BgNbdTarget *target, const BgNbdOptions *options, GError **error)
{
  bool unix_socket = options->server_type == BG_NBD_UNIX;
  const char *missing = unix_socket ? (options->path ? NULL : "server.path") : (options->host ? NULL : "server.host");
  if (missing) {
    bg_set_error(error, EINVAL, "the option '%s' is missing", missing);
    return false;
  }
  if (unix_socket ? options->host || options->port : options->path != NULL) {
    bg_set_error(error, EINVAL, "the option '%s' does not go with server.type=%s",
                 unix_socket ? "server.host' or 'server.port" : "server.path", unix_socket ? "unix" : "inet");
    return false;
  }
  target->host = g_strdup(options->host);
  target->port = g_strdup(options->port);
  target->path = g_strdup(options->path);
  target->export = g_strdup(options->export ? options->export : "");
  return true;
}

static bool check_alone(const BgNbdOptions *options, GError **error)
{
  if (!options->host && !options->port && !options->path && !options->export)
    return true;
  bg_set_error(error, EINVAL, "the options 'server.…' and 'export' do not go with a URI");
  return false;
}

static bool check(const BgNbdTarget *target, const char *uri, GError **error)
{
  struct sockaddr_un address;
  if (!target->host && !target->path)
    return fail(error, uri, "names no socket");
  if (target->path && strlen(target->path) >= sizeof address.sun_path) {
    bg_set_error(error, EINVAL, "'%s' is too long for the name of a socket", target->path);
    return false;
  }
  if (strlen(target->export) > 4096) { /* what the protocol allows */
    bg_set_error(error, EINVAL, "the name of the export is longer than 4096 bytes");
    return false;
  }
  if (!target->tls || target->tls_creds)
    return true;
  /* libnbd would take any server for the right one then */
  bg_set_error(
      error, EINVAL,
      "encryption needs credentials: the option 'tls-creds', or 'tls-certificates' or 'tls-psk-file' in the URI");
  return false;
}

static void take_common(BgNbdTarget *target, const BgNbdOptions *options)
{
  if (options->tls_creds) {
    g_free(target->tls_creds);
    target->tls_creds = g_strdup(options->tls_creds);
  }
  if (options->tls_username) {
    g_free(target->tls_username);
    target->tls_username = g_strdup(options->tls_username);
  }
  target->tls = target->tls || target->tls_creds;
  if (options->reconnect_delay)
    target->reconnect_delay = options->reconnect_delay;
  if (options->open_timeout)
    target->open_timeout = options->open_timeout;
  if (target->host && !target->port)
    target->port = g_strdup(DEFAULT_PORT);
}

BgNbdTarget *bg_nbd_target_new(const BgNbdOptions *options, GError **error)
{
  g_autoptr(BgNbdTarget) target = g_new0(BgNbdTarget, 1);
  bool ok = options->filename ? check_alone(options, error) && parse_uri(target, options->filename, error)
                              : take_options(target, options, error);
  if (!ok)
    return NULL;
  take_common(target, options);
  if (!check(target, options->filename, error))
    return NULL;
  target->uri = format_uri(target);
  return g_steal_pointer(&target);
}

#include "drivers/error.h"
#include "drivers/nbd/target.h"

#include <criterion/criterion.h>
#include <errno.h>

static BgNbdTarget *of_uri(const char *uri, GError **error)
{
  return bg_nbd_target_new(&(BgNbdOptions){.filename = (char *)uri}, error);
}

Test(target, uris)
{
  static const struct {
    const char *uri, *host, *port, *path, *export, *shown;
    bool tls;
  } cases[] = {
      {"nbd://host", "host", "10809", NULL, "", "nbd://host/", false},
      {"nbd://host:10810/a/b", "host", "10810", NULL, "a/b", "nbd://host:10810/a/b", false},
      {"nbds://[::1]/x%20y?tls-certificates=/c", "::1", "10809", NULL, "x y", "nbds://[::1]/x%20y", true},
      {"nbd+unix:///disk?socket=/run/s", NULL, NULL, "/run/s", "disk", "nbd+unix:///disk?socket=/run/s", false},
      {"nbds+unix:///?socket=%2Frun%2Fa+b&tls-psk-file=/k", NULL, NULL, "/run/a+b", "", "nbds+unix:///?socket=/run/a+b",
       true},
      {"nbd:host:1", "host", "1", NULL, "", "nbd://host:1/", false},
      {"nbd:unix:/run/s:exportname=x", NULL, NULL, "/run/s", "x", "nbd+unix:///x?socket=/run/s", false},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
    g_autoptr(GError) error = NULL;
    g_autoptr(BgNbdTarget) target = of_uri(cases[i].uri, &error);
    cr_assert_not_null(target, "%s: %s", cases[i].uri, error ? error->message : "");
    cr_assert_eq(g_strcmp0(target->host, cases[i].host), 0, "%s: %s", cases[i].uri, target->host);
    cr_assert_eq(g_strcmp0(target->port, cases[i].port), 0, "%s: %s", cases[i].uri, target->port);
    cr_assert_eq(g_strcmp0(target->path, cases[i].path), 0, "%s: %s", cases[i].uri, target->path);
    cr_assert_str_eq(target->export, cases[i].export);
    cr_assert_str_eq(target->uri, cases[i].shown);
    cr_assert_eq(target->tls, cases[i].tls);
  }
}

Test(target, parameters_and_options_beside_a_uri)
{
  g_autoptr(BgNbdTarget) target = of_uri("nbds://host/?reconnect-delay=30&open-timeout=2&tls-psk-file=/k", NULL);
  cr_assert_eq(target->reconnect_delay, 30);
  cr_assert_eq(target->open_timeout, 2);
  cr_assert_str_eq(target->tls_creds, "/k");
  const BgNbdOptions options = {
      .filename = "nbds://joe@host/?tls-psk-file=/k", .tls_creds = "/own", .reconnect_delay = 3};
  g_autoptr(BgNbdTarget) other = bg_nbd_target_new(&options, NULL);
  cr_assert_str_eq(other->tls_creds, "/own");
  cr_assert_str_eq(other->tls_username, "joe");
  cr_assert_eq(other->reconnect_delay, 3);
}

Test(target, what_is_no_uri)
{
  static const char *const wrong[] = {
      "nbd://",
      "nbd:///disk",
      "nbd://host/?colour=red",
      "nbd://host/?reconnect-delay=soon",
      "nbd+unix:///",
      "nbd://host:99999/",
      "nbd://host/?socket=/s",
      "nbd+unix://host/?socket=/s",
      "nbd:nothing",
      "nbd://host/#here",
      "nbd://host/?tls-psk-file=/k",
      "nbd+tcp://host/",
      "nbd+unix:///?socket=/a&socket=/b",
  };
  for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
    g_autoptr(GError) error = NULL;
    cr_assert_null(of_uri(wrong[i], &error), "%s", wrong[i]);
    cr_assert_eq(bg_error_errno(error), EINVAL);
    cr_assert_null(strchr(error->message, '\n'));
  }
}

static void refused(const BgNbdOptions *options, const char *named)
{
  g_autoptr(GError) error = NULL;
  cr_assert_null(bg_nbd_target_new(options, &error));
  cr_assert_not_null(strstr(error->message, named), "%s", error->message);
}

Test(target, options_that_do_not_go_together)
{
  refused(&(BgNbdOptions){0}, "server.host");
  refused(&(BgNbdOptions){.server_type = BG_NBD_UNIX}, "server.path");
  refused(&(BgNbdOptions){.server_type = BG_NBD_UNIX, .path = "/s", .port = "1"}, "server.port");
  refused(&(BgNbdOptions){.host = "h", .path = "/s"}, "server.path");
  refused(&(BgNbdOptions){.filename = "nbd://h", .export = "x"}, "export");
  refused(&(BgNbdOptions){.filename = "nbds://h"}, "tls-creds");
  g_autofree char *path = g_strnfill(200, 'x'), *export = g_strnfill(5000, 'x');
  refused(&(BgNbdOptions){.server_type = BG_NBD_UNIX, .path = path}, "too long");
  refused(&(BgNbdOptions){.host = "h", .export = export}, "4096");
}

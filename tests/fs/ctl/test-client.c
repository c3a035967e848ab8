#include "fs/ctl/client.h"

#include "drivers/error.h"
#include "fs/ctl/values.h"
#include "tests/fs/ctl/fake-server.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

TestSuite(client, .timeout = 60);

enum { LONG = 20000, SHORT = 50 /* ms */ };

static BgfsCtlClient *connect_to(FakeServer *server)
{
  g_autoptr(GError) error = NULL;
  BgfsCtlClient *client = bgfs_ctl_client_new(fake_server_path(server), LONG, &error);
  cr_assert_not_null(client, "%s", error ? error->message : "");
  return client;
}

static void assert_refused(const FakeStep *steps, int timeout, int code, const char *part)
{
  FakeServer *server = fake_server_new(steps);
  g_autoptr(GError) error = NULL;
  cr_assert_null(bgfs_ctl_client_new(fake_server_path(server), timeout, &error));
  cr_assert_eq(bg_error_errno(error), code, "%s", error->message);
  cr_assert_not_null(strstr(error->message, part), "%s", error->message);
  fake_server_end(server);
}

Test(client, negotiates_and_calls)
{
  static const FakeStep steps[] = {
      {"\"execute\":\"a\"|\"arguments\":{\"x\":\"y\"}", "{\"return\":{\"n\":7},\"id\":@}\r\n"}, {NULL}};
  FakeServer *server = fake_server_negotiated(steps);
  g_autoptr(BgfsCtlClient) client = connect_to(server);
  g_autoptr(GError) error = NULL;
  g_autoptr(JsonNode) result = bgfs_ctl_client_call(client, "a", bgfs_ctl_arguments("x", "y", "z", NULL, NULL), &error);
  cr_assert_not_null(result);
  cr_assert_eq(bgfs_ctl_number(json_node_get_object(result), "n", 0), 7);
  cr_assert_eq(bgfs_ctl_client_peer(client), getpid());
  g_clear_pointer(&client, bgfs_ctl_client_free);
  fake_server_end(server);
}

Test(client, keeps_events_that_come_before_the_answer)
{
  static const FakeStep steps[] = {
      {"\"execute\":\"a\"",
       "{\"event\":\"E\",\"data\":{\"k\":1}}\n{\"return\":1,\"id\":999}{\"event\":\"F\"}{\"return\":{},\"id\":@}"},
      {NULL}};
  FakeServer *server = fake_server_negotiated(steps);
  g_autoptr(BgfsCtlClient) client = connect_to(server);
  cr_assert(bgfs_ctl_client_do(client, "a", NULL, NULL));
  g_autoptr(JsonObject) first = bgfs_ctl_client_event(client, SHORT, -1, NULL);
  g_autoptr(JsonObject) second = bgfs_ctl_client_event(client, SHORT, -1, NULL);
  cr_assert_str_eq(bgfs_ctl_text(first, "event"), "E");
  cr_assert_eq(bgfs_ctl_number(bgfs_ctl_object(first, "data"), "k", 0), 1);
  cr_assert_str_eq(bgfs_ctl_text(second, "event"), "F");
  cr_assert_not_null(bgfs_ctl_object(second, "data"), "data is always there");
  g_autoptr(GError) error = NULL;
  cr_assert_null(bgfs_ctl_client_event(client, SHORT, -1, &error));
  cr_assert_null(error, "no event is no error");
  g_clear_pointer(&client, bgfs_ctl_client_free);
  fake_server_end(server);
}

Test(client, tells_what_the_server_says)
{
  static const FakeStep steps[] = {
      {"\"a\"", "{\"error\":{\"class\":\"GenericError\",\"desc\":\"no\\nway\"},\"id\":@}\r\n"},
      {"\"b\"", FAKE_DONE},
      {NULL}};
  FakeServer *server = fake_server_negotiated(steps);
  g_autoptr(BgfsCtlClient) client = connect_to(server);
  g_autoptr(GError) error = NULL;
  cr_assert_not(bgfs_ctl_client_do(client, "a", NULL, &error));
  cr_assert_str_eq(error->message, "no\\nway");
  cr_assert(bgfs_ctl_client_do(client, "b", NULL, NULL), "a refusal is not the end");
  g_clear_pointer(&client, bgfs_ctl_client_free);
  fake_server_end(server);
}

Test(client, every_wait_ends)
{
  static const FakeStep silent[] = {{"\"a\"", NULL}, {NULL}};
  FakeServer *server = fake_server_negotiated(silent);
  g_autoptr(GError) error = NULL;
  g_autoptr(BgfsCtlClient) client = bgfs_ctl_client_new(fake_server_path(server), 300, &error);
  cr_assert_not_null(client);
  cr_assert_not(bgfs_ctl_client_do(client, "a", NULL, &error));
  cr_assert_eq(bg_error_errno(error), ETIMEDOUT);
  g_clear_pointer(&client, bgfs_ctl_client_free);
  fake_server_end(server);
  static const FakeStep mute[] = {{NULL}};
  assert_refused(mute, 100, ETIMEDOUT, "greeting");
}

Test(client, a_descriptor_wakes_it)
{
  static const FakeStep steps[] = {{NULL}};
  FakeServer *server = fake_server_negotiated(steps);
  g_autoptr(BgfsCtlClient) client = connect_to(server);
  int ends[2];
  cr_assert_eq(pipe(ends), 0);
  cr_assert_eq(write(ends[1], "x", 1), 1);
  g_autoptr(GError) error = NULL;
  cr_assert_null(bgfs_ctl_client_event(client, BGFS_CTL_FOREVER, ends[0], &error));
  cr_assert_null(error);
  g_clear_pointer(&client, bgfs_ctl_client_free);
  fake_server_end(server);
}

Test(client, a_closed_connection_is_an_error)
{
  static const FakeStep steps[] = {{"\"a\"", "{\"return\""}, {NULL}};
  FakeServer *server = fake_server_brief(steps);
  g_autoptr(BgfsCtlClient) client = connect_to(server);
  g_autoptr(GError) error = NULL;
  cr_assert_not(bgfs_ctl_client_do(client, "a", NULL, &error));
  cr_assert_eq(bg_error_errno(error), EPIPE);
  g_clear_error(&error);
  cr_assert_null(bgfs_ctl_client_event(client, SHORT, -1, &error));
  cr_assert_eq(bg_error_errno(error), EPIPE);
  fake_server_end(server);
}

Test(client, who_speaks_something_else_is_refused)
{
  static const FakeStep smtp[] = {{NULL, "220 mail ESMTP\r\n"}, {NULL}};
  static const FakeStep list[] = {{NULL, "[]\n"}, {NULL}};
  static const FakeStep no_greeting[] = {{NULL, "{\"hello\":1}\n"}, {NULL}};
  static const FakeStep latin[] = {{NULL, "{\"\xe4\":1}\n"}, {NULL}};
  static const FakeStep not_for_you[] = {{NULL, "{\"error\":{\"class\":\"GenericError\",\"desc\":\"Only root\"}}\n"},
                                         {NULL}};
  assert_refused(smtp, LONG, EPROTO, "does not speak QMP");
  assert_refused(list, LONG, EPROTO, "does not speak QMP");
  assert_refused(no_greeting, LONG, EPROTO, "no greeting");
  assert_refused(latin, LONG, EPROTO, "does not speak QMP");
  assert_refused(not_for_you, LONG, EINVAL, "Only root");
}

Test(client, deep_nesting_is_refused)
{
  g_autofree char *deep = g_strnfill(100000, '[');
  const FakeStep steps[] = {{NULL, deep}, {NULL}};
  assert_refused(steps, LONG, EPROTO, "nested too deep");
}

Test(client, large_answers_are_taken)
{
  g_autofree char *filling = g_strnfill(20 * 1024 * 1024, 'x');
  g_autofree char *answer = g_strdup_printf("{\"return\":\"%s\",\"id\":@}\r\n", filling);
  const FakeStep steps[] = {{"\"a\"", answer}, {NULL}};
  FakeServer *server = fake_server_negotiated(steps);
  g_autoptr(BgfsCtlClient) client = connect_to(server);
  g_autoptr(JsonNode) result = bgfs_ctl_client_call(client, "a", NULL, NULL);
  cr_assert_not_null(result);
  cr_assert_eq(strlen(json_node_get_string(result)), strlen(filling));
  g_clear_pointer(&client, bgfs_ctl_client_free);
  fake_server_end(server);
}

Test(client, no_server_is_told)
{
  g_autoptr(GError) error = NULL;
  cr_assert_null(bgfs_ctl_client_new("/nonexistent/socket", LONG, &error));
  cr_assert_eq(bg_error_errno(error), ENOENT);
  g_clear_error(&error);
  g_autofree char *path = g_strnfill(200, 'p');
  cr_assert_null(bgfs_ctl_client_new(path, LONG, &error));
  cr_assert_eq(bg_error_errno(error), ENAMETOOLONG);
}

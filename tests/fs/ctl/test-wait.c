#include "fs/ctl/wait.h"

#include "drivers/error.h"
#include "tests/fs/ctl/fake-server.h"

#include <criterion/criterion.h>
#include <errno.h>

TestSuite(wait, .timeout = 60);

#define STATUS(status)     "{\"event\":\"JOB_STATUS_CHANGE\",\"data\":{\"id\":\"j\",\"status\":\"" status "\"}}\n"
#define BLOCK(event, rest) "{\"event\":\"BLOCK_JOB_" event "\",\"data\":{\"device\":\"j\"" rest "}}\n"
#define LIST(jobs)         "{\"return\":[" jobs "],\"id\":@}\n"
#define JOB                "{\"id\":\"j\",\"status\":\"running\",\"current-progress\":1,\"total-progress\":2}"

static BgfsCtlWaited wait_by(const FakeStep *steps, BgfsCtlReady ready, int *code, char **message)
{
  FakeServer *server = fake_server_negotiated(steps);
  g_autoptr(GError) error = NULL;
  BgfsCtlClient *client = bgfs_ctl_client_new(fake_server_path(server), 20000, &error);
  cr_assert_not_null(client);
  const BgfsCtlWait wait = {client, "j", ready, BGFS_CTL_PROGRESS_NONE, -1};
  BgfsCtlWaited waited = bgfs_ctl_wait(&wait, &error);
  cr_assert_eq(waited == BGFS_CTL_WAIT_FAILED, error != NULL);
  *code = error ? bg_error_errno(error) : 0;
  *message = g_strdup(error ? error->message : "");
  bgfs_ctl_client_free(client);
  fake_server_end(server);
  return waited;
}

static void assert_waited(const FakeStep *steps, BgfsCtlReady ready, BgfsCtlWaited wanted, int wanted_code,
                          const char *wanted_message)
{
  int code;
  g_autofree char *message = NULL;
  cr_assert_eq(wait_by(steps, ready, &code, &message), wanted);
  cr_assert_eq(code, wanted_code, "%s", message);
  cr_assert_str_eq(message, wanted_message);
}

Test(wait, a_job_that_ends_well)
{
  static const FakeStep steps[] = {
      {"query-jobs", LIST(JOB)},
      {NULL, "{\"event\":\"JOB_STATUS_CHANGE\",\"data\":{\"id\":\"other\",\"status\":\"null\"}}\n" STATUS("waiting")
                 BLOCK("COMPLETED", "") STATUS("concluded") STATUS("null")},
      {NULL}};
  assert_waited(steps, BGFS_CTL_READY_COMPLETE, BGFS_CTL_WAIT_DONE, 0, "");
}

Test(wait, a_job_that_fails)
{
  static const FakeStep steps[] = {
      {"query-jobs", LIST(JOB)},
      {NULL, BLOCK("COMPLETED", ",\"error\":\"No space left on device\"") STATUS("concluded") STATUS("null")},
      {NULL}};
  assert_waited(steps, BGFS_CTL_READY_COMPLETE, BGFS_CTL_WAIT_FAILED, EIO, "No space left on device");
}

Test(wait, a_job_that_is_cancelled_elsewhere)
{
  static const FakeStep steps[] = {{"query-jobs", LIST(JOB)}, {NULL, BLOCK("CANCELLED", "") STATUS("null")}, {NULL}};
  assert_waited(steps, BGFS_CTL_READY_COMPLETE, BGFS_CTL_WAIT_FAILED, ECANCELED, "cancelled");
}

Test(wait, a_ready_job_is_completed_finished_or_left)
{
  static const FakeStep complete[] = {{"query-jobs", LIST(JOB)},
                                      {NULL, BLOCK("READY", "")},
                                      {"\"job-complete\"|\"id\":\"j\"", FAKE_DONE},
                                      {NULL, BLOCK("COMPLETED", "") STATUS("null")},
                                      {NULL}};
  static const FakeStep finish[] = {{"query-jobs", LIST(JOB)},
                                    {NULL, BLOCK("READY", "")},
                                    {"\"block-job-cancel\"|\"device\":\"j\"", FAKE_DONE},
                                    {NULL, BLOCK("CANCELLED", "") STATUS("null")},
                                    {NULL}};
  static const FakeStep leave[] = {{"query-jobs", LIST(JOB)}, {NULL, BLOCK("READY", "")}, {NULL}};
  assert_waited(complete, BGFS_CTL_READY_COMPLETE, BGFS_CTL_WAIT_DONE, 0, "");
  assert_waited(finish, BGFS_CTL_READY_FINISH, BGFS_CTL_WAIT_DONE, 0, "");
  assert_waited(leave, BGFS_CTL_READY_LEAVE, BGFS_CTL_WAIT_READY, 0, "");
}

Test(wait, a_job_that_is_gone_already)
{
  static const FakeStep silent[] = {{"query-jobs", LIST("")}, {NULL}};
  static const FakeStep late[] = {{"query-jobs", LIST("") BLOCK("COMPLETED", ",\"error\":\"late\"") STATUS("null")},
                                  {NULL}};
  assert_waited(silent, BGFS_CTL_READY_COMPLETE, BGFS_CTL_WAIT_DONE, 0, "");
  assert_waited(late, BGFS_CTL_READY_COMPLETE, BGFS_CTL_WAIT_FAILED, EIO, "late");
}

Test(wait, a_refused_completion)
{
  static const FakeStep steps[] = {{"query-jobs", LIST(JOB)},
                                   {NULL, BLOCK("READY", "")},
                                   {"job-complete", "{\"error\":{\"desc\":\"not now\"},\"id\":@}\n"},
                                   {NULL}};
  assert_waited(steps, BGFS_CTL_READY_COMPLETE, BGFS_CTL_WAIT_FAILED, EINVAL, "not now");
}

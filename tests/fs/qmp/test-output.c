#include "fs/qmp/output.h"

#include <criterion/criterion.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct Fixture {
  int ends[2];
  BgfsQmpOutput output;
} Fixture;

static void setup(Fixture *fixture)
{
  cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, fixture->ends), 0);
  bgfs_qmp_output_init(&fixture->output, fixture->ends[0]);
}

static void teardown(Fixture *fixture)
{
  bgfs_qmp_output_clear(&fixture->output);
  close(fixture->ends[0]);
  close(fixture->ends[1]);
}

Test(output, what_can_be_sent_goes_at_once)
{
  Fixture fixture;
  setup(&fixture);
  char got[6] = "";
  cr_assert(bgfs_qmp_output_add(&fixture.output, "hello"));
  cr_assert_eq(bgfs_qmp_output_waiting(&fixture.output), 0);
  cr_assert_eq(read(fixture.ends[1], got, 5), 5);
  cr_assert_str_eq(got, "hello");
  teardown(&fixture);
}

Test(output, the_rest_waits_and_arrives_whole, .timeout = 20)
{
  Fixture fixture;
  setup(&fixture);
  enum { LENGTH = 4 * 1024 * 1024 };
  g_autofree char *text = g_strnfill(LENGTH, 'x');
  text[LENGTH - 1] = 'y';
  cr_assert_not(bgfs_qmp_output_add(&fixture.output, text));
  cr_assert_gt(bgfs_qmp_output_waiting(&fixture.output), 0);
  g_autofree char *got = g_malloc(LENGTH);
  for (size_t at = 0; at < LENGTH;) {
    ssize_t count = read(fixture.ends[1], got + at, LENGTH - at);
    cr_assert_gt(count, 0);
    at += (size_t)count;
    bgfs_qmp_output_send(&fixture.output);
  }
  cr_assert_eq(memcmp(got, text, LENGTH), 0);
  cr_assert_eq(bgfs_qmp_output_waiting(&fixture.output), 0);
  cr_assert_not(bgfs_qmp_output_is_broken(&fixture.output));
  teardown(&fixture);
}

Test(output, who_does_not_read_is_given_up, .timeout = 20)
{
  Fixture fixture;
  setup(&fixture);
  g_autofree char *text = g_strnfill(1024 * 1024, 'x');
  unsigned count = 0;
  while (!bgfs_qmp_output_is_broken(&fixture.output) && count < 100) {
    bgfs_qmp_output_add(&fixture.output, text);
    count++;
  }
  cr_assert(count > 15 && count < 20, "%u", count);
  cr_assert_eq(bgfs_qmp_output_waiting(&fixture.output), 0, "its memory is free");
  teardown(&fixture);
}

Test(output, one_message_may_be_larger_than_the_bound, .timeout = 20)
{
  Fixture fixture;
  setup(&fixture);
  g_autofree char *text = g_strnfill(BGFS_QMP_MAX_OUTPUT + 1024 * 1024, 'x');
  bgfs_qmp_output_add(&fixture.output, text);
  cr_assert_not(bgfs_qmp_output_is_broken(&fixture.output));
  teardown(&fixture);
}

Test(output, a_closed_connection_is_noticed)
{
  Fixture fixture;
  setup(&fixture);
  shutdown(fixture.ends[1], SHUT_RDWR);
  cr_assert_not(bgfs_qmp_output_add(&fixture.output, "x"));
  cr_assert(bgfs_qmp_output_is_broken(&fixture.output));
  teardown(&fixture);
}

/* Runs criterion tests without libcriterion, for builds under ThreadSanitizer: libcriterion maps memory at addresses that
 * ThreadSanitizer does not allow, and gives up. Each test runs in a process of its own, one for each processor at a time. Only what the
 * tests of this project use of criterion is here. Arguments "SUITE" or "SUITE/NAME" choose tests; --tap=FILE writes
 * the report that libcriterion writes under that option. */
#include <criterion/criterion.h>
#include <criterion/event.h>
#include <criterion/logging.h>
#include <criterion/parameterized.h>
#include <criterion/redirect.h>

#include <glib.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A test under ThreadSanitizer may take that many times its timeout, and this long without one. */
#define SLOWER          10
#define DEFAULT_TIMEOUT 120
#define SKIPPED         77

/* The linker's names for the beginning and end of the sections that Test() and TestSuite() fill. */
extern struct criterion_test *__start_cr_tst[], *__stop_cr_tst[];
extern struct criterion_suite *__start_cr_sts[] __attribute__((weak)), *__stop_cr_sts[] __attribute__((weak));

struct criterion_options criterion_options;

/* An entry says in sectors how long its compressed data is: reading it also reads, and ignores, what a writer may just be packing into
 * the rest of the last one. The stack of the earlier of the two may be lost, so both are named. And GLib compares its table of interned
 * strings under a lock of its own, which ThreadSanitizer does not see. */
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
  return "race:inflate_cluster\nrace:write_packed\nrace:g_str_equal\n";
}

/* What runs in this process. */
static struct criterion_test *test;
static void *parameter;

/* The processes of tests. */
enum { MOST_JOBS = 16 };
typedef struct Running {
  pid_t pid;
  struct criterion_test *test;
} Running;
static Running running[MOST_JOBS];
static unsigned jobs;

/* What became of all. */
static unsigned ran, failed;
static FILE *tap;

static struct criterion_test_extra_data *suite_data(void)
{
  for (struct criterion_suite **suite = __start_cr_sts; suite < __stop_cr_sts; suite++)
    if (strcmp((*suite)->name, test->category) == 0)
      return (*suite)->data;
  return NULL;
}

/* ── what the macros call ── */

void criterion_internal_test_setup(void)
{
  struct criterion_test_extra_data *suite = suite_data();
  if (suite && suite->init)
    suite->init();
  if (test->data->init)
    test->data->init();
}

void criterion_internal_test_main(void (*function)(void))
{
  if (parameter)
    ((void (*)(void *))function)(parameter);
  else
    function();
}

void criterion_internal_test_teardown(void)
{
  struct criterion_test_extra_data *suite = suite_data();
  if (test->data->fini)
    test->data->fini();
  if (suite && suite->fini)
    suite->fini();
}

int cr_asprintf(char **text, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  int length = vasprintf(text, format, args);
  va_end(args);
  return length;
}

void cr_asprintf_free(char *text)
{
  free(text);
}

char *cr_translate_assert_msg(int index, ...)
{
  (void)index;
  return strdup("assertion failed");
}

void cri_asserts_passed_incr(void)
{
}

void criterion_send_assert(struct criterion_assert_stats *stats)
{
  if (!stats->passed)
    fprintf(stderr, "%s:%u: %s\n", stats->file, stats->line, stats->message);
}

void criterion_abort_test(void)
{
  _exit(1);
}

void criterion_continue_test(void)
{
  criterion_abort_test();
}

void criterion_skip_test(const char *format, ...)
{
  (void)format;
  _exit(SKIPPED);
}

void cr_log(enum criterion_severity severity, const char *format, ...)
{
  (void)severity;
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fputc('\n', stderr);
}

/* No test looks at what it has written: it shall only be out of the way. */
void cr_redirect_stderr(void)
{
  if (!freopen("/dev/null", "w", stderr))
    criterion_abort_test();
}

/* ── the runner ── */

static unsigned timeout(void)
{
  struct criterion_test_extra_data *suite = suite_data();
  double own = test->data->timeout > 0 ? test->data->timeout : suite ? suite->timeout : 0;
  return own > 0 ? (unsigned)(own * SLOWER) + 1 : DEFAULT_TIMEOUT;
}

static bool ended_well(const struct criterion_test *ended, int status)
{
  if (ended->data->signal)
    return WIFSIGNALED(status) && WTERMSIG(status) == ended->data->signal;
  return WIFEXITED(status) && WEXITSTATUS(status) == ended->data->exit_code;
}

static void report(const struct criterion_test *ended, int status)
{
  bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED;
  bool passed = skipped || ended_well(ended, status);
  ran++;
  failed += !passed;
  printf("[%s] %s::%s\n", skipped ? "SKIP" : passed ? "PASS" : "FAIL", ended->category, ended->name);
  if (tap)
    fprintf(tap, "%s - %s::%s%s\n", passed ? "ok" : "not ok", ended->category, ended->name, skipped ? "  # SKIP" : "");
}

static void wait_for_one(void)
{
  int status;
  pid_t pid = waitpid(-1, &status, 0);
  for (unsigned i = 0; i < jobs; i++) {
    if (pid > 0 && running[i].pid == pid) {
      report(running[i].test, status);
      running[i] = running[--jobs];
      return;
    }
  }
}

static unsigned most_jobs(void)
{
  long processors = sysconf(_SC_NPROCESSORS_ONLN);
  return processors < 1 ? 1 : processors > MOST_JOBS ? MOST_JOBS : (unsigned)processors;
}

static void run_once(void)
{
  while (jobs >= most_jobs())
    wait_for_one();
  fflush(NULL);
  pid_t child = fork();
  if (child == 0) {
    alarm(timeout());
    test->test();
    exit(0);
  }
  if (child < 0)
    report(test, SIGKILL);
  else
    running[jobs++] = (Running){child, test};
}

static void run(void)
{
  parameter = NULL;
  if (test->data->kind_ == CR_TEST_NORMAL) {
    run_once();
    return;
  }
  struct criterion_test_params params = test->data->param_();
  for (size_t i = 0; i < params.length; i++) {
    parameter = (char *)params.params + i * params.size;
    run_once();
  }
}

static bool is_chosen_by(const char *which)
{
  size_t length = strlen(test->category);
  if (strncmp(which, test->category, length) != 0)
    return false;
  return which[length] == '\0' || (which[length] == '/' && strcmp(which + length + 1, test->name) == 0);
}

/* `which` ends with NULL; without any all are. */
static bool chosen(const char *const *which)
{
  bool found = !*which;
  for (; *which && !found; which++)
    found = is_chosen_by(*which);
  return found;
}

/* GLib's own allocator hands memory from thread to thread in ways that ThreadSanitizer does not see. */
static void use_plain_malloc(char **argv)
{
  if (getenv("G_SLICE"))
    return;
  setenv("G_SLICE", "always-malloc", 1);
  execv("/proc/self/exe", argv);
}

/* GLib makes a lock when the first error is made, in a way that ThreadSanitizer does not see: here, while there is one thread. */
static void make_first_error(void)
{
  g_error_free(g_error_new_literal(G_FILE_ERROR, G_FILE_ERROR_FAILED, ""));
}

int main(int argc, char **argv)
{
  use_plain_malloc(argv);
  make_first_error();
  const char **which = calloc((size_t)argc + 1, sizeof(*which));
  for (int i = 1, count = 0; i < argc && which; i++) {
    if (strncmp(argv[i], "--tap=", 6) != 0)
      which[count++] = argv[i];
    else if (!(tap = fopen(argv[i] + 6, "w")))
      return 2;
  }
  for (struct criterion_test **each = __start_cr_tst; each < __stop_cr_tst; each++) {
    test = *each;
    if (which && !test->data->disabled && chosen(which))
      run();
  }
  free(which);
  while (jobs > 0)
    wait_for_one();
  if (tap)
    fprintf(tap, "1..%u\n", ran);
  printf("%u tests, %u failures\n", ran, failed);
  bool written = !tap || fclose(tap) == 0;
  return failed > 0 || ran == 0 || !written;
}

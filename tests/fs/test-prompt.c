#include "fs/prompt.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { ROOM = 16, SECONDS = 10 };

/* What the process that asks tells at its end. */
typedef struct Report {
  bool good, handlers_are_back, mask_is_back;
  int code;
  size_t length;
  char out[ROOM];
} Report;

/* A process that asks on a terminal of its own. */
typedef struct Asking {
  pid_t child;
  int master, terminal, report;
} Asking;

TestSuite(prompt, .timeout = 60);

static bool handlers_are_back(void)
{
  static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
  for (size_t i = 0; i < G_N_ELEMENTS(signals); i++) {
    struct sigaction now;
    if (sigaction(signals[i], NULL, &now) < 0 || now.sa_handler != SIG_DFL)
      return false;
  }
  return true;
}

static bool nothing_is_blocked(void)
{
  sigset_t now;
  return sigprocmask(SIG_BLOCK, NULL, &now) == 0 && !sigismember(&now, SIGINT) && !sigismember(&now, SIGTERM);
}

static void ask_and_report(int terminal, int pipe)
{
  Report report = {.length = SIZE_MAX};
  g_autoptr(GError) error = NULL;
  setsid();
  if (ioctl(terminal, TIOCSCTTY, 0) < 0 || dup2(terminal, STDIN_FILENO) < 0 || dup2(terminal, STDERR_FILENO) < 0)
    _exit(2);
  report.good = bgfs_prompt("Secret 'k': ", report.out, ROOM, &report.length, &error);
  report.code = error ? bg_error_errno(error) : 0;
  report.handlers_are_back = handlers_are_back();
  report.mask_is_back = nothing_is_blocked();
  _exit(write(pipe, &report, sizeof report) == sizeof report ? 0 : 3);
}

static bool echoes(const Asking *asking)
{
  struct termios now;
  cr_assert_eq(tcgetattr(asking->terminal, &now), 0);
  return now.c_lflag & ECHO;
}

/* Waits until it asks. */
static Asking start(void)
{
  Asking asking = {.master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
  int ends[2];
  if (asking.master < 0 || grantpt(asking.master) < 0 || unlockpt(asking.master) < 0)
    cr_skip_test("no pseudo-terminals: %s", strerror(errno));
  asking.terminal = open(ptsname(asking.master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  cr_assert_geq(asking.terminal, 0);
  cr_assert(echoes(&asking));
  cr_assert_eq(pipe(ends), 0);
  asking.child = fork();
  cr_assert_geq(asking.child, 0);
  if (asking.child == 0)
    ask_and_report(asking.terminal, ends[1]);
  close(ends[1]);
  asking.report = ends[0];
  for (unsigned i = 0; i < SECONDS * 1000 && echoes(&asking); i++)
    g_usleep(1000);
  cr_assert_not(echoes(&asking), "what is typed would be seen");
  return asking;
}

static void type(const Asking *asking, const char *text)
{
  cr_assert_eq(write(asking->master, text, strlen(text)), (ssize_t)strlen(text));
}

/* What the terminal has shown. */
static void read_screen(const Asking *asking, char *screen, size_t size)
{
  struct pollfd ready = {asking->master, POLLIN, 0};
  size_t length = 0;
  while (length < size - 1 && poll(&ready, 1, 100) == 1) {
    ssize_t count = read(asking->master, screen + length, size - 1 - length);
    if (count <= 0)
      break;
    length += (size_t)count;
  }
  screen[length] = '\0';
}

/* Waits for the end; everything has to be as it was. */
static Report finish(const Asking *asking, char *screen, size_t size)
{
  Report report;
  struct pollfd ready = {asking->report, POLLIN, 0};
  bool ended = poll(&ready, 1, SECONDS * 1000) == 1;
  if (!ended)
    kill(asking->child, SIGKILL);
  ssize_t count = read(asking->report, &report, sizeof report);
  waitpid(asking->child, NULL, 0);
  cr_assert(ended, "it still asks");
  cr_assert_eq(count, (ssize_t)sizeof report);
  read_screen(asking, screen, size);
  cr_expect(echoes(asking), "the terminal does not echo afterwards");
  cr_expect(report.handlers_are_back && report.mask_is_back);
  close(asking->master);
  close(asking->terminal);
  close(asking->report);
  return report;
}

Test(prompt, a_line_is_typed_unseen)
{
  char screen[200];
  Asking asking = start();
  type(&asking, "hunter2\n");
  Report report = finish(&asking, screen, sizeof screen);
  cr_assert(report.good);
  cr_assert_eq(report.length, 7);
  cr_assert_arr_eq(report.out, "hunter2", 7);
  cr_assert(strstr(screen, "Secret 'k': "), "%s", screen);
  cr_assert_not(strstr(screen, "hunter2"), "%s", screen);
}

Test(prompt, the_end_of_input_ends_it)
{
  char screen[200];
  Asking asking = start();
  type(&asking, "\x04");
  Report report = finish(&asking, screen, sizeof screen);
  cr_assert(report.good);
  cr_assert_eq(report.length, 0);
  asking = start();
  type(&asking, "abc\x04\x04"); /* the first one only hands over what was typed */
  report = finish(&asking, screen, sizeof screen);
  cr_assert(report.good);
  cr_assert_eq(report.length, 3);
}

Test(prompt, a_signal_ends_it)
{
  static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};
  for (size_t i = 0; i < G_N_ELEMENTS(signals); i++) {
    char screen[200];
    Asking asking = start();
    if (i % 2)
      type(&asking, "half");
    kill(asking.child, signals[i]); /* perhaps before it waits: that counts as well */
    Report report = finish(&asking, screen, sizeof screen);
    cr_assert_not(report.good);
    cr_assert_eq(report.code, EINTR, "signal %d: %s", signals[i], strerror(report.code));
    cr_assert_eq(report.length, SIZE_MAX);
  }
}

Test(prompt, so_does_the_key_for_it)
{
  char screen[200];
  Asking asking = start();
  type(&asking, "half\x03");
  Report report = finish(&asking, screen, sizeof screen);
  cr_assert_not(report.good);
  cr_assert_eq(report.code, EINTR, "%s", strerror(report.code));
  cr_assert_not(strstr(screen, "half"), "%s", screen);
}

Test(prompt, a_line_that_is_too_long_is_refused)
{
  char screen[200];
  Asking asking = start();
  type(&asking, "0123456789abcdef\n");
  cr_assert(finish(&asking, screen, sizeof screen).good);
  asking = start();
  type(&asking, "0123456789abcdefg\n");
  Report report = finish(&asking, screen, sizeof screen);
  cr_assert_not(report.good);
  cr_assert_eq(report.code, EMSGSIZE, "%s", strerror(report.code));
}

Test(prompt, only_a_terminal_is_asked)
{
  char out[ROOM];
  size_t length = SIZE_MAX;
  g_autoptr(GError) error = NULL;
  int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  cr_assert_eq(dup2(fd, STDIN_FILENO), STDIN_FILENO);
  close(fd);
  cr_assert_not(bgfs_prompt("?", out, sizeof out, &length, &error));
  cr_assert_eq(bg_error_errno(error), ENOTTY, "%s", error->message);
  cr_assert_eq(length, SIZE_MAX);
}

#include "fs/prompt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

static const int deadly[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};

/* Only ends the waiting: the terminal has to be set back before anything else. */
static void on_signal(int signal)
{
  (void)signal;
}

/* A signal that comes before the waiting ends it too: `waiting` lets in what is blocked otherwise. */
static ssize_t read_line(char *out, size_t size, const sigset_t *waiting)
{
  struct pollfd terminal = {.fd = STDIN_FILENO, .events = POLLIN};
  size_t length = 0;
  for (;;) {
    char c;
    ssize_t count = ppoll(&terminal, 1, NULL, waiting) < 0 ? -1 : read(STDIN_FILENO, &c, 1);
    if (count < 0)
      return -errno;
    if (count == 0 || c == '\n')
      return (ssize_t)length;
    if (length == size)
      return -EMSGSIZE;
    out[length++] = c;
  }
}

static ssize_t ask(const char *question, char *out, size_t size, const struct termios *before, const sigset_t *waiting)
{
  struct termios silent = *before;
  silent.c_lflag &= ~(tcflag_t)ECHO;
  fputs(question, stderr);
  if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) < 0)
    return -errno;
  ssize_t count = read_line(out, size, waiting);
  tcsetattr(STDIN_FILENO, TCSAFLUSH, before);
  fputc('\n', stderr);
  return count;
}

bool bgfs_prompt(const char *question, void *out, size_t size, size_t *length, GError **error)
{
  struct termios before;
  struct sigaction old[G_N_ELEMENTS(deadly)], end = {.sa_handler = on_signal};
  sigset_t blocked, waiting;
  if (tcgetattr(STDIN_FILENO, &before) < 0) {
    bg_set_error_errno(error, errno, "cannot ask for it: standard input is no terminal");
    return false;
  }
  sigemptyset(&blocked);
  for (size_t i = 0; i < G_N_ELEMENTS(deadly); i++)
    sigaddset(&blocked, deadly[i]);
  sigprocmask(SIG_BLOCK, &blocked, &waiting);
  for (size_t i = 0; i < G_N_ELEMENTS(deadly); i++)
    sigaction(deadly[i], &end, &old[i]);
  ssize_t count = ask(question, out, size, &before, &waiting);
  for (size_t i = 0; i < G_N_ELEMENTS(deadly); i++)
    sigaction(deadly[i], &old[i], NULL);
  sigprocmask(SIG_SETMASK, &waiting, NULL);
  if (count >= 0)
    *length = (size_t)count;
  else
    bg_set_error_errno(error, (int)-count, "cannot read what was typed");
  return count >= 0;
}

#include "fs/prompt.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

static const int deadly[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP};

/* Only ends the read(2) that is under way: the terminal has to be set back before anything else. */
static void on_signal(int signal)
{
  (void)signal;
}

static ssize_t read_line(char *out, size_t size)
{
  size_t length = 0;
  for (;;) {
    char c;
    ssize_t count = read(STDIN_FILENO, &c, 1);
    if (count < 0)
      return -errno;
    if (count == 0 || c == '\n')
      return (ssize_t)length;
    if (length == size)
      return -EMSGSIZE;
    out[length++] = c;
  }
}

bool bgfs_prompt(const char *question, void *out, size_t size, size_t *length, GError **error)
{
  struct termios before, silent;
  struct sigaction old[G_N_ELEMENTS(deadly)], end = {.sa_handler = on_signal};
  if (tcgetattr(STDIN_FILENO, &before) < 0) {
    bg_set_error_errno(error, errno, "cannot ask for it: standard input is no terminal");
    return false;
  }
  silent = before;
  silent.c_lflag &= ~(tcflag_t)ECHO;
  for (size_t i = 0; i < G_N_ELEMENTS(deadly); i++)
    sigaction(deadly[i], &end, &old[i]);
  fputs(question, stderr);
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  ssize_t count = read_line(out, size);
  tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
  fputc('\n', stderr);
  for (size_t i = 0; i < G_N_ELEMENTS(deadly); i++)
    sigaction(deadly[i], &old[i], NULL);
  if (count >= 0)
    *length = (size_t)count;
  else
    bg_set_error_errno(error, (int)-count, "cannot read what was typed");
  return count >= 0;
}

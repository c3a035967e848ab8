#include "fs/stderr.h"

#include <fcntl.h>
#include <glib.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAX_TEXT = 4096 };

void bgfs_stderr_begin(BgfsStderr *capture)
{
  fflush(stderr);
  capture->saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  capture->file = memfd_create("stderr", MFD_CLOEXEC);
  if (capture->file >= 0)
    dup2(capture->file, STDERR_FILENO);
}

char *bgfs_stderr_end(BgfsStderr *capture)
{
  fflush(stderr);
  if (capture->saved >= 0) {
    dup2(capture->saved, STDERR_FILENO);
    close(capture->saved);
  }
  char *text = g_malloc0(MAX_TEXT + 1);
  if (capture->file >= 0) {
    if (pread(capture->file, text, MAX_TEXT, 0) < 0)
      text[0] = '\0';
    close(capture->file);
  }
  return text;
}

#include "fs/log.h"

#define FUSE_USE_VERSION 314
#include <fuse3/fuse_lowlevel.h>
#include <glib.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

/* GLib's and libfuse's writers are one per process, and libfuse's takes no data: so are these. */
static atomic_bool to_syslog;
static atomic_bool with_debug;

static int priority(GLogLevelFlags level)
{
  if (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL))
    return LOG_ERR;
  if (level & G_LOG_LEVEL_WARNING)
    return LOG_WARNING;
  return level & G_LOG_LEVEL_DEBUG ? LOG_DEBUG : LOG_INFO;
}

static void write_line(GLogLevelFlags level, const char *message)
{
  if (level & G_LOG_LEVEL_DEBUG && !with_debug)
    return;
  if (to_syslog)
    syslog(priority(level), "%s", message);
  else
    fprintf(stderr, "blockgraphfs: %s\n", message);
}

static GLogWriterOutput write_log(GLogLevelFlags level, const GLogField *fields, gsize count, gpointer data)
{
  (void)data;
  for (gsize i = 0; i < count; i++) {
    if (strcmp(fields[i].key, "MESSAGE") == 0 && fields[i].length < 0)
      write_line(level, fields[i].value);
  }
  return G_LOG_WRITER_HANDLED;
}

static void write_fuse_log(enum fuse_log_level level, const char *format, va_list arguments)
{
  g_autofree char *message = g_strdup_vprintf(format, arguments);
  GLogLevelFlags flags = level <= FUSE_LOG_ERR       ? G_LOG_LEVEL_CRITICAL
                         : level <= FUSE_LOG_WARNING ? G_LOG_LEVEL_WARNING
                         : level <= FUSE_LOG_INFO    ? G_LOG_LEVEL_INFO
                                                     : G_LOG_LEVEL_DEBUG;
  write_line(flags, g_strchomp(message));
}

void bgfs_log_start(bool debug)
{
  with_debug = debug;
  g_log_set_writer_func(write_log, NULL, NULL);
  fuse_set_log_func(write_fuse_log);
}

void bgfs_log_to_syslog(void)
{
  openlog("blockgraphfs", LOG_PID, LOG_DAEMON);
  to_syslog = true;
}

/* The files that an image is made of. */
#ifndef CRASH_FILES_H
#define CRASH_FILES_H

#include "drivers/child.h"

#include <glib.h>

enum { CRASH_IMAGE, CRASH_DATA, CRASH_FILES };

/* Memory children; of[CRASH_DATA] NULL: the data is in the image itself. */
typedef struct CrashFiles {
  BgChild *of[CRASH_FILES];
} CrashFiles;

void crash_files_clear(CrashFiles *files);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(CrashFiles, crash_files_clear)

/* With the same bytes: copies of their own; or forks, as mem_child_fork() makes them. The caller clears them. */
CrashFiles crash_files_copy(const CrashFiles *files);
CrashFiles crash_files_fork(const CrashFiles *files);

#endif

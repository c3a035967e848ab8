#include "tests/crash/files.h"

#include "tests/drivers/mem-child.h"

#include <string.h>

void crash_files_clear(CrashFiles *files)
{
  for (int i = 0; i < CRASH_FILES; i++)
    g_clear_pointer(&files->of[i], mem_child_free);
}

static BgChild *copy(BgChild *file)
{
  uint64_t size = (uint64_t)file->ops->size(file);
  BgChild *new = mem_child_new(size);
  memcpy(mem_child_data(new), mem_child_data(file), size);
  return new;
}

static CrashFiles each(const CrashFiles *files, BgChild *(*make)(BgChild *))
{
  CrashFiles made = {{NULL}};
  for (int i = 0; i < CRASH_FILES; i++)
    made.of[i] = files->of[i] ? make(files->of[i]) : NULL;
  return made;
}

CrashFiles crash_files_copy(const CrashFiles *files)
{
  return each(files, copy);
}

CrashFiles crash_files_fork(const CrashFiles *files)
{
  return each(files, mem_child_fork);
}

#include "drivers/crypto/memory.h"

#include <glib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t whole_pages(size_t length)
{
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  return (MAX(length, 1) + page - 1) & ~(page - 1);
}

void *bg_secret_alloc(size_t length)
{
  if (length > G_MAXSSIZE / 2)
    return NULL;
  size_t pages = whole_pages(length);
  void *memory = mmap(NULL, pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return NULL;
  madvise(memory, pages, MADV_DONTDUMP);
  mlock(memory, pages); /* has a limit for ordinary users: better swapped than refused */
  return memory;
}

void bg_secret_free(void *memory, size_t length)
{
  if (!memory)
    return;
  explicit_bzero(memory, length);
  munmap(memory, whole_pages(length));
}

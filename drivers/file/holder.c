#include "drivers/file/holder.h"

#include <glib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define TIME_LIMIT (G_USEC_PER_SEC / 4)

typedef struct Search {
  char file[64]; /* device and inode as lock lines spell them */
  off_t byte;
  int own_fd;
  gint64 deadline;
} Search;

/* Reads "lock:\t1: OFDLCK  ADVISORY  READ -1 fe:01:1234 100 100". False for any other line. */
static bool parse_lock_line(const char *line, char file[64], off_t *start, off_t *end)
{
  char last[24];
  long long first;
  if (sscanf(line, "lock: %*s %*s %*s %*s %*s %63s %lld %23s", file, &first, last) != 3)
    return false;
  *start = first;
  *end = strcmp(last, "EOF") == 0 ? G_MAXINT64 : strtoll(last, NULL, 10);
  return true;
}

/* Calls `found` for the lock lines of one descriptor until it returns true. */
static bool for_each_lock(const char *path, bool (*found)(const char *file, off_t start, off_t end, void *data),
                          void *data)
{
  FILE *stream = fopen(path, "re");
  if (!stream)
    return false;
  char line[256], file[64];
  bool result = false;
  while (!result && fgets(line, sizeof line, stream)) {
    off_t start, end;
    result = parse_lock_line(line, file, &start, &end) && found(file, start, end, data);
  }
  fclose(stream);
  return result;
}

static bool copy_file(const char *file, off_t start, off_t end, void *data)
{
  (void)start, (void)end;
  g_strlcpy(((Search *)data)->file, file, sizeof((Search *)data)->file);
  return true;
}

static bool covers_byte(const char *file, off_t start, off_t end, void *data)
{
  const Search *search = data;
  return start <= search->byte && search->byte <= end && strcmp(file, search->file) == 0;
}

/* How lock lines name the file: stat's device number is not theirs on every file system, so a lock of our own is asked first. */
static void find_file_name(Search *search)
{
  g_autofree char *own = g_strdup_printf("/proc/self/fdinfo/%d", search->own_fd);
  struct stat st;
  if (!for_each_lock(own, copy_file, search) && fstat(search->own_fd, &st) == 0)
    g_snprintf(search->file, sizeof search->file, "%02x:%02x:%llu", major(st.st_dev), minor(st.st_dev),
               (unsigned long long)st.st_ino);
}

static bool holds(Search *search, pid_t pid)
{
  g_autofree char *path = g_strdup_printf("/proc/%d/fdinfo", (int)pid);
  g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
  const char *name;
  while (dir && (name = g_dir_read_name(dir)) && g_get_monotonic_time() < search->deadline) {
    if (pid == getpid() && atoi(name) == search->own_fd)
      continue;
    g_autofree char *descriptor = g_build_filename(path, name, NULL);
    if (for_each_lock(descriptor, covers_byte, search))
      return true;
  }
  return false;
}

static pid_t find(Search *search)
{
  g_autoptr(GDir) dir = g_dir_open("/proc", 0, NULL);
  const char *name;
  while (dir && (name = g_dir_read_name(dir)) && g_get_monotonic_time() < search->deadline)
    if (g_ascii_isdigit(*name) && holds(search, atoi(name)))
      return atoi(name);
  return -1;
}

static char *describe(pid_t pid)
{
  if (pid <= 0)
    return g_strdup("another process");
  if (pid == getpid())
    return g_strdup("this process");
  g_autofree char *path = g_strdup_printf("/proc/%d/comm", (int)pid);
  g_autofree char *command = NULL;
  if (!g_file_get_contents(path, &command, NULL, NULL))
    return g_strdup_printf("process %d", (int)pid);
  return g_strdup_printf("process %d (%s)", (int)pid, g_strchomp(command));
}

char *bg_file_lock_holder(int fd, off_t byte, pid_t pid, pid_t *last_holder)
{
  Search search = {.byte = byte, .own_fd = fd, .deadline = g_get_monotonic_time() + TIME_LIMIT};
  if (pid <= 0) {
    find_file_name(&search);
    pid = *last_holder > 0 && holds(&search, *last_holder) ? *last_holder : find(&search);
  }
  *last_holder = MAX(pid, 0);
  return describe(pid);
}

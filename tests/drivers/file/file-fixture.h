/* One node of the driver `file` on a file of its own in a new directory. */
#ifndef FILE_FIXTURE_H
#define FILE_FIXTURE_H

#include "drivers/driver.h"

typedef struct FileFixture {
  char *directory;
  char *path;
  const BgDriver *driver;
  void *options;
  void *instance;
} FileFixture;

/* What a format that only reads, and one that writes, asks of its file. */
extern const BgMode file_mode_read, file_mode_write, file_mode_unused;

/* A file with `content` (NULL: none is made), not open yet. The directory is below TMPDIR. */
void file_fixture_init(FileFixture *f, const char *content);
/* Closes and removes all. */
void file_fixture_clear(FileFixture *f);

/* Opens `path` with `locking`; false on error. */
bool file_fixture_open(FileFixture *f, const char *locking, const BgMode *mode, GError **error);
bool file_fixture_change(FileFixture *f, const BgMode *mode, GError **error);
bool file_fixture_can_change(FileFixture *f, const BgMode *mode, GError **error);

/* Asserts on what reading and writing give. */
void file_fixture_assert_content(FileFixture *f, uint64_t offset, const char *expected, size_t length);
int file_fixture_write(FileFixture *f, uint64_t offset, const char *text);

/* The descriptor's flags as fcntl tells them, by the path that the instance has open; -1 where no descriptor is open on it. More than one
 * is an assertion failure. */
int file_fixture_flags(FileFixture *f);

#endif

#include "tests/fs/commands/command.h"

#include "graph/create.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void said_clear(Said *said)
{
  g_free(said->out);
  g_free(said->err);
}

/* Where a process stands, and what it says where. */
typedef struct Place {
  int directory, out, err;
} Place;

static Place place_here(void)
{
  return (Place){open(".", O_PATH | O_DIRECTORY | O_CLOEXEC), dup(STDOUT_FILENO), dup(STDERR_FILENO)};
}

static Place place_in(const Scratch *scratch)
{
  g_autofree char *out = scratch_path(scratch, "stdout"), *err = scratch_path(scratch, "stderr");
  return (Place){open(scratch->directory, O_PATH | O_DIRECTORY | O_CLOEXEC),
                 open(out, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600),
                 open(err, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600)};
}

static void place_enter(Place place)
{
  fflush(NULL);
  cr_assert_eq(fchdir(place.directory), 0);
  cr_assert_eq(dup2(place.out, STDOUT_FILENO), STDOUT_FILENO);
  cr_assert_eq(dup2(place.err, STDERR_FILENO), STDERR_FILENO);
  close(place.directory);
  close(place.out);
  close(place.err);
}

static char *read_back(const Scratch *scratch, const char *name)
{
  char *text = NULL;
  g_autofree char *path = scratch_path(scratch, name);
  cr_assert(g_file_get_contents(path, &text, NULL, NULL));
  return text;
}

Said command_run(const Scratch *scratch, int (*command)(int argc, char **argv), const char *const *words)
{
  g_autoptr(GPtrArray) argv = g_ptr_array_new();
  g_ptr_array_add(argv, "command");
  for (; *words; words++)
    g_ptr_array_add(argv, (char *)*words);
  g_ptr_array_add(argv, NULL);
  Place before = place_here();
  place_enter(place_in(scratch));
  int status = command((int)argv->len - 1, (char **)argv->pdata);
  place_enter(before);
  return (Said){status, read_back(scratch, "stdout"), read_back(scratch, "stderr")};
}

static void fill(Scratch *scratch, const char *name, uint64_t offset, size_t length, int byte)
{
  g_autofree char *options = g_strdup_printf(
      "node-name=new,driver=qcow2,auto-read-only=on,backing=,file.driver=file,file.filename=@/%s", name);
  g_autofree char *bytes = g_malloc(length);
  memset(bytes, byte, length);
  struct iovec iov = {bytes, length};
  BgNode *node = scratch_add(scratch, options);
  BgUser *writer = scratch_writer(node);
  cr_assert_eq(bg_user_pwritev(writer, &iov, 1, offset), (ssize_t)length);
  bg_user_free(writer);
  cr_assert(bg_graph_settle(scratch->graph, NULL));
  cr_assert(bg_graph_remove(scratch->graph, node, NULL));
}

void command_image(Scratch *scratch, const char *name, uint64_t size, const char *backing, uint64_t offset,
                   size_t length, int byte)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = scratch_path(scratch, name);
  cr_assert(bg_create_image("qcow2", path, size, NULL, backing, backing ? "raw" : NULL, NULL, &error), "%s",
            error ? error->message : "");
  if (length)
    fill(scratch, name, offset, length, byte);
}

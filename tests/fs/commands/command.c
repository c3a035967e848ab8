#include "tests/fs/commands/command.h"

#include "graph/create.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void said_clear(Said *said)
{
  g_free(said->out);
  g_free(said->err);
}

static void redirect(const char *name, int descriptor)
{
  int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0600);
  if (fd < 0 || dup2(fd, descriptor) < 0)
    _exit(99);
}

static _Noreturn void play(const Scratch *scratch, int (*command)(int argc, char **argv), const char *const *words)
{
  g_autoptr(GPtrArray) argv = g_ptr_array_new();
  g_ptr_array_add(argv, g_strdup("command"));
  for (; *words; words++)
    g_ptr_array_add(argv, g_strdup(*words));
  g_ptr_array_add(argv, NULL);
  if (chdir(scratch->directory) != 0)
    _exit(99);
  redirect("stdout", STDOUT_FILENO);
  redirect("stderr", STDERR_FILENO);
  int status = command((int)argv->len - 1, (char **)argv->pdata);
  fflush(NULL);
  _exit(status);
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
  int status;
  fflush(NULL);
  pid_t child = fork();
  cr_assert_geq(child, 0);
  if (child == 0)
    play(scratch, command, words);
  cr_assert_eq(waitpid(child, &status, 0), child);
  cr_assert(WIFEXITED(status), "ended by signal %d", WTERMSIG(status));
  return (Said){WEXITSTATUS(status), read_back(scratch, "stdout"), read_back(scratch, "stderr")};
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

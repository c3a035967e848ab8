/* Runs a subcommand as main() does and takes what it prints. */
#ifndef TEST_COMMAND_H
#define TEST_COMMAND_H

#include "tests/graph/scratch.h"

typedef struct Said {
  int status; /* what it returned */
  char *out, *err;
} Said;

void said_clear(Said *said);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Said, said_clear)

/* `words`, NULL at the end, follow the command's name; the working directory is that of `scratch`. */
Said command_run(const Scratch *scratch, int (*command)(int argc, char **argv), const char *const *words);
#define COMMAND(scratch, command, ...) command_run(scratch, command, (const char *const[]){__VA_ARGS__, NULL})

/* A qcow2 image of `size` bytes in the directory, on `backing` (a raw file there; NULL: none), with `length` bytes of `byte` at `offset`. */
void command_image(Scratch *scratch, const char *name, uint64_t size, const char *backing, uint64_t offset,
                   size_t length, int byte);

#endif

/* Asking on the terminal. */
#ifndef BGFS_PROMPT_H
#define BGFS_PROMPT_H

#include "drivers/error.h"

#include <stdbool.h>
#include <stddef.h>

/* One line of standard input, a terminal, typed unseen, into `out` (at most `size` bytes, without the newline). The bytes in *length. A signal ends
 * it (EINTR). No other threads may run. */
bool bgfs_prompt(const char *question, void *out, size_t size, size_t *length, GError **error);

#endif

/* A child that writes down what passes through it: every successful writing call and flush, in order, with its data. Knows
 * nothing of formats. For one thread. */
#ifndef CRASH_RECORD_H
#define CRASH_RECORD_H

#include "drivers/child.h"

#include <glib.h>

typedef enum { RECORD_WRITE, RECORD_ZERO, RECORD_DISCARD, RECORD_RESIZE, RECORD_FLUSH } RecordKind;

typedef struct RecordEntry {
  RecordKind kind;
  uint64_t offset; /* RESIZE: the new size */
  uint64_t length;
  uint8_t *data; /* WRITE: what was written, else NULL */
} RecordEntry;

/* Over `below`, which stays the caller's; with its name and role. */
BgChild *record_child_new(BgChild *below);
void record_child_free(BgChild *child); /* NULL is fine */

/* How many calls there are, and the one at `index`. */
size_t record_length(BgChild *child);
const RecordEntry *record_entry(BgChild *child, size_t index);

#endif

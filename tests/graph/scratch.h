/* Graphs over files in a directory that vanishes: for tests of the graph. */
#ifndef SCRATCH_H
#define SCRATCH_H

#include "graph/user.h"

typedef struct Scratch {
  char *directory;
  BgGraph *graph;
} Scratch;

/* A directory and an empty graph in it. */
void scratch_init(Scratch *scratch, const BgListener *listener, void *data);
/* Closes the graph (the test fails if that does) and removes the directory. */
void scratch_clear(Scratch *scratch);

/* Path of a file in the directory. Caller frees. */
char *scratch_path(const Scratch *scratch, const char *name);
/* Makes a file of `size` bytes, all `byte`. */
void scratch_file(const Scratch *scratch, const char *name, size_t size, int byte);

/* bg_graph_add() of options in blockdev syntax, in which every "@" stands for the directory. NULL and *error on failure. */
BgNode *scratch_try(Scratch *scratch, const char *options, GError **error);
/* The same; the test fails where it does. */
BgNode *scratch_add(Scratch *scratch, const char *options);

/* Opens as a node file would be; fails the test on error. */
BgUser *scratch_reader(BgNode *node);
BgUser *scratch_writer(BgNode *node);
BgUser *scratch_try_writer(BgNode *node, GError **error);

/* Whether a descriptor of this process on the file is open for writing. */
bool scratch_open_for_writing(const Scratch *scratch, const char *name);

#endif

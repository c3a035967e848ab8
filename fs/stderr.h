/* What others print: libfuse and fusermount3 tell their errors on stderr only, and the user shall see one line of
 * ours. */
#ifndef BGFS_STDERR_H
#define BGFS_STDERR_H

typedef struct BgfsStderr {
  int saved, file; /* -1: nothing is captured */
} BgfsStderr;

/* Until end, file descriptor 2 of the whole process leads into memory. */
void bgfs_stderr_begin(BgfsStderr *capture);
/* What was printed, "" if nothing; caller frees. */
char *bgfs_stderr_end(BgfsStderr *capture);

#endif

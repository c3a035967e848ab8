/* How far long work is: its rate, the time that remains, and how that is shown. */
#ifndef BGFS_CTL_PROGRESS_H
#define BGFS_CTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef enum {
  BGFS_CTL_PROGRESS_NONE,
  BGFS_CTL_PROGRESS_BAR,  /* one line of a terminal, drawn again and again */
  BGFS_CTL_PROGRESS_PLAIN /* a line a second */
} BgfsCtlProgressStyle;

/* One job's. A zeroed one is a beginning. */
typedef struct BgfsCtlProgress {
  int64_t since;           /* µs: of the last sample; 0: there was none */
  uint64_t current, total; /* bytes at that time; total 0: not known yet */
  double rate;             /* bytes/s, smoothed over the last seconds; 0: not known yet */
} BgfsCtlProgress;

/* Takes note of a sample at `now` (µs, > 0, rising). */
void bgfs_ctl_progress_sample(BgfsCtlProgress *progress, int64_t now, uint64_t current, uint64_t total);

/* "commit0  53% of 2 GiB, 120 MiB/s, 0:09 left"; `state` ("paused") where the job is not at work, else NULL. The caller frees. */
char *bgfs_ctl_progress_text(const BgfsCtlProgress *progress, const char *id, const char *state);
/* The same with a bar behind the name, in at most `columns`. `blocks`: drawn with block characters (UTF-8), else ASCII. */
char *bgfs_ctl_progress_bar(const BgfsCtlProgress *progress, const char *id, const char *state, unsigned columns,
                            bool blocks);

/* Shows it on `stream`; what wipes a bar makes room for other lines. */
void bgfs_ctl_progress_show(const BgfsCtlProgress *progress, BgfsCtlProgressStyle style, const char *id,
                            const char *state, FILE *stream);
void bgfs_ctl_progress_wipe(BgfsCtlProgressStyle style, FILE *stream);

/* "auto" (a bar where stderr is a terminal, else none), "bar", "plain", "none". False: another word. */
bool bgfs_ctl_progress_parse(const char *word, BgfsCtlProgressStyle *style);

#endif

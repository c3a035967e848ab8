#include "fs/ctl/progress.h"

#include "fs/ctl/units.h"

#include <glib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { MIN_BAR = 10, MAX_BAR = 40, DEFAULT_COLUMNS = 80 };

/* Seconds after which an old rate has lost half of its weight. */
#define MEMORY 3.0

/* ── numbers ── */

void bgfs_ctl_progress_sample(BgfsCtlProgress *progress, int64_t now, uint64_t current, uint64_t total)
{
  double seconds = (double)(now - progress->since) / G_USEC_PER_SEC;
  if (progress->since > 0 && seconds > 0) {
    double latest = current > progress->current ? (double)(current - progress->current) / seconds : 0;
    double weight = progress->rate > 0 ? seconds / (MEMORY + seconds) : 1;
    progress->rate += weight * (latest - progress->rate);
  }
  progress->since = now;
  progress->current = MIN(current, total);
  progress->total = total;
}

static unsigned percent(const BgfsCtlProgress *progress)
{
  return progress->total ? (unsigned)((double)progress->current / (double)progress->total * 100) : 0;
}

/* ── texts ── */

/* "53% of 2 GiB, 120 MiB/s, 0:09 left" */
static char *numbers_text(const BgfsCtlProgress *progress, const char *state)
{
  if (!progress->total)
    return g_strdup(state ? state : "begins");
  g_autofree char *total = bgfs_ctl_size_text(progress->total);
  GString *text = g_string_new(NULL);
  g_string_append_printf(text, "%3u%% of %s", percent(progress), total);
  if (state) {
    g_string_append_printf(text, ", %s", state);
  } else if (progress->rate >= 1) {
    double left = (double)(progress->total - progress->current) / progress->rate;
    g_autofree char *rate = bgfs_ctl_size_text((uint64_t)progress->rate);
    g_autofree char *duration = bgfs_ctl_duration_text((uint64_t)(left + 0.99));
    g_string_append_printf(text, ", %s/s, %s left", rate, duration);
  }
  return g_string_free(text, FALSE);
}

char *bgfs_ctl_progress_text(const BgfsCtlProgress *progress, const char *id, const char *state)
{
  g_autofree char *numbers = numbers_text(progress, state);
  return g_strdup_printf("%s %s", id, numbers);
}

static void append_cells(GString *text, unsigned cells, double filled, bool blocks)
{
  static const char *const eighths[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"};
  for (unsigned i = 0; i < cells; i++) {
    double part = CLAMP(filled - i, 0.0, 1.0);
    if (blocks)
      g_string_append(text, eighths[(unsigned)(part * 8)]);
    else
      g_string_append_c(text, part >= 1 ? '#' : ' ');
  }
}

char *bgfs_ctl_progress_bar(const BgfsCtlProgress *progress, const char *id, const char *state, unsigned columns,
                            bool blocks)
{
  g_autofree char *numbers = numbers_text(progress, state);
  size_t used = strlen(id) + strlen(" [] ") + strlen(numbers);
  unsigned cells = columns > used ? MIN(columns - (unsigned)used, (unsigned)MAX_BAR) : 0;
  GString *text = g_string_new(id);
  if (cells >= MIN_BAR) {
    double done = progress->total ? (double)progress->current / (double)progress->total : 0;
    g_string_append(text, " [");
    append_cells(text, cells, done * cells, blocks);
    g_string_append_c(text, ']');
  }
  g_string_append_printf(text, " %s", numbers);
  if (cells < MIN_BAR && text->len > columns)
    g_string_truncate(text, columns); /* ASCII without a bar */
  return g_string_free(text, FALSE);
}

/* ── on a stream ── */

static unsigned columns_of(FILE *stream)
{
  struct winsize size;
  return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1 : DEFAULT_COLUMNS;
}

void bgfs_ctl_progress_show(const BgfsCtlProgress *progress, BgfsCtlProgressStyle style, const char *id,
                            const char *state, FILE *stream)
{
  if (style == BGFS_CTL_PROGRESS_PLAIN) {
    g_autofree char *text = bgfs_ctl_progress_text(progress, id, state);
    fprintf(stream, "%s\n", text);
  } else if (style == BGFS_CTL_PROGRESS_BAR) {
    g_autofree char *text = bgfs_ctl_progress_bar(progress, id, state, columns_of(stream), g_get_charset(NULL));
    fprintf(stream, "\r%s\033[K", text);
  }
  fflush(stream);
}

void bgfs_ctl_progress_wipe(BgfsCtlProgressStyle style, FILE *stream)
{
  if (style == BGFS_CTL_PROGRESS_BAR)
    fputs("\r\033[K", stream);
  fflush(stream);
}

bool bgfs_ctl_progress_parse(const char *word, BgfsCtlProgressStyle *style)
{
  static const char *const words[] = {
      [BGFS_CTL_PROGRESS_NONE] = "none", [BGFS_CTL_PROGRESS_BAR] = "bar", [BGFS_CTL_PROGRESS_PLAIN] = "plain"};
  if (strcmp(word, "auto") == 0) {
    *style = isatty(STDERR_FILENO) ? BGFS_CTL_PROGRESS_BAR : BGFS_CTL_PROGRESS_NONE;
    return true;
  }
  for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
    if (strcmp(word, words[i]) == 0) {
      *style = (BgfsCtlProgressStyle)i;
      return true;
    }
  }
  return false;
}

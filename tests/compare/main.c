/* The same random script on an image through the graph and on its twin through qemu-io, for each shape of image; then both must
 * be sound and the same. The last line is N passed, N failed, N skipped; each shape is a test. */
#include "tests/compare/twin.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ROUND = 1000, SHRINKS = 80 };

typedef struct Arguments {
  int64_t ops, seed, every;
  char *config;
  gboolean list;
} Arguments;

typedef struct Totals {
  unsigned passed, failed, skipped;
  uint64_t ops;
} Totals;

/* Runs the script in rounds, each judged. */
static bool run_script(const Config *config, const Op *ops, size_t count, GError **error)
{
  g_autoptr(Twin) twin = twin_new(config, error);
  for (size_t done = 0; twin && done < count;) {
    size_t step = MIN((size_t)ROUND, count - done);
    if (!ours_run(twin, ops + done, step, error) || !theirs_run(twin, ops + done, step, error))
      return false;
    done += step;
    if (!twin_judge(twin, ops, done, error))
      return false;
  }
  return twin;
}

static bool fails(const Config *config, const Op *ops, size_t count)
{
  g_autoptr(GError) error = NULL;
  return !run_script(config, ops, count, &error) && bg_error_errno(error) != ENOPKG;
}

static bool fits(const Config *config, const GArray *ops)
{
  Disk disk = {.size = config->size};
  for (guint i = 0; i < ops->len; i++)
    if (!disk_step(&disk, &g_array_index(ops, Op, i)))
      return false;
  return true;
}

/* Leaves out what the failure does not need: ever smaller pieces, in a bounded number of tries. */
static void shrink(const Config *config, GArray *ops)
{
  unsigned tries = SHRINKS;
  for (guint piece = MAX(ops->len / 2, 1); tries; piece = MAX(piece / 2, 1)) {
    bool smaller = false;
    for (guint at = 0; at < ops->len && ops->len > 1 && tries;) {
      g_autoptr(GArray) rest = g_array_copy(ops);
      g_array_remove_range(rest, at, MIN(piece, rest->len - at));
      if (fits(config, rest) && tries-- && fails(config, &g_array_index(rest, Op, 0), rest->len)) {
        g_array_set_size(ops, 0);
        g_array_append_vals(ops, rest->data, rest->len);
        smaller = true;
      } else {
        at += piece;
      }
    }
    if (piece == 1 && !smaller)
      return;
  }
}

static void report(const Config *config, const Arguments *a, GArray *ops, const GError *error)
{
  g_autoptr(GError) last = NULL;
  printf("FAIL %s, %u operations: %s\n", config->name, ops->len, error->message);
  printf("  see it again: tests/compare/compare --config=%s --seed=%" PRId64 " --ops=%u\n", config->name, a->seed,
         ops->len);
  fflush(stdout);
  shrink(config, ops);
  run_script(config, &g_array_index(ops, Op, 0), ops->len, &last);
  printf("  as little as was found to do it: %s\n", last ? last->message : "(it does not fail every time)");
  for (guint i = 0; i < MIN(ops->len, 60); i++) {
    g_autofree char *text = op_text(&g_array_index(ops, Op, i));
    printf("    %s\n", text);
  }
}

static void run_config(const Config *config, const Arguments *a, Totals *totals)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) ops = script_new(config, (uint64_t)a->seed, (size_t)a->ops);
  if (run_script(config, &g_array_index(ops, Op, 0), ops->len, &error)) {
    totals->passed++;
    totals->ops += ops->len;
    printf("ok %s, %u operations\n", config->name, ops->len);
  } else if (bg_error_errno(error) == ENOPKG) {
    totals->skipped++;
    printf("skip %s: %s\n", config->name, error->message);
  } else {
    totals->failed++;
    report(config, a, ops, error);
  }
  fflush(stdout);
}

static bool parse(int *argc, char ***argv, Arguments *a)
{
  const GOptionEntry entries[] = {
      {"ops", 0, 0, G_OPTION_ARG_INT64, &a->ops, "Length of each script (default: 300)", "N"},
      {"seed", 0, 0, G_OPTION_ARG_INT64, &a->seed, "Begin the scripts with S (default: 1)", "S"},
      {"config", 0, 0, G_OPTION_ARG_STRING, &a->config, "Only the shape NAME", "NAME"},
      {"every", 0, 0, G_OPTION_ARG_INT64, &a->every, "Only every Nth shape (default: 7; 1: all)", "N"},
      {"list", 0, 0, G_OPTION_ARG_NONE, &a->list, "List the shapes", NULL},
      {0},
  };
  g_autoptr(GError) error = NULL;
  GOptionContext *context = g_option_context_new(NULL);
  g_option_context_add_main_entries(context, entries, NULL);
  bool good = g_option_context_parse(context, argc, argv, &error) && *argc == 1;
  g_option_context_free(context);
  if (good && a->ops > 0 && a->ops <= 100000000 && a->every > 0)
    return true;
  fprintf(stderr, "compare: %s (see --help)\n", error ? error->message : "unfit arguments");
  return false;
}

int main(int argc, char **argv)
{
  Arguments a = {.ops = 300, .seed = 1, .every = 7};
  Totals totals = {0};
  if (!parse(&argc, &argv, &a))
    return 2;
  g_autofree char *only = a.config;
  g_autoptr(GArray) configs = configs_new();
  for (guint i = 0; i < configs->len; i++) {
    const Config *config = &g_array_index(configs, Config, i);
    if (a.list)
      puts(config->name);
    else if (only ? strcmp(only, config->name) == 0 : i % a.every == 0)
      run_config(config, &a, &totals);
  }
  if (a.list)
    return 0;
  printf("%" PRIu64 " operations\n", totals.ops);
  printf("%u passed, %u failed, %u skipped\n", totals.passed, totals.failed, totals.skipped);
  return totals.failed ? 1 : totals.passed ? 0 : 77;
}

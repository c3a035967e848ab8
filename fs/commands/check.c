#include "fs/commands/check.h"

#include "fs/subcommand.h"
#include "graph/check.h"
#include "graph/escape.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_CANNOT = 1, EXIT_USAGE = 1, EXIT_CORRUPT = 2, EXIT_LEAKS = 3, EXIT_NO_CHECK = 63 };

static const BgfsSubcommand command = {
    .name = "blockgraphfs check",
    .operands = "IMAGE",
    .most = 1,
    .summary =
        "Checks whether an image holds together: counts all references in it and compares them with what it says of "
        "itself.",
    .description =
        "Exit status: 0 nothing is wrong (any more), 1 it could not be checked, 2 corruptions, 3 only leaked space,\n"
        "63 the format has no check. An image that others have open for writing is refused.\n",
    .usage_status = EXIT_USAGE,
};

typedef struct Arguments {
  char *repair, *format;
  char **images;
  gboolean json, quiet;
} Arguments;

static void arguments_clear(Arguments *arguments)
{
  g_free(arguments->repair);
  g_free(arguments->format);
  g_strfreev(arguments->images);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Arguments, arguments_clear)

static bool parse_repair(const char *repair, BgFix *fix)
{
  *fix = !repair ? BG_FIX_NONE : strcmp(repair, "all") == 0 ? BG_FIX_ALL : BG_FIX_LEAKS;
  return *fix != BG_FIX_LEAKS || strcmp(repair, "leaks") == 0;
}

static bool parse(Arguments *a, BgFix *fix, int argc, char **argv, int *status)
{
  const GOptionEntry entries[] = {
      {"repair", 'r', 0, G_OPTION_ARG_FILENAME, &a->repair, "Mend what is wrong: leaked space only, or all",
       "leaks|all"},
      {"format", 'f', 0, G_OPTION_ARG_FILENAME, &a->format, "IMAGE's format (default: found by content)", "FORMAT"},
      {"json", 0, 0, G_OPTION_ARG_NONE, &a->json, "Print the result as JSON, with qemu-img's names", NULL},
      {"quiet", 'q', 0, G_OPTION_ARG_NONE, &a->quiet, "Print nothing but errors", NULL},
      {NULL},
  };
  if (!bgfs_subcommand_parse(&command, entries, argc, argv, &a->images, status))
    return false;
  if (parse_repair(a->repair, fix))
    return true;
  *status = bgfs_subcommand_usage(&command, "--repair is 'leaks' or 'all'");
  return false;
}

/* ── while it runs ── */

typedef struct Show {
  BgCheckWatcher watcher;
  bool quiet, bar; /* bar: progress on a terminal */
  int percent;
} Show;

static void clear_bar(Show *show)
{
  if (show->bar && show->percent >= 0)
    fputs("\r\033[K", stderr);
  show->percent = -1;
}

static void show_finding(BgCheckWatcher *watcher, const char *text)
{
  Show *show = (Show *)watcher;
  if (show->quiet)
    return;
  clear_bar(show);
  g_autofree char *shown = bg_escape(text);
  fprintf(stderr, "%s\n", shown);
}

static bool show_progress(BgCheckWatcher *watcher, uint64_t done, uint64_t total)
{
  Show *show = (Show *)watcher;
  int percent = total ? (int)((double)done * 100 / (double)total) : 0;
  if (show->bar && percent != show->percent) {
    show->percent = percent;
    fprintf(stderr, "\r%3d %%", percent);
  }
  return true;
}

/* ── the result ── */

static void add_unless_zero(JsonBuilder *builder, const char *name, uint64_t number)
{
  if (number)
    bg_json_add_number(builder, name, (int64_t)number);
}

static void print_json(const char *filename, const BgDriver *driver, const BgCheckResult *result)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();
  BgJsonWriter writer = bgfs_subcommand_json();
  json_builder_begin_object(builder);
  bg_json_add_text(builder, "filename", filename);
  bg_json_add_text(builder, "format", driver->name);
  bg_json_add_number(builder, "check-errors", (int64_t)result->check_errors);
  add_unless_zero(builder, "image-end-offset", result->image_end_offset);
  add_unless_zero(builder, "corruptions", result->corruptions);
  add_unless_zero(builder, "leaks", result->leaks);
  add_unless_zero(builder, "corruptions-fixed", result->corruptions_fixed);
  add_unless_zero(builder, "leaks-fixed", result->leaks_fixed);
  add_unless_zero(builder, "total-clusters", result->total_clusters);
  add_unless_zero(builder, "allocated-clusters", result->allocated_clusters);
  add_unless_zero(builder, "fragmented-clusters", result->fragmented_clusters);
  add_unless_zero(builder, "compressed-clusters", result->compressed_clusters);
  json_builder_end_object(builder);
  bg_json_put(&writer, NULL, bg_json_take(builder));
}

static const char *plural(uint64_t count)
{
  return count == 1 ? "" : "s";
}

static void print_counts(const char *what, uint64_t corruptions, uint64_t leaks)
{
  if (corruptions + leaks)
    printf("%s: %" PRIu64 " corruption%s, %" PRIu64 " leaked cluster%s\n", what, corruptions, plural(corruptions),
           leaks, plural(leaks));
}

static void print_text(const BgCheckResult *result)
{
  print_counts("Mended", result->corruptions_fixed, result->leaks_fixed);
  print_counts(result->corruptions_fixed + result->leaks_fixed ? "Left" : "Found", result->corruptions, result->leaks);
  if (result->check_errors)
    printf("Not looked at, because it cannot be read: %" PRIu64 " piece%s of metadata\n", result->check_errors,
           plural(result->check_errors));
  if (result->corruptions)
    printf("What the disk holds may be wrong: back it up before anything writes to it.\n");
  else if (result->leaks)
    printf("The disk is sound; some space of the file is lost (--repair leaks gives it back).\n");
  else if (!result->check_errors)
    printf("The image is sound.\n");
  if (result->total_clusters && result->allocated_clusters)
    printf(
        "%" PRIu64 " of %" PRIu64 " clusters are allocated, %" PRIu64 " of them compressed, %" PRIu64 " fragmented.\n",
        result->allocated_clusters, result->total_clusters, result->compressed_clusters, result->fragmented_clusters);
  if (result->image_end_offset)
    printf("The image ends at byte %" PRIu64 " of its file.\n", result->image_end_offset);
}

static int exit_status(const BgCheckResult *result)
{
  if (result->check_errors)
    return EXIT_CANNOT;
  if (result->corruptions)
    return EXIT_CORRUPT;
  return result->leaks ? EXIT_LEAKS : EXIT_SUCCESS;
}

/* ── the command ── */

static int run(const Arguments *arguments, BgFix fix)
{
  const char *filename = arguments->images[0];
  const BgDriver *driver = NULL;
  BgCheckResult result;
  g_autoptr(GError) error = NULL;
  Show show = {.watcher = {show_finding, show_progress},
               .quiet = arguments->quiet,
               .bar = !arguments->quiet && isatty(STDERR_FILENO),
               .percent = -1};
  bool checked = bg_check_image(filename, arguments->format, fix, &show.watcher, &result, &driver, &error);
  clear_bar(&show);
  if (!checked) {
    bgfs_subcommand_fail(&command, filename, error->message);
    return driver && !driver->check ? EXIT_NO_CHECK : EXIT_CANNOT;
  }
  if (arguments->json)
    print_json(filename, driver, &result);
  else if (!arguments->quiet)
    print_text(&result);
  return exit_status(&result);
}

int bgfs_check(int argc, char **argv)
{
  g_auto(Arguments) arguments = {0};
  BgFix fix;
  int status;
  return parse(&arguments, &fix, argc, argv, &status) ? run(&arguments, fix) : status;
}

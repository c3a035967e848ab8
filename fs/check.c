#include "fs/check.h"

#include "graph/check.h"
#include "graph/escape.h"

#include <errno.h>
#include <inttypes.h>
#include <json-glib/json-glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_CANNOT = 1, EXIT_USAGE = 1, EXIT_CORRUPT = 2, EXIT_LEAKS = 3, EXIT_NO_CHECK = 63 };

typedef struct Arguments {
  char *repair, *format;
  char **rest;
  gboolean json, quiet, help;
} Arguments;

static void arguments_clear(Arguments *arguments)
{
  g_free(arguments->repair);
  g_free(arguments->format);
  g_strfreev(arguments->rest);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Arguments, arguments_clear)

static GOptionContext *make_context(Arguments *arguments)
{
  const GOptionEntry entries[] = {
      {"repair", 'r', 0, G_OPTION_ARG_FILENAME, &arguments->repair, "Mend what is wrong: leaked space only, or all",
       "leaks|all"},
      {"format", 'f', 0, G_OPTION_ARG_FILENAME, &arguments->format, "IMAGE's format (default: found by content)",
       "FORMAT"},
      {"json", 0, 0, G_OPTION_ARG_NONE, &arguments->json, "Print the result as JSON, with qemu-img's names", NULL},
      {"quiet", 'q', 0, G_OPTION_ARG_NONE, &arguments->quiet, "Print nothing but errors", NULL},
      {"help", 'h', 0, G_OPTION_ARG_NONE, &arguments->help, "Print this text", NULL},
      {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &arguments->rest, NULL, NULL},
      {NULL},
  };
  GOptionContext *context = g_option_context_new("IMAGE");
  g_option_context_set_summary(context,
                               "Checks whether an image holds together: counts all references in it and compares "
                               "them with what it says of itself.");
  g_option_context_set_description(
      context,
      "Exit status: 0 nothing is wrong (any more), 1 it could not be checked, 2 corruptions, 3 only leaked space,\n"
      "63 the format has no check. An image that others have open for writing is refused.\n");
  g_option_context_set_help_enabled(context, FALSE);
  g_option_context_add_main_entries(context, entries, NULL);
  return context;
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

static void add_number(JsonBuilder *builder, const char *name, uint64_t number)
{
  json_builder_set_member_name(builder, name);
  json_builder_add_int_value(builder, (gint64)number);
}

static void add_unless_zero(JsonBuilder *builder, const char *name, uint64_t number)
{
  if (number)
    add_number(builder, name, number);
}

static void print_json(const char *filename, const BgDriver *driver, const BgCheckResult *result)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();
  g_autofree char *shown = bg_escape(filename);
  json_builder_begin_object(builder);
  json_builder_set_member_name(builder, "filename");
  json_builder_add_string_value(builder, g_utf8_validate(filename, -1, NULL) ? filename : shown);
  json_builder_set_member_name(builder, "format");
  json_builder_add_string_value(builder, driver->name);
  add_number(builder, "check-errors", result->check_errors);
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
  g_autoptr(JsonNode) root = json_builder_get_root(builder);
  g_autofree char *text = json_to_string(root, TRUE);
  printf("%s\n", text);
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

static int status(const BgCheckResult *result)
{
  if (result->check_errors)
    return EXIT_CANNOT;
  if (result->corruptions)
    return EXIT_CORRUPT;
  return result->leaks ? EXIT_LEAKS : EXIT_SUCCESS;
}

/* ── the command ── */

static bool check_arguments(const Arguments *arguments, BgFix *fix, GError **error)
{
  guint count = arguments->rest ? g_strv_length(arguments->rest) : 0;
  *fix = BG_FIX_NONE;
  if (count != 1) {
    bg_set_error(error, EINVAL, count ? "one argument too many" : "IMAGE is missing");
    return false;
  }
  if (!arguments->repair)
    return true;
  *fix = strcmp(arguments->repair, "all") == 0 ? BG_FIX_ALL : BG_FIX_LEAKS;
  if (*fix == BG_FIX_ALL || strcmp(arguments->repair, "leaks") == 0)
    return true;
  bg_set_error(error, EINVAL, "--repair is 'leaks' or 'all'");
  return false;
}

static int usage(const GError *error)
{
  fprintf(stderr, "blockgraphfs check: %s\n", error->message);
  return EXIT_USAGE;
}

static int run(const Arguments *arguments, BgFix fix)
{
  const char *filename = arguments->rest[0];
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
    fprintf(stderr, "blockgraphfs check: %s: %s\n", filename, error->message);
    return driver && !driver->check ? EXIT_NO_CHECK : EXIT_CANNOT;
  }
  if (arguments->json)
    print_json(filename, driver, &result);
  else if (!arguments->quiet)
    print_text(&result);
  return status(&result);
}

int bgfs_check(int argc, char **argv)
{
  g_set_prgname("blockgraphfs check");
  g_auto(Arguments) arguments = {0};
  g_autoptr(GOptionContext) context = make_context(&arguments);
  g_autoptr(GError) error = NULL;
  BgFix fix;
  if (!g_option_context_parse(context, &argc, &argv, &error))
    return usage(error);
  if (arguments.help) {
    g_autofree char *text = g_option_context_get_help(context, TRUE, NULL);
    fputs(text, stdout);
    return EXIT_SUCCESS;
  }
  return check_arguments(&arguments, &fix, &error) ? run(&arguments, fix) : usage(error);
}

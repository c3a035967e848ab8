/* A hostile file name out of an image: never resolved to what lies outside the image's folder, and always fit for one line. */
#include "tests/fuzz/fuzz.h"

#include "drivers/error.h"
#include "graph/escape.h"
#include "graph/reference.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *in(const char *directory, const char *name)
{
  return g_build_filename(directory, name, NULL);
}

static void make_file(const char *directory, const char *name)
{
  g_autofree char *path = in(directory, name);
  g_assert(g_file_set_contents(path, "", 0, NULL));
}

static void make_link(const char *directory, const char *name, const char *target)
{
  g_autofree char *path = in(directory, name);
  g_assert(symlink(target, path) == 0);
}

/* A folder with an image, a base, a way out and a way round; made once, left to the system's temporary folder. */
static const char *folder(void)
{
  static char *path;
  if (path)
    return path;
  g_autofree char *made = g_dir_make_tmp("fuzz-reference-XXXXXX", NULL);
  g_assert(made);
  path = realpath(made, NULL);
  g_assert(path);
  g_autofree char *images = in(path, "images"), *sub = in(path, "images/sub");
  g_assert(g_mkdir_with_parents(sub, 0700) == 0);
  make_file(images, "top");
  make_file(images, "base");
  make_file(sub, "base");
  make_file(path, "outside");
  make_link(images, "out", "../outside");
  make_link(images, "loop", "loop");
  return path;
}

static void check_escape(const char *text)
{
  g_autofree char *escaped = bg_escape(text);
  g_assert(g_utf8_validate(escaped, -1, NULL));
  for (const char *at = escaped; *at; at = g_utf8_next_char(at))
    g_assert(g_unichar_isprint(g_utf8_get_char(at)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  g_autofree char *text = g_strndup((const char *)data, size);
  g_autofree char *image = g_build_filename(folder(), "images", "top", NULL);
  g_autofree char *inside = g_build_filename(folder(), "images/", NULL);
  const BgPolicy policy = {.trust_images = false, .allowed = NULL};
  g_autoptr(GError) error = NULL;
  g_autofree char *resolved = bg_reference_resolve(&policy, image, text, &error);
  g_assert(!resolved == !!error);
  g_assert(!resolved || g_str_has_prefix(resolved, inside));
  g_assert(!error || !strchr(error->message, '\n'));
  bg_reference_has_protocol(text);
  check_escape(text);
  return 0;
}

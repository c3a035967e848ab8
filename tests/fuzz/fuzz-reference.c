/* A hostile file name out of an image: never resolved to what lies outside the image's folder, and always fit for one line. */
#include "tests/fuzz/fuzz.h"

#include "drivers/error.h"
#include "graph/escape.h"
#include "graph/reference.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder with an image, a base, a way out and a way round; made once, left to the system's temporary folder. */
static const char *folder(void)
{
  static char *path;
  if (path)
    return path;
  g_autofree char *made = g_dir_make_tmp("fuzz-reference-XXXXXX", NULL);
  g_assert(made);
  path = realpath(made, NULL);
  g_assert(path && chdir(path) == 0 && mkdir("images", 0700) == 0 && mkdir("images/sub", 0700) == 0);
  g_assert(g_file_set_contents("images/top", "", 0, NULL) && g_file_set_contents("images/base", "", 0, NULL));
  g_assert(g_file_set_contents("images/sub/base", "", 0, NULL) && g_file_set_contents("outside", "", 0, NULL));
  g_assert(symlink("../outside", "images/out") == 0 && symlink("loop", "images/loop") == 0);
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

/* Judges of images: our own counter of references, and qemu-img. */
#include "tests/drivers/qcow2/image.h"

#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

void image_check(BgChild *file, ImageCheck *check)
{
  references_check(mem_child_data(file), file->ops->size(file), check);
}

void image_assert_sound(BgChild *file, bool leaks_allowed)
{
  ImageCheck check;
  image_check(file, &check);
  cr_assert_eq(check.corruptions, 0, "%u corruptions, first: %s", check.corruptions, check.first);
  if (!leaks_allowed)
    cr_assert_eq(check.leaks, 0, "%u leaks", check.leaks);
}

/* ── qemu-img ── */

static char *directory; /* of this test process, made when first needed */

static void remove_directory(void)
{
  GDir *dir = g_dir_open(directory, 0, NULL);
  for (const char *name; dir && (name = g_dir_read_name(dir));) {
    g_autofree char *path = g_build_filename(directory, name, NULL);
    g_unlink(path);
  }
  if (dir)
    g_dir_close(dir);
  g_rmdir(directory);
}

static char *path_of(const char *name)
{
  if (!directory) {
    directory = g_dir_make_tmp("bgfs-qcow2-XXXXXX", NULL);
    cr_assert_not_null(directory);
    atexit(remove_directory);
  }
  return g_build_filename(directory, name, NULL);
}

void image_put_file(const char *name, const void *bytes, uint64_t size)
{
  g_autofree char *path = path_of(name);
  g_unlink(path); /* GLib may leave the end of a longer file */
  cr_assert(g_file_set_contents_full(path, bytes, size, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

char *image_save(BgChild *file, const char *name)
{
  image_put_file(name, mem_child_data(file), file->ops->size(file));
  return path_of(name);
}

static bool have_qemu(void)
{
  g_autofree char *found = g_find_program_in_path("qemu-img");
  return found;
}

static int run_qemu(const char *const *arguments, char **output)
{
  int status;
  g_autofree char *errors = NULL;
  cr_assert(
      g_spawn_sync(NULL, (char **)arguments, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, output, &errors, &status, NULL));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

int image_qemu_check(BgChild *file)
{
  if (!have_qemu())
    return -1;
  g_autofree char *path = image_save(file, "checked.qcow2"), *output = NULL;
  const char *arguments[] = {"qemu-img", "check", "-f", "qcow2", path, NULL};
  return run_qemu(arguments, &output);
}

void image_assert_judged(BgChild *file, const uint8_t *shadow, uint64_t size)
{
  image_assert_sound(file, false);
  if (!have_qemu())
    return;
  cr_assert_eq(image_qemu_check(file), 0);
  g_autofree char *image = path_of("checked.qcow2"), *raw = path_of("shadow.raw"), *output = NULL;
  image_put_file("shadow.raw", shadow, size);
  const char *arguments[] = {"qemu-img", "compare", "-f", "qcow2", "-F", "raw", image, raw, NULL};
  cr_assert_eq(run_qemu(arguments, &output), 0, "%s", output);
}

BgChild *image_from_shell(const char *script)
{
  if (!have_qemu())
    return NULL;
  g_autofree char *path = path_of("out"), *output = NULL;
  const char *arguments[] = {"sh", "-ec", script, "sh", directory, NULL};
  cr_assert_eq(run_qemu(arguments, &output), 0, "%s", script);
  char *bytes;
  size_t length;
  cr_assert(g_file_get_contents(path, &bytes, &length, NULL));
  BgChild *file = mem_child_new(length);
  memcpy(mem_child_data(file), bytes, length);
  g_free(bytes);
  return file;
}

BgChild *image_require_shell(const char *script)
{
  BgChild *file = image_from_shell(script);
  if (!file)
    cr_skip_test("qemu-img is not installed");
  return file;
}

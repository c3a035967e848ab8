#include "tests/crash/qemu-img.h"

#include "tests/crash/origin.h"
#include "tests/drivers/mem-child.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/wait.h>

static bool put_file(const char *path, BgChild *file, GError **error)
{
  return g_file_set_contents_full(path, (char *)mem_child_data(file), (gssize)file->ops->size(file),
                                  G_FILE_SET_CONTENTS_NONE, 0600, error);
}

/* No name here needs quoting. */
static char *node_of(const QemuImg *qemu, bool encrypted)
{
  g_autofree char *data =
      qemu->data ? g_strdup_printf(", 'data-file': {'driver': 'file', 'filename': '%s'}", qemu->data) : g_strdup("");
  char *node = g_strdup_printf("json:{'driver': 'qcow2', 'file': {'driver': 'file', 'filename': '%s'}%s%s}",
                               qemu->image, data, encrypted ? ", 'encrypt.key-secret': '" ORIGIN_SECRET_ID "'" : "");
  return g_strdelimit(node, "'", '"');
}

bool qemu_img_begin(QemuImg *qemu, const CrashFiles *files, GError **error)
{
  g_autofree char *found = g_find_program_in_path("qemu-img");
  *qemu = (QemuImg){0};
  if (!found) {
    bg_set_error(error, ENOPKG, "qemu-img is not installed");
    return false;
  }
  qemu->folder = g_dir_make_tmp("crash-XXXXXX", error);
  if (!qemu->folder)
    return false;
  qemu->image = g_build_filename(qemu->folder, "image", NULL);
  qemu->data = files->of[CRASH_DATA] ? g_build_filename(qemu->folder, "data", NULL) : NULL;
  qemu->output = g_build_filename(qemu->folder, "output", NULL);
  const uint8_t *header = mem_child_data(files->of[CRASH_IMAGE]);
  qemu->node = node_of(qemu, header[35] != 0); /* the header's method of encryption */
  if (put_file(qemu->image, files->of[CRASH_IMAGE], error) &&
      (!qemu->data || put_file(qemu->data, files->of[CRASH_DATA], error)))
    return true;
  qemu_img_clear(qemu);
  return false;
}

void qemu_img_clear(QemuImg *qemu)
{
  char *files[] = {qemu->image, qemu->data, qemu->output};
  for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
    if (files[i])
      g_unlink(files[i]);
    g_free(files[i]);
  }
  if (qemu->folder)
    g_rmdir(qemu->folder);
  g_free(qemu->folder);
  g_free(qemu->node);
  *qemu = (QemuImg){0};
}

int qemu_img_run(const char *verb, const char *const *arguments, char **printed, char **said, GError **error)
{
  g_autofree char *secret =
      g_strdup_printf("secret,id=%s,data=%.*s", origin_secret.id, (int)origin_secret.length, origin_secret.data);
  const char *command[24] = {"qemu-img", verb, "--object", secret};
  for (int i = 4; *arguments; arguments++)
    command[i++] = *arguments;
  int status;
  GSpawnFlags flags = G_SPAWN_SEARCH_PATH | G_SPAWN_LEAVE_DESCRIPTORS_OPEN; /* then it need not copy this process */
  if (!g_spawn_sync(NULL, (char **)command, NULL, flags, NULL, NULL, printed, said, &status, error))
    return -1;
  if (WIFEXITED(status))
    return WEXITSTATUS(status);
  bg_set_error(error, EIO, "qemu-img %s was killed by signal %d", verb, WTERMSIG(status));
  return -1;
}

static bool take_file(const char *path, BgChild *file, GError **error)
{
  g_autofree char *bytes = NULL;
  size_t length;
  if (!g_file_get_contents(path, &bytes, &length, error))
    return false;
  file->ops->resize(file, length);
  memcpy(mem_child_data(file), bytes, length);
  return true;
}

bool qemu_img_take_back(const QemuImg *qemu, CrashFiles *files, GError **error)
{
  return take_file(qemu->image, files->of[CRASH_IMAGE], error) &&
         (!qemu->data || take_file(qemu->data, files->of[CRASH_DATA], error));
}

#include "scratch.h"

#include "graph/blockdev.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void scratch_init(Scratch *scratch, const BgListener *listener, void *data)
{
  scratch->directory = g_dir_make_tmp("blockgraphfs-test-XXXXXX", NULL);
  cr_assert_not_null(scratch->directory);
  BgPolicy policy = {0};
  scratch->graph = bg_graph_new(&policy, listener, data);
}

void scratch_clear(Scratch *scratch)
{
  g_autoptr(GError) error = NULL;
  bool clean = bg_graph_close(scratch->graph, &error);
  cr_assert(clean, "%s", error ? error->message : "");
  g_autoptr(GDir) dir = g_dir_open(scratch->directory, 0, NULL);
  for (const char *name; (name = g_dir_read_name(dir));) {
    g_autofree char *path = scratch_path(scratch, name);
    g_unlink(path);
  }
  g_rmdir(scratch->directory);
  g_free(scratch->directory);
}

char *scratch_path(const Scratch *scratch, const char *name)
{
  return g_build_filename(scratch->directory, name, NULL);
}

void scratch_file(const Scratch *scratch, const char *name, size_t size, int byte)
{
  g_autofree char *path = scratch_path(scratch, name);
  g_autofree char *content = g_malloc(size);
  memset(content, byte, size);
  cr_assert(g_file_set_contents(path, content, (gssize)size, NULL));
}

BgNode *scratch_try(Scratch *scratch, const char *options, GError **error)
{
  g_auto(GStrv) parts = g_strsplit(options, "@", -1);
  g_autofree char *text = g_strjoinv(scratch->directory, parts);
  g_autoptr(BgDict) dict = bg_blockdev_parse(text, error);
  return dict ? bg_graph_add(scratch->graph, dict, error) : NULL;
}

BgNode *scratch_add(Scratch *scratch, const char *options)
{
  g_autoptr(GError) error = NULL;
  BgNode *node = scratch_try(scratch, options, &error);
  cr_assert_not_null(node, "%s: %s", options, error ? error->message : "");
  return node;
}

static BgUser *user(BgNode *node, BgPerm perm, BgPerm shared, GError **error)
{
  g_autofree char *what = g_strdup_printf("file '%s'", bg_node_name(node));
  return bg_user_new(node, what, perm, shared, error);
}

BgUser *scratch_reader(BgNode *node)
{
  g_autoptr(GError) error = NULL;
  BgUser *reader = user(node, BG_USER_READ_PERM, BG_USER_READ_SHARED, &error);
  cr_assert_not_null(reader, "%s", error ? error->message : "");
  return reader;
}

BgUser *scratch_try_writer(BgNode *node, GError **error)
{
  return user(node, BG_USER_READ_PERM | bg_user_write_perm(node), BG_USER_WRITE_SHARED, error);
}

BgUser *scratch_writer(BgNode *node)
{
  g_autoptr(GError) error = NULL;
  BgUser *writer = scratch_try_writer(node, &error);
  cr_assert_not_null(writer, "%s", error ? error->message : "");
  return writer;
}

bool scratch_open_for_writing(const Scratch *scratch, const char *name)
{
  g_autofree char *path = scratch_path(scratch, name);
  g_autoptr(GDir) dir = g_dir_open("/proc/self/fd", 0, NULL);
  bool writing = false;
  for (const char *fd; (fd = g_dir_read_name(dir));) {
    g_autofree char *link = g_build_filename("/proc/self/fd", fd, NULL);
    g_autofree char *target = g_file_read_link(link, NULL);
    if (target && strcmp(target, path) == 0 && (fcntl(atoi(fd), F_GETFL) & O_ACCMODE) != O_RDONLY)
      writing = true;
  }
  return writing;
}

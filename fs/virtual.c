#include "fs/virtual.h"

#include "graph/query.h"

#include <malloc.h>
#include <string.h>

enum { LARGE = 256 << 10 };

static char *nodes_text(const BgfsFs *fs)
{
  return bg_query_json(fs->graph);
}

static char *tree_text(const BgfsFs *fs)
{
  return bg_query_tree(fs->graph);
}

static char *dot_text(const BgfsFs *fs)
{
  return bg_query_dot(fs->graph);
}

/* The control socket's path; nothing where there is none. */
static char *qmp_text(const BgfsFs *fs)
{
  return fs->qmp ? g_strconcat(fs->qmp, "\n", NULL) : g_strdup("");
}

static const struct {
  const char *name;
  char *(*text)(const BgfsFs *fs);
} files[] = {
    {"nodes.json", nodes_text},
    {"tree.txt", tree_text},
    {"graph.dot", dot_text},
    {"qmp", qmp_text},
};

const char *bgfs_virtual_name(uint64_t ino)
{
  uint64_t index = ino - BGFS_INO_VIRTUAL;
  return ino >= BGFS_INO_VIRTUAL && index < G_N_ELEMENTS(files) ? files[index].name : NULL;
}

uint64_t bgfs_virtual_find(const char *name)
{
  for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
    if (strcmp(files[i].name, name) == 0)
      return BGFS_INO_VIRTUAL + i;
  }
  return 0;
}

char *bgfs_virtual_text(BgfsFs *fs, uint64_t ino)
{
  return files[ino - BGFS_INO_VIRTUAL].text(fs);
}

/* What a large text was made of lies in pieces in the heap of each thread that ever made one, and would stay there. */
void bgfs_virtual_free(char *text)
{
  bool large = text && strlen(text) > LARGE;
  g_free(text);
  if (large)
    malloc_trim(0);
}

mode_t bgfs_virtual_mode(BgfsFs *fs)
{
  mode_t mode = 0444;
  g_autoptr(GPtrArray) nodes = bg_graph_nodes(fs->graph);
  for (guint i = 0; i < nodes->len; i++) {
    struct stat st;
    if (bg_node_host_stat(g_ptr_array_index(nodes, i), &st) == 0 && !(st.st_mode & S_IROTH))
      mode = 0400;
  }
  return mode;
}

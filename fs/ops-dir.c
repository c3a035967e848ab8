#include "fs/attr.h"
#include "fs/ops.h"
#include "fs/virtual.h"

#include <string.h>

/* A directory as it was when it was opened: fi->fh. */
typedef struct Listing {
  char *name;
  uint64_t ino;
  mode_t type;
} Listing;

static void listing_free(gpointer data)
{
  Listing *entry = data;
  g_free(entry->name);
  g_free(entry);
}

static uint64_t find_in_root(BgfsFs *fs, const char *name)
{
  if (strcmp(name, BGFS_GRAPH_NAME) == 0)
    return BGFS_INO_GRAPH;
  BgfsInode *inode = bgfs_inodes_named(fs->inodes, name);
  if (inode)
    return inode->ino;
  BgNode *node = bg_graph_find(fs->graph, name);
  return node ? bgfs_inodes_of_node(fs->inodes, node)->ino : 0;
}

void bgfs_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
  BgfsFs *fs = bgfs_fs(req);
  uint64_t ino = parent == BGFS_INO_ROOT ? find_in_root(fs, name) : 0;
  if (parent == BGFS_INO_GRAPH)
    ino = bgfs_virtual_find(name);

  struct fuse_entry_param entry = {.ino = ino, .attr_timeout = BGFS_ATTR_TIMEOUT, .entry_timeout = BGFS_ATTR_TIMEOUT};
  if (ino == 0 || bgfs_attr(fs, ino, &entry.attr) < 0)
    fuse_reply_err(req, ENOENT);
  else
    fuse_reply_entry(req, &entry);
}

static void add(GPtrArray *entries, const char *name, uint64_t ino, mode_t type)
{
  Listing *entry = g_new(Listing, 1);
  *entry = (Listing){g_strdup(name), ino, type};
  g_ptr_array_add(entries, entry);
}

static void list_root(BgfsFs *fs, GPtrArray *entries)
{
  add(entries, BGFS_GRAPH_NAME, BGFS_INO_GRAPH, S_IFDIR);
  g_autoptr(GPtrArray) replaced = bgfs_inodes_replaced(fs->inodes);
  for (guint i = 0; i < replaced->len; i++) {
    const BgfsInode *inode = g_ptr_array_index(replaced, i);
    add(entries, inode->name, inode->ino, S_IFREG);
  }
  g_autoptr(GPtrArray) nodes = bg_graph_nodes(fs->graph);
  for (guint i = 0; i < nodes->len; i++) {
    BgNode *node = g_ptr_array_index(nodes, i);
    if (replaced->len == 0 || !bgfs_inodes_named(fs->inodes, bg_node_name(node)))
      add(entries, bg_node_name(node), bgfs_inodes_of_node(fs->inodes, node)->ino, S_IFREG);
  }
}

static void list_graph(GPtrArray *entries)
{
  const char *name;
  for (uint64_t ino = BGFS_INO_VIRTUAL; (name = bgfs_virtual_name(ino)); ino++)
    add(entries, name, ino, S_IFREG);
}

void bgfs_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  GPtrArray *entries = g_ptr_array_new_with_free_func(listing_free);
  add(entries, ".", ino, S_IFDIR);
  add(entries, "..", BGFS_INO_ROOT, S_IFDIR);
  if (ino == BGFS_INO_ROOT)
    list_root(bgfs_fs(req), entries);
  else
    list_graph(entries);
  fi->fh = (uintptr_t)entries;
  BgfsFs *fs = bgfs_fs(req);
  bgfs_opened_add(fs->opened, entries, (GDestroyNotify)g_ptr_array_unref);
  if (fuse_reply_open(req, fi) == -ENOENT)
    bgfs_opened_remove(fs->opened, entries);
}

void bgfs_op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info *fi)
{
  (void)ino;
  GPtrArray *entries = (GPtrArray *)(uintptr_t)fi->fh;
  g_autofree char *buffer = g_try_malloc(size);
  if (!buffer) {
    fuse_reply_err(req, ENOMEM);
    return;
  }
  size_t used = 0;
  for (uint64_t i = offset; i < entries->len; i++) {
    const Listing *entry = g_ptr_array_index(entries, i);
    struct stat st = {.st_ino = entry->ino, .st_mode = entry->type};
    size_t needed = fuse_add_direntry(req, buffer + used, size - used, entry->name, &st, i + 1);
    if (needed > size - used)
      break;
    used += needed;
  }
  fuse_reply_buf(req, buffer, used);
}

void bgfs_op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
  (void)ino;
  bgfs_opened_remove(bgfs_fs(req)->opened, (gpointer)(uintptr_t)fi->fh);
  fuse_reply_err(req, 0);
}

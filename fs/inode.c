#include "fs/inode.h"

#include <string.h>

enum { WAITING_THREADS = 16 };

struct BgfsInodes {
  pthread_rwlock_t lock;
  GPtrArray *all;      /* BgfsInode *, at ino - BGFS_INO_NODE */
  GHashTable *by_node; /* BgNode * to BgfsInode *, whose name is the node's */
  GHashTable *by_name; /* char * to BgfsInode *: those that show another node */
};

static void inode_free(gpointer data)
{
  BgfsInode *inode = data;
  bgfs_pool_clear(&inode->pool);
  bgfs_file_clear(&inode->file);
  bgfs_serial_clear(&inode->serial);
  g_free(inode);
}

BgfsInodes *bgfs_inodes_new(void)
{
  BgfsInodes *inodes = g_new0(BgfsInodes, 1);
  pthread_rwlock_init(&inodes->lock, NULL);
  inodes->all = g_ptr_array_new_with_free_func(inode_free);
  inodes->by_node = g_hash_table_new(NULL, NULL);
  inodes->by_name = g_hash_table_new(g_str_hash, g_str_equal);
  return inodes;
}

void bgfs_inodes_free(BgfsInodes *inodes)
{
  if (!inodes)
    return;
  g_hash_table_unref(inodes->by_node);
  g_hash_table_unref(inodes->by_name);
  g_ptr_array_unref(inodes->all);
  pthread_rwlock_destroy(&inodes->lock);
  g_free(inodes);
}

void bgfs_inodes_finish(BgfsInodes *inodes)
{
  for (guint i = 0; i < inodes->all->len; i++)
    bgfs_pool_finish(&((BgfsInode *)inodes->all->pdata[i])->pool);
}

static BgfsInode *add(BgfsInodes *inodes, BgNode *node)
{
  BgfsInode *inode = g_new0(BgfsInode, 1);
  inode->ino = BGFS_INO_NODE + inodes->all->len;
  inode->name = bg_node_name(node);
  inode->node = node;
  inode->file.node = node;
  inode->caching.generation = UINT64_MAX;
  bgfs_serial_init(&inode->serial);
  bgfs_pool_init(&inode->pool, WAITING_THREADS);
  g_ptr_array_add(inodes->all, inode);
  g_hash_table_insert(inodes->by_node, node, inode);
  return inode;
}

BgfsInode *bgfs_inodes_find(BgfsInodes *inodes, BgNode *node)
{
  pthread_rwlock_rdlock(&inodes->lock);
  BgfsInode *inode = g_hash_table_lookup(inodes->by_node, node);
  pthread_rwlock_unlock(&inodes->lock);
  return inode;
}

BgfsInode *bgfs_inodes_of_node(BgfsInodes *inodes, BgNode *node)
{
  BgfsInode *inode = bgfs_inodes_find(inodes, node);
  if (inode)
    return inode;
  pthread_rwlock_wrlock(&inodes->lock);
  inode = g_hash_table_lookup(inodes->by_node, node);
  if (!inode)
    inode = add(inodes, node);
  pthread_rwlock_unlock(&inodes->lock);
  return inode;
}

BgfsInode *bgfs_inodes_get(BgfsInodes *inodes, uint64_t ino)
{
  if (ino < BGFS_INO_NODE)
    return NULL;
  pthread_rwlock_rdlock(&inodes->lock);
  uint64_t index = ino - BGFS_INO_NODE;
  BgfsInode *inode = index < inodes->all->len ? g_ptr_array_index(inodes->all, index) : NULL;
  pthread_rwlock_unlock(&inodes->lock);
  return inode;
}

/* ── files that show another node ── */

/* Under the lock. */
static GPtrArray *list_replaced(BgfsInodes *inodes, const BgNode *node)
{
  GPtrArray *list = g_ptr_array_new();
  GHashTableIter iter;
  gpointer inode;
  g_hash_table_iter_init(&iter, inodes->by_name);
  while (g_hash_table_iter_next(&iter, NULL, &inode))
    if (!node || ((BgfsInode *)inode)->node == node)
      g_ptr_array_add(list, inode);
  return list;
}

static GPtrArray *list_showing(BgfsInodes *inodes, BgNode *node)
{
  GPtrArray *list = list_replaced(inodes, node);
  BgfsInode *own = g_hash_table_lookup(inodes->by_node, node);
  if (own)
    g_ptr_array_add(list, own);
  return list;
}

void bgfs_inodes_replace(BgfsInodes *inodes, BgNode *from, BgNode *to)
{
  pthread_rwlock_wrlock(&inodes->lock);
  if (!g_hash_table_contains(inodes->by_node, from))
    add(inodes, from);
  g_autoptr(GPtrArray) list = list_showing(inodes, from);
  for (guint i = 0; i < list->len; i++) {
    BgfsInode *inode = list->pdata[i];
    inode->node = to;
    inode->file.node = to;
    if (strcmp(inode->name, bg_node_name(to)) == 0 && !g_hash_table_contains(inodes->by_node, to)) {
      g_hash_table_remove(inodes->by_name, inode->name);
      g_hash_table_insert(inodes->by_node, to, inode);
    } else {
      g_hash_table_replace(inodes->by_name, (gpointer)inode->name, inode);
    }
  }
  g_hash_table_remove(inodes->by_node, from);
  pthread_rwlock_unlock(&inodes->lock);
}

void bgfs_inodes_forget(BgfsInodes *inodes, BgNode *node)
{
  pthread_rwlock_wrlock(&inodes->lock);
  g_autoptr(GPtrArray) list = list_replaced(inodes, node);
  for (guint i = 0; i < list->len; i++)
    g_hash_table_remove(inodes->by_name, ((BgfsInode *)list->pdata[i])->name);
  pthread_rwlock_unlock(&inodes->lock);
}

BgfsInode *bgfs_inodes_named(BgfsInodes *inodes, const char *name)
{
  pthread_rwlock_rdlock(&inodes->lock);
  BgfsInode *inode = g_hash_table_lookup(inodes->by_name, name);
  pthread_rwlock_unlock(&inodes->lock);
  return inode;
}

GPtrArray *bgfs_inodes_replaced(BgfsInodes *inodes)
{
  pthread_rwlock_rdlock(&inodes->lock);
  GPtrArray *list = list_replaced(inodes, NULL);
  pthread_rwlock_unlock(&inodes->lock);
  return list;
}

GPtrArray *bgfs_inodes_showing(BgfsInodes *inodes, BgNode *node)
{
  pthread_rwlock_rdlock(&inodes->lock);
  GPtrArray *list = list_showing(inodes, node);
  pthread_rwlock_unlock(&inodes->lock);
  return list;
}

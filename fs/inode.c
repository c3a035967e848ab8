#include "fs/inode.h"

struct BgfsInodes {
  pthread_rwlock_t lock;
  GPtrArray *all;      /* BgfsInode *, at ino - BGFS_INO_NODE */
  GHashTable *by_node; /* BgNode * to BgfsInode * */
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
  return inodes;
}

void bgfs_inodes_free(BgfsInodes *inodes)
{
  if (!inodes)
    return;
  g_hash_table_unref(inodes->by_node);
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
  inode->node = node;
  inode->file.node = node;
  inode->caching.generation = UINT64_MAX;
  bgfs_serial_init(&inode->serial);
  bgfs_pool_init(&inode->pool);
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

#include "fs/opened.h"

#include <pthread.h>

struct BgfsOpened {
  pthread_mutex_t lock;
  GHashTable *objects; /* object to its GDestroyNotify */
};

BgfsOpened *bgfs_opened_new(void)
{
  BgfsOpened *opened = g_new0(BgfsOpened, 1);
  pthread_mutex_init(&opened->lock, NULL);
  opened->objects = g_hash_table_new(NULL, NULL);
  return opened;
}

void bgfs_opened_free(BgfsOpened *opened)
{
  if (!opened)
    return;
  GHashTableIter iter;
  gpointer object, free_func;
  g_hash_table_iter_init(&iter, opened->objects);
  while (g_hash_table_iter_next(&iter, &object, &free_func))
    ((GDestroyNotify)free_func)(object);
  g_hash_table_unref(opened->objects);
  pthread_mutex_destroy(&opened->lock);
  g_free(opened);
}

void bgfs_opened_add(BgfsOpened *opened, gpointer object, GDestroyNotify free_func)
{
  pthread_mutex_lock(&opened->lock);
  g_hash_table_insert(opened->objects, object, free_func);
  pthread_mutex_unlock(&opened->lock);
}

void bgfs_opened_remove(BgfsOpened *opened, gpointer object)
{
  gpointer free_func = NULL;
  pthread_mutex_lock(&opened->lock);
  gboolean found = g_hash_table_steal_extended(opened->objects, object, NULL, &free_func);
  pthread_mutex_unlock(&opened->lock);
  if (found)
    ((GDestroyNotify)free_func)(object);
}

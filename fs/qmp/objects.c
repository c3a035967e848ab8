#include "fs/qmp/objects.h"

#include <pthread.h>
#include <string.h>

struct BgfsQmpObjects {
  pthread_mutex_t lock;
  GHashTable *directories; /* (lock) char * to char *, by id */
};

BgfsQmpObjects *bgfs_qmp_objects_new(void)
{
  BgfsQmpObjects *objects = g_new0(BgfsQmpObjects, 1);
  pthread_mutex_init(&objects->lock, NULL);
  objects->directories = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
  return objects;
}

void bgfs_qmp_objects_free(BgfsQmpObjects *objects)
{
  if (!objects)
    return;
  g_hash_table_unref(objects->directories);
  pthread_mutex_destroy(&objects->lock);
  g_free(objects);
}

bool bgfs_qmp_objects_has(BgfsQmpObjects *objects, const char *id)
{
  pthread_mutex_lock(&objects->lock);
  bool has = g_hash_table_contains(objects->directories, id);
  pthread_mutex_unlock(&objects->lock);
  return has;
}

bool bgfs_qmp_objects_add(BgfsQmpObjects *objects, const char *id, const char *directory)
{
  pthread_mutex_lock(&objects->lock);
  bool new = !g_hash_table_contains(objects->directories, id);
  if (new)
    g_hash_table_insert(objects->directories, g_strdup(id), g_strdup(directory));
  pthread_mutex_unlock(&objects->lock);
  return new;
}

bool bgfs_qmp_objects_remove(BgfsQmpObjects *objects, const char *id)
{
  pthread_mutex_lock(&objects->lock);
  bool removed = g_hash_table_remove(objects->directories, id);
  pthread_mutex_unlock(&objects->lock);
  return removed;
}

static bool names_credentials(const char *key)
{
  return strcmp(key, "tls-creds") == 0 || g_str_has_suffix(key, ".tls-creds");
}

void bgfs_qmp_objects_resolve(BgfsQmpObjects *objects, BgDict *options)
{
  GHashTableIter iter;
  gpointer key, value;
  if (!objects)
    return;
  pthread_mutex_lock(&objects->lock);
  g_hash_table_iter_init(&iter, options);
  while (g_hash_table_iter_next(&iter, &key, &value)) {
    const char *directory = names_credentials(key) ? g_hash_table_lookup(objects->directories, value) : NULL;
    if (directory)
      g_hash_table_iter_replace(&iter, g_strdup(directory));
  }
  pthread_mutex_unlock(&objects->lock);
}

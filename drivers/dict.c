#include "drivers/dict.h"

#include <string.h>

BgDict *bg_dict_new(void)
{
  return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

BgDict *bg_dict_copy(const BgDict *dict)
{
  BgDict *copy = bg_dict_new();
  GHashTableIter iter;
  void *key, *value;
  g_hash_table_iter_init(&iter, (BgDict *)dict);
  while (g_hash_table_iter_next(&iter, &key, &value))
    bg_dict_set(copy, key, value);
  return copy;
}

void bg_dict_free(BgDict *dict)
{
  if (dict)
    g_hash_table_destroy(dict);
}

void bg_dict_set(BgDict *dict, const char *key, const char *value)
{
  g_hash_table_replace(dict, g_strdup(key), g_strdup(value));
}

void bg_dict_set_default(BgDict *dict, const char *key, const char *value)
{
  if (!g_hash_table_contains(dict, key))
    bg_dict_set(dict, key, value);
}

const char *bg_dict_get(const BgDict *dict, const char *key)
{
  return g_hash_table_lookup((BgDict *)dict, key);
}

char *bg_dict_take(BgDict *dict, const char *key)
{
  g_autofree char *own_key = NULL;
  char *value = NULL;
  g_hash_table_steal_extended(dict, key, (void **)&own_key, (void **)&value);
  return value;
}

/* The part of `key` below `name`: NULL if it is not there. */
static const char *below(const char *key, const char *name)
{
  size_t length = strlen(name);
  return strncmp(key, name, length) == 0 && key[length] == '.' ? key + length + 1 : NULL;
}

bool bg_dict_has_tree(const BgDict *dict, const char *name)
{
  if (bg_dict_get(dict, name))
    return true;
  GHashTableIter iter;
  void *key;
  g_hash_table_iter_init(&iter, (BgDict *)dict);
  while (g_hash_table_iter_next(&iter, &key, NULL))
    if (below(key, name))
      return true;
  return false;
}

BgDict *bg_dict_take_tree(BgDict *dict, const char *name)
{
  BgDict *tree = bg_dict_new();
  GHashTableIter iter;
  void *key, *value;
  g_hash_table_iter_init(&iter, dict);
  while (g_hash_table_iter_next(&iter, &key, &value)) {
    const char *rest = below(key, name);
    if (!rest)
      continue;
    bg_dict_set(tree, rest, value);
    g_hash_table_iter_remove(&iter);
  }
  return tree;
}

const char *bg_dict_first_key(const BgDict *dict)
{
  const char *first = NULL;
  GHashTableIter iter;
  void *key;
  g_hash_table_iter_init(&iter, (BgDict *)dict);
  while (g_hash_table_iter_next(&iter, &key, NULL))
    if (!first || strcmp(key, first) < 0)
      first = key;
  return first;
}

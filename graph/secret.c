#include "graph/secret.h"

#include "drivers/crypto/memory.h"
#include "graph/escape.h"
#include "graph/name.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

struct BgSecrets {
  pthread_mutex_t lock;
  GPtrArray *list;    /* (lock) BgSecret * */
  GPtrArray *removed; /* (lock) the same: somebody may still have them */
};

static void secret_free(void *data)
{
  BgSecret *secret = data;
  bg_secret_free((void *)secret->data, secret->length);
  g_free((char *)secret->id);
  g_free(secret);
}

BgSecrets *bg_secrets_new(void)
{
  BgSecrets *secrets = g_new(BgSecrets, 1);
  pthread_mutex_init(&secrets->lock, NULL);
  secrets->list = g_ptr_array_new_with_free_func(secret_free);
  secrets->removed = g_ptr_array_new_with_free_func(secret_free);
  return secrets;
}

void bg_secrets_free(BgSecrets *secrets)
{
  if (!secrets)
    return;
  g_ptr_array_unref(secrets->list);
  g_ptr_array_unref(secrets->removed);
  pthread_mutex_destroy(&secrets->lock);
  g_free(secrets);
}

/* Under the lock. */
static const BgSecret *find(const BgSecrets *secrets, const char *id)
{
  for (guint i = 0; secrets && i < secrets->list->len; i++) {
    const BgSecret *secret = secrets->list->pdata[i];
    if (strcmp(secret->id, id) == 0)
      return secret;
  }
  return NULL;
}

bool bg_secrets_add(BgSecrets *secrets, const char *id, const void *data, size_t length, GError **error)
{
  g_autofree char *shown = bg_escape(id);
  if (!bg_name_valid(id)) {
    bg_set_error(error, EINVAL, "'%s' is no name for a secret (a letter, then letters, digits, '-', '.', '_')", shown);
    return false;
  }
  if (length == 0 || length > BG_SECRET_MAX) {
    bg_set_error(error, EINVAL, length ? "the secret '%s' is longer than 64 KiB" : "the secret '%s' is empty", shown);
    return false;
  }
  void *copy = bg_secret_alloc(length);
  if (!copy) {
    bg_set_error_errno(error, ENOMEM, "the secret '%s'", shown);
    return false;
  }
  memcpy(copy, data, length);
  BgSecret *secret = g_new(BgSecret, 1);
  *secret = (BgSecret){g_strdup(id), copy, length};
  pthread_mutex_lock(&secrets->lock);
  bool known = find(secrets, id);
  if (!known)
    g_ptr_array_add(secrets->list, secret);
  pthread_mutex_unlock(&secrets->lock);
  if (!known)
    return true;
  secret_free(secret);
  bg_set_error(error, EEXIST, "there is a secret '%s' already", shown);
  return false;
}

bool bg_secrets_remove(BgSecrets *secrets, const char *id, GError **error)
{
  guint index;
  pthread_mutex_lock(&secrets->lock);
  const BgSecret *found = find(secrets, id);
  if (found && g_ptr_array_find(secrets->list, found, &index))
    g_ptr_array_add(secrets->removed, g_ptr_array_steal_index(secrets->list, index));
  pthread_mutex_unlock(&secrets->lock);
  if (found)
    return true;
  g_autofree char *shown = bg_escape(id);
  bg_set_error(error, ENOENT, "there is no secret '%s'", shown);
  return false;
}

/* Also how many there are. */
static const BgSecret *look(const BgSecrets *secrets, const char *id, guint *count)
{
  *count = 0;
  if (!secrets)
    return NULL;
  pthread_mutex_lock((pthread_mutex_t *)&secrets->lock);
  *count = secrets->list->len;
  const BgSecret *found = id ? find(secrets, id) : *count == 1 ? secrets->list->pdata[0] : NULL;
  pthread_mutex_unlock((pthread_mutex_t *)&secrets->lock);
  return found;
}

bool bg_secrets_choose(const BgSecrets *secrets, const char *id, const BgSecret **secret, GError **error)
{
  guint count;
  const BgSecret *found = look(secrets, id, &count);
  g_autofree char *shown = id ? bg_escape(id) : NULL;
  if (found)
    *secret = found;
  else if (id)
    bg_set_error(error, ENOENT, "there is no secret '%s': give it with --secret id=%s,file=PATH", shown, shown);
  else if (count)
    bg_set_error(error, EACCES,
                 "the image is encrypted, and several secrets were given: name the one that is meant (--key-secret ID, "
                 "or the node's option encrypt.key-secret=ID)");
  else
    bg_set_error(error, EACCES,
                 "the image is encrypted, and its key is missing: give it with --secret id=ID,file=PATH");
  return found;
}

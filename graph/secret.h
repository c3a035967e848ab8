/* The secrets that the user gave, by name. */
#ifndef BG_GRAPH_SECRET_H
#define BG_GRAPH_SECRET_H

#include "drivers/error.h"
#include "drivers/secret.h"

#include <stdbool.h>

typedef struct BgSecrets BgSecrets;

/* The longest secret, in bytes. */
#define BG_SECRET_MAX 65536u

/* An empty table, for any number of threads. */
BgSecrets *bg_secrets_new(void);
/* Wipes all. NULL is fine. */
void bg_secrets_free(BgSecrets *secrets);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgSecrets, bg_secrets_free)

/* Copies a secret into the table. EINVAL: it is empty, too long, or `id` is no name; EEXIST. */
bool bg_secrets_add(BgSecrets *secrets, const char *id, const void *data, size_t length, GError **error);

/* Nobody finds it by its name any more; whoever found it keeps it. ENOENT. */
bool bg_secrets_remove(BgSecrets *secrets, const char *id, GError **error);

/* The secret `id`; where `id` is NULL the only one that there is. ENOENT, EACCES: which option gives it. NULL for no table. */
bool bg_secrets_choose(const BgSecrets *secrets, const char *id, const BgSecret **secret, GError **error);

#endif

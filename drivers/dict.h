/* A flat dictionary of option strings, the form in which options travel until an option table types them.
 * Keys are dotted paths ("file.filename"); an empty value stands for JSON's null. */
#ifndef BG_DICT_H
#define BG_DICT_H

#include <glib.h>
#include <stdbool.h>

typedef GHashTable BgDict; /* char * to char *, both owned by the dictionary; no locks, one owner */

BgDict *bg_dict_new(void);
BgDict *bg_dict_copy(const BgDict *dict);
void bg_dict_free(BgDict *dict); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgDict, bg_dict_free)

/* Replaces an older value. Both strings are copied. */
void bg_dict_set(BgDict *dict, const char *key, const char *value);
/* Sets only where the key has no value yet. */
void bg_dict_set_default(BgDict *dict, const char *key, const char *value);

/* The value, owned by the dictionary; NULL where the key is absent. */
const char *bg_dict_get(const BgDict *dict, const char *key);
/* Takes the value out: the caller frees it; NULL where the key is absent. */
char *bg_dict_take(BgDict *dict, const char *key);

/* True if `name` itself or any key below it ("name.…") is present. */
bool bg_dict_has_tree(const BgDict *dict, const char *name);
/* Takes all keys below `name` ("name.…") out, the prefix cut off, into a new dictionary (empty if none). */
BgDict *bg_dict_take_tree(BgDict *dict, const char *name);

/* Some key that is present, the first in the order of strcmp(); NULL if the dictionary is empty. */
const char *bg_dict_first_key(const BgDict *dict);

#endif

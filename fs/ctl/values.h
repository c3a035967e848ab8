/* Members of JSON objects from outside, which may be missing or of another type than expected. */
#ifndef BGFS_CTL_VALUES_H
#define BGFS_CTL_VALUES_H

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

/* What is returned belongs to `object`; NULL, `fallback` or false where there is no such member of that type. `object` NULL: there are no members. */
const char *bgfs_ctl_text(JsonObject *object, const char *name);
int64_t bgfs_ctl_number(JsonObject *object, const char *name, int64_t fallback);
bool bgfs_ctl_bool(JsonObject *object, const char *name);
JsonObject *bgfs_ctl_object(JsonObject *object, const char *name);
JsonArray *bgfs_ctl_array(JsonObject *object, const char *name);

/* How many elements the array (NULL: none) has, and the one at `index`; NULL where that is no object. */
unsigned bgfs_ctl_length(JsonArray *array);
JsonObject *bgfs_ctl_element(JsonArray *array, unsigned index);

/* Arguments of a command: pairs of member names and texts, up to a NULL name; those whose text is NULL are left out. */
JsonObject *bgfs_ctl_arguments(const char *name, ...) G_GNUC_NULL_TERMINATED;

/* A text made fit for one line; "" for NULL. The caller frees. */
char *bgfs_ctl_shown(const char *text);

#endif

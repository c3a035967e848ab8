/* What an image is, under the names that QEMU has for it (ImageInfo). */
#ifndef BGFS_IMAGE_INFO_H
#define BGFS_IMAGE_INFO_H

#include "graph/inventory.h"

#include <json-glib/json-glib.h>

/* The caller's. `filename` is what the image is called. The images below are not told of, and of snapshots those of the inventory. */
JsonObject *bgfs_image_info(const BgSeenNode *seen, const char *filename);
/* The same without snapshots. */
JsonObject *bgfs_image_facts(const BgSeenNode *seen, const char *filename);

/* The driver's fact of that name; NULL: none. */
GVariant *bgfs_image_fact(const BgSeenNode *seen, const char *name);
/* The same of one that is a text. */
const char *bgfs_image_text_fact(const BgSeenNode *seen, const char *name);
/* The node's child of that name; NULL: none. */
const BgSeenNode *bgfs_image_child(const BgSeenNode *seen, const char *name);
/* What a file name in the image `filename` means: relative ones begin where the image is. The caller frees. */
char *bgfs_image_full_name(const char *filename, const char *reference);

/* A node that takes the object, or array. The caller's. */
JsonNode *bgfs_json_of_object(JsonObject *object);
JsonNode *bgfs_json_of_array(JsonArray *array);

/* A string as JSON can hold it: what is no UTF-8 is escaped. */
void bgfs_json_set_text(JsonObject *object, const char *member, const char *text);

#endif

/* JSON that is written piece by piece, so that what is long is never in memory as a whole tree. */
#ifndef BG_JSON_WRITER_H
#define BG_JSON_WRITER_H

#include <json-glib/json-glib.h>
#include <stdbool.h>

typedef struct BgJsonWriter {
  void (*write)(void *data, const char *text, size_t length);
  void *data;

  /* The writer's own, zero at first. */
  unsigned depth; /* arrays and objects that are open */
  bool filled;    /* the innermost of them has something in it */
} BgJsonWriter;

/* Opens an array ('[') or an object ('{'). `name` in all these calls: the member's, in an object; else NULL. */
void bg_json_begin(BgJsonWriter *writer, const char *name, char bracket);
/* Closes it: ']' or '}'. The line ends behind the outermost. */
void bg_json_end(BgJsonWriter *writer, char bracket);

/* A value, whose last reference is given away. */
void bg_json_put(BgJsonWriter *writer, const char *name, JsonNode *value);
/* The members of an object into the object that is open. */
void bg_json_put_members(BgJsonWriter *writer, JsonObject *object);

/* What a builder has built, given away; the builder is as new. */
JsonNode *bg_json_take(JsonBuilder *builder);

/* A member of text. Bytes that are no UTF-8, which have no place in JSON, are escaped. NULL: null. */
void bg_json_add_text(JsonBuilder *builder, const char *name, const char *text);
void bg_json_add_number(JsonBuilder *builder, const char *name, int64_t number);
void bg_json_add_bool(JsonBuilder *builder, const char *name, bool value);

#endif

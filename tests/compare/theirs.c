/* The script through qemu-io. */
#include "tests/compare/twin.h"

#include <errno.h>
#include <json-glib/json-glib.h>
#include <string.h>

static bool run_part(const Twin *twin, const char *commands, GError **error)
{
  g_autofree char *output = NULL;
  const char *arguments[] = {"qemu-io", "-f", "qcow2", "-d", "unmap", twin->theirs, NULL};
  int status = twin_run(twin, arguments, commands, &output, error);
  if (status < 0)
    return false;
  const char *failed = strstr(output, "failed");
  if (status == 0 && !failed && !strstr(output, "rror"))
    return true;
  bg_set_error(error, EIO, "qemu-io ends with %d: %.200s", status, failed ? failed : output);
  return false;
}

static bool run_snapshot(const Twin *twin, const Op *op, GError **error)
{
  g_autofree char *output = NULL, *name = op_snapshot_name(op);
  const char *what = op->kind == OP_SNAPSHOT ? "-c" : op->kind == OP_APPLY ? "-a" : "-d";
  const char *arguments[] = {"qemu-img", "snapshot", what, name, twin->theirs, NULL};
  int status = twin_run(twin, arguments, NULL, &output, error);
  if (status > 0)
    bg_set_error(error, EIO, "qemu-img snapshot %s %s: %.200s", what, name, output);
  return status == 0;
}

/* QEMU compresses only where nothing is yet; and QEMU 7.2 corrupts images where compressed clusters are freed and others written without
 * closing the image in between. */
static bool run_compress(const Twin *twin, const Op *op, GString *commands, GError **error)
{
  g_autofree char *text = op_text(op);
  g_string_append_printf(commands, "discard -q %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", op->offset, op->length);
  return run_part(twin, commands->str, error) && run_part(twin, text, error);
}

/* What QEMU does with the image in a session of its own, after `commands`. */
static bool run_alone(const Twin *twin, const Op *op, GString *commands, GError **error)
{
  if (op->kind == OP_COMPRESS)
    return run_compress(twin, op, commands, error);
  return run_part(twin, commands->str, error) && (!op_is_snapshot(op) || run_snapshot(twin, op, error));
}

bool theirs_run(const Twin *twin, const Op *ops, size_t count, GError **error)
{
  g_autoptr(GString) commands = g_string_new(NULL);
  for (size_t i = 0; i < count; i++) {
    if (op_is_snapshot(&ops[i]) || ops[i].kind == OP_REOPEN || ops[i].kind == OP_COMPRESS) {
      if (!run_alone(twin, &ops[i], commands, error))
        return false;
      g_string_truncate(commands, 0);
      continue;
    }
    g_autofree char *text = op_text(&ops[i]);
    g_string_append_printf(commands, "%s\n", text);
  }
  return run_part(twin, commands->str, error);
}

static void add_range(JsonArray *array, guint index, JsonNode *element, gpointer data)
{
  (void)array, (void)index;
  GArray *map = data;
  JsonObject *object = json_node_get_object(element);
  bool present = json_object_get_boolean_member(object, "present");
  MapRange range = {.start = (uint64_t)json_object_get_int_member(object, "start"),
                    .length = (uint64_t)json_object_get_int_member(object, "length"),
                    .kind = json_object_get_boolean_member(object, "data") ? MAP_DATA
                            : present                                      ? MAP_ZERO
                                                                           : MAP_HOLE,
                    .depth = present ? (unsigned)json_object_get_int_member(object, "depth") : 0};
  map_add(map, &range);
}

GArray *theirs_map(const Twin *twin, GError **error)
{
  g_autofree char *output = NULL;
  g_autoptr(JsonParser) parser = json_parser_new();
  const char *arguments[] = {"qemu-img", "map", "--output=json", "-f", "qcow2", twin->theirs, NULL};
  int status = twin_run(twin, arguments, NULL, &output, error);
  if (status < 0 || !json_parser_load_from_data(parser, output, -1, error))
    return NULL;
  GArray *map = g_array_new(FALSE, FALSE, sizeof(MapRange));
  json_array_foreach_element(json_node_get_array(json_parser_get_root(parser)), add_range, map);
  return map;
}

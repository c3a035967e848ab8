#include "fs/ctl/node-options.h"

#include "drivers/options.h"
#include "drivers/registry.h"
#include "fs/path.h"
#include "graph/blockdev.h"
#include "graph/node-options.h"

#include <string.h>

/* ── in ── */

static bool names_file(const char *key)
{
  return strcmp(key, "filename") == 0 || g_str_has_suffix(key, ".filename");
}

/* "nbd://…" and the like name no file. */
static bool is_uri(const char *filename)
{
  g_autofree char *scheme = g_uri_parse_scheme(filename);
  return scheme && strncmp(filename + strlen(scheme), "://", 3) == 0;
}

static void make_absolute(BgDict *options)
{
  g_autofree gpointer *keys = g_hash_table_get_keys_as_array(options, NULL);
  for (gpointer *key = keys; *key; key++) {
    const char *value = bg_dict_get(options, *key);
    if (!names_file(*key) || !*value || is_uri(value))
      continue;
    g_autofree char *absolute = bgfs_absolute_path(value);
    bg_dict_set(options, *key, absolute);
  }
}

BgDict *bgfs_ctl_options_parse(const char *text, GError **error)
{
  BgDict *options = bg_blockdev_parse(text, error);
  if (options)
    make_absolute(options);
  return options;
}

void bgfs_ctl_options_keep(BgDict *options, JsonObject *present)
{
  JsonObjectIter iter;
  const char *name;
  JsonNode *value;
  json_object_iter_init_ordered(&iter, present);
  while (json_object_iter_next_ordered(&iter, &name, &value)) {
    g_autofree char *text = bg_blockdev_value(value);
    if (text)
      bg_dict_set_default(options, name, text);
  }
}

/* ── out ── */

static bool is_child(const BgDriver *driver, const char *name)
{
  for (const BgChildSpec *spec = driver ? driver->children : NULL; spec && spec->name; spec++)
    if (strcmp(spec->name, name) == 0)
      return true;
  return false;
}

static void set_value(JsonObject *object, const char *name, const BgOption *option, const char *text)
{
  uint64_t number;
  bool value, is_number = option && (option->type == BG_OPTION_UINT || option->type == BG_OPTION_SIZE);
  if (option && option->type == BG_OPTION_BOOL && bg_parse_bool(text, &value, NULL))
    json_object_set_boolean_member(object, name, value);
  else if (is_number && bg_parse_size(text, &number, NULL))
    json_object_set_int_member(object, name, (gint64)number);
  else
    json_object_set_string_member(object, name, text);
}

static JsonObject *object_of(const BgDict *options, const BgDriver *driver, const char *prefix);

/* What is below "name.": a child written inline, or options of `driver` that have a point in their names. */
static void set_below(JsonObject *object, const char *name, const BgDict *below, const BgDriver *driver,
                      const char *full)
{
  if (is_child(driver, full)) {
    json_object_set_object_member(object, name, bgfs_ctl_options_json(below));
    return;
  }
  g_autofree char *prefix = g_strconcat(full, ".", NULL);
  json_object_set_object_member(object, name, object_of(below, driver, prefix));
}

/* `prefix`: what option tables have before the names in `options`. */
static JsonObject *object_of(const BgDict *options, const BgDriver *driver, const char *prefix)
{
  JsonObject *object = json_object_new();
  g_autoptr(BgDict) rest = bg_dict_copy(options);
  for (const char *key; (key = bg_dict_first_key(rest));) {
    g_autofree char *name = g_strndup(key, strcspn(key, ".")), *full = g_strconcat(prefix, name, NULL);
    g_autofree char *value = bg_dict_take(rest, name);
    g_autoptr(BgDict) below = bg_dict_take_tree(rest, name);
    if (!value)
      set_below(object, name, below, driver, full);
    else if (!*value && is_child(driver, full))
      json_object_set_null_member(object, name);
    else
      set_value(object, name, bg_node_options_find(driver, full), value);
  }
  return object;
}

JsonObject *bgfs_ctl_options_json(const BgDict *options)
{
  const char *driver = bg_dict_get(options, "driver");
  return object_of(options, driver ? bg_driver_find(driver) : NULL, "");
}

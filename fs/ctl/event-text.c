#include "fs/ctl/event-text.h"

#include "fs/ctl/values.h"

#include <inttypes.h>
#include <string.h>

static void append_time(GString *line, JsonObject *stamp)
{
  int64_t seconds = bgfs_ctl_number(stamp, "seconds", -1), micro = bgfs_ctl_number(stamp, "microseconds", 0);
  g_autoptr(GDateTime) time = seconds >= 0 ? g_date_time_new_from_unix_local(seconds) : NULL;
  if (!time)
    return;
  g_autofree char *text = g_date_time_format(time, "%H:%M:%S");
  g_string_append_printf(line, "%s.%06" PRId64 " ", text, CLAMP(micro, 0, 999999));
}

/* Texts with blanks in quotes, so that it can be seen where they end. */
static void append_value(GString *line, JsonNode *value)
{
  bool is_text = JSON_NODE_HOLDS_VALUE(value) && json_node_get_value_type(value) == G_TYPE_STRING;
  g_autofree char *raw = is_text ? json_node_dup_string(value) : json_to_string(value, FALSE);
  g_autofree char *shown = bgfs_ctl_shown(raw);
  bool quoted = is_text && (!*shown || strchr(shown, ' '));
  g_string_append_printf(line, quoted ? "\"%s\"" : "%s", shown);
}

char *bgfs_ctl_event_text(JsonObject *event)
{
  GString *line = g_string_new(NULL);
  append_time(line, bgfs_ctl_object(event, "timestamp"));
  g_autofree char *name = bgfs_ctl_shown(bgfs_ctl_text(event, "event"));
  g_string_append(line, name);
  JsonObject *data = bgfs_ctl_object(event, "data");
  JsonObjectIter iter;
  const char *member;
  JsonNode *value;
  if (data)
    json_object_iter_init_ordered(&iter, data);
  while (data && json_object_iter_next_ordered(&iter, &member, &value)) {
    g_autofree char *shown = bgfs_ctl_shown(member);
    g_string_append_printf(line, " %s=", shown);
    append_value(line, value);
  }
  return g_string_free(line, FALSE);
}

#include "fs/snapshot-list.h"

#include "graph/escape.h"

#include <inttypes.h>
#include <json-glib/json-glib.h>
#include <stdio.h>

/* ── text ── */

/* Three digits and a unit. */
static char *size_text(uint64_t bytes)
{
  static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = (double)bytes;
  unsigned unit = 0;
  for (; value >= 1000 && unit + 1 < G_N_ELEMENTS(units); unit++)
    value /= 1024;
  return g_strdup_printf("%.3g %s", value, units[unit]);
}

static char *date_text(const BgSnapshot *snapshot)
{
  g_autoptr(GDateTime) date = g_date_time_new_from_unix_local(snapshot->date_sec);
  return date ? g_date_time_format(date, "%Y-%m-%d %H:%M:%S") : g_strdup("");
}

static char *clock_text(uint64_t nsec)
{
  uint64_t seconds = nsec / 1000000000;
  return g_strdup_printf("%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 ".%03" PRIu64, seconds / 3600, seconds / 60 % 60,
                         seconds % 60, nsec / 1000000 % 1000);
}

static void print_line(const BgSnapshot *snapshot)
{
  g_autofree char *id = bg_escape(snapshot->id), *name = bg_escape(snapshot->name);
  g_autofree char *size = size_text(snapshot->vm_state_size), *date = date_text(snapshot);
  g_autofree char *clock = clock_text(snapshot->vm_clock_nsec);
  g_autofree char *icount =
      snapshot->icount == UINT64_MAX ? g_strdup("") : g_strdup_printf("%" PRIu64, snapshot->icount);
  printf("%-9s %-16s %8s %19s %12s %10s\n", id, name, size, date, clock, icount);
}

void bgfs_snapshot_list_text(const GPtrArray *snapshots)
{
  if (!snapshots->len)
    return;
  printf("Snapshot list:\n%-9s %-16s %8s %19s %12s %10s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK", "ICOUNT");
  for (guint i = 0; i < snapshots->len; i++)
    print_line(snapshots->pdata[i]);
}

/* ── JSON ── */

static void add_text(JsonBuilder *builder, const char *name, const char *text)
{
  g_autofree char *shown = g_utf8_validate(text, -1, NULL) ? g_strdup(text) : bg_escape(text);
  json_builder_set_member_name(builder, name);
  json_builder_add_string_value(builder, shown);
}

static void add_number(JsonBuilder *builder, const char *name, uint64_t number)
{
  json_builder_set_member_name(builder, name);
  json_builder_add_int_value(builder, (gint64)number);
}

static void add_snapshot(JsonBuilder *builder, const BgSnapshot *snapshot)
{
  json_builder_begin_object(builder);
  add_text(builder, "id", snapshot->id);
  add_text(builder, "name", snapshot->name);
  add_number(builder, "disk-size", snapshot->size);
  add_number(builder, "vm-state-size", snapshot->vm_state_size);
  add_number(builder, "date-sec", snapshot->date_sec);
  add_number(builder, "date-nsec", snapshot->date_nsec);
  add_number(builder, "vm-clock-sec", snapshot->vm_clock_nsec / 1000000000);
  add_number(builder, "vm-clock-nsec", snapshot->vm_clock_nsec % 1000000000);
  if (snapshot->icount != UINT64_MAX)
    add_number(builder, "icount", snapshot->icount);
  json_builder_end_object(builder);
}

void bgfs_snapshot_list_json(const GPtrArray *snapshots)
{
  g_autoptr(JsonBuilder) builder = json_builder_new();
  json_builder_begin_array(builder);
  for (guint i = 0; i < snapshots->len; i++)
    add_snapshot(builder, snapshots->pdata[i]);
  json_builder_end_array(builder);
  g_autoptr(JsonNode) root = json_builder_get_root(builder);
  g_autofree char *text = json_to_string(root, TRUE);
  printf("%s\n", text);
}

#include "fs/snapshot-list.h"

#include "fs/subcommand.h"
#include "graph/escape.h"
#include "graph/query.h"

#include <inttypes.h>
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

void bgfs_snapshot_list_json(const GPtrArray *snapshots)
{
  BgJsonWriter writer = bgfs_subcommand_json();
  bg_json_begin(&writer, NULL, '[');
  for (guint i = 0; i < snapshots->len; i++) {
    const BgSnapshot *snapshot = snapshots->pdata[i];
    JsonNode *node = bg_query_snapshot(snapshot);
    json_object_set_int_member(json_node_get_object(node), "disk-size", (gint64)snapshot->size);
    bg_json_put(&writer, NULL, node);
  }
  bg_json_end(&writer, ']');
}

#include "drivers/snapshot.h"

void bg_snapshot_free(BgSnapshot *snapshot)
{
  if (!snapshot)
    return;
  g_free(snapshot->id);
  g_free(snapshot->name);
  g_free(snapshot);
}

GPtrArray *bg_snapshot_list_new(void)
{
  return g_ptr_array_new_with_free_func((GDestroyNotify)bg_snapshot_free);
}

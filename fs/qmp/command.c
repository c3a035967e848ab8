#include "fs/qmp/command.h"
#include "fs/image-info.h"

#include <string.h>

const BgfsQmpCommand *const *bgfs_qmp_commands(void)
{
  static const BgfsQmpCommand *const tables[] = {
      bgfs_qmp_control_commands,
      bgfs_qmp_query_commands,
      bgfs_qmp_stats_commands,
      bgfs_qmp_node_commands,
      bgfs_qmp_medium_commands,
      bgfs_qmp_image_commands,
      bgfs_qmp_bitmap_commands,
      bgfs_qmp_transaction_commands,
      bgfs_qmp_create_commands,
      bgfs_qmp_job_start_commands,
      bgfs_qmp_object_commands,
      bgfs_qmp_job_commands,
      NULL,
  };
  return tables;
}

const BgfsQmpCommand *bgfs_qmp_command_find(const char *name)
{
  for (const BgfsQmpCommand *const *table = bgfs_qmp_commands(); *table; table++)
    for (const BgfsQmpCommand *command = *table; command->name; command++)
      if (strcmp(command->name, name) == 0)
        return command;
  return NULL;
}

JsonNode *bgfs_qmp_done(void)
{
  return bgfs_json_of_object(json_object_new());
}

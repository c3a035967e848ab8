#include "fs/qmp/action.h"

#include "fs/qmp/retry.h"

typedef struct Single {
  BgfsQmpAction *action;
  const char *command;
  JsonObject *arguments;
} Single;

static bool run(const BgfsQmpMount *mount, void *data, GError **error)
{
  const Single *single = data;
  g_autoptr(BgTransaction) transaction = bg_transaction_new(mount->graph, false);
  return single->action(mount, single->command, single->arguments, transaction, error) &&
         bg_transaction_run(transaction, error);
}

JsonNode *bgfs_qmp_act(const BgfsQmpMount *mount, BgfsQmpAction *action, const char *command, JsonObject *arguments,
                       GError **error)
{
  Single single = {action, command, arguments};
  return bgfs_qmp_retry(mount, run, &single, error) ? bgfs_qmp_done() : NULL;
}

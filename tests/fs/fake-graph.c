#include "fake-graph.h"

static bool refused(BgNode *node, GError **error)
{
  if (node->refuse)
    bg_set_error(error, node->refuse, "refused");
  return node->refuse != 0;
}

BgUser *bg_user_new(BgNode *node, const char *what, BgPerm perm, BgPerm shared, GError **error)
{
  (void)what;
  if (refused(node, error))
    return NULL;
  BgUser *user = g_new0(BgUser, 1);
  *user = (BgUser){node, perm, shared};
  node->users++;
  node->changes++;
  return user;
}

bool bg_user_set_perm(BgUser *user, BgPerm perm, BgPerm shared, GError **error)
{
  if (refused(user->node, error))
    return false;
  user->perm = perm;
  user->shared = shared;
  user->node->changes++;
  return true;
}

void bg_user_free(BgUser *user)
{
  if (!user)
    return;
  user->node->users--;
  g_free(user);
}

BgPerm bg_user_write_perm(BgNode *node)
{
  return node->write_perm;
}

int bg_user_flush(BgUser *user)
{
  user->node->flushes++;
  user->node->flushed_with = user->perm;
  return user->node->flush_result;
}

const char *bg_node_name(const BgNode *node)
{
  return node->name ? node->name : "disk";
}

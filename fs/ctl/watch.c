#include "drivers/error.h"
#include "fs/ctl/command.h"
#include "fs/ctl/event-text.h"
#include "fs/ctl/interrupt.h"
#include "fs/ctl/values.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

static const BgfsCtlCommand command = {
    .name = "blockgraphctl watch",
    .operands = "MOUNTPOINT [EVENT …]",
    .most = UINT_MAX,
    .summary = "Prints events, one a line, as they happen, until it is interrupted or the mount ends. EVENT: only "
               "those of such "
               "names; * stands for any characters.",
    .description = "Example:\n"
                   "  blockgraphctl watch mnt 'JOB_*' 'BLOCK_JOB_*'\n",
};

static bool is_wanted(const BgfsCtl *ctl, JsonObject *event)
{
  for (unsigned i = 0; i < ctl->operands->len; i++)
    if (g_pattern_match_simple(ctl->operands->pdata[i], bgfs_ctl_text(event, "event")))
      return true;
  return ctl->operands->len == 0;
}

/* False: standard output is closed. */
static bool print(const BgfsCtl *ctl, JsonObject *event)
{
  if (ctl->json) {
    g_autoptr(JsonNode) root = json_node_init_object(json_node_alloc(), event);
    g_autofree char *text = json_to_string(root, FALSE);
    puts(text);
  } else {
    g_autofree char *text = bgfs_ctl_event_text(event);
    puts(text);
  }
  return fflush(stdout) == 0;
}

static bool watch(const BgfsCtl *ctl, int interrupt, GError **error)
{
  while (!bgfs_ctl_interrupt_take(interrupt)) {
    g_autoptr(GError) failure = NULL;
    g_autoptr(JsonObject) event = bgfs_ctl_client_event(ctl->client, BGFS_CTL_FOREVER, interrupt, &failure);
    if (failure) {
      g_propagate_error(error, g_steal_pointer(&failure));
      return false;
    }
    if (event && is_wanted(ctl, event) && !print(ctl, event)) {
      bg_set_error_errno(error, errno, "standard output");
      return false;
    }
  }
  return true;
}

int bgfs_ctl_watch(int argc, char **argv)
{
  g_auto(BgfsCtl) ctl = {0};
  GError *error = NULL;
  int status;
  if (!bgfs_ctl_parse(&ctl, &command, NULL, argc, argv, &status))
    return status;
  int interrupt = bgfs_ctl_interrupt_new(&error);
  if (interrupt < 0 || !bgfs_ctl_connect(&ctl, &error))
    return bgfs_ctl_fail(&ctl, NULL, error);
  return watch(&ctl, interrupt, &error) ? EXIT_SUCCESS : bgfs_ctl_fail(&ctl, bgfs_ctl_place(&ctl), error);
}

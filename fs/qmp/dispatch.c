#include "fs/qmp/dispatch.h"

#include "fs/qmp/check.h"
#include "fs/qmp/error.h"
#include "fs/qmp/message.h"
#include "graph/escape.h"

#include <string.h>

enum { TELL_KERNEL_MS = 500 };

static JsonNode *negotiate(BgfsQmpSession *session, const BgfsQmpCommand *command, JsonObject *arguments,
                           GError **error)
{
  if (!bgfs_qmp_check_arguments(command->arguments, arguments, error))
    return NULL;
  JsonArray *enable =
      json_object_has_member(arguments, "enable") ? json_object_get_array_member(arguments, "enable") : NULL;
  if (enable && json_array_get_length(enable) > 0) {
    g_autofree char *shown = bg_escape(json_array_get_string_element(enable, 0));
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Capability '%s' not available", shown);
    return NULL;
  }
  session->negotiated = true;
  return bgfs_qmp_done();
}

static JsonNode *call(BgfsQmpSession *session, const BgfsQmpCommand *command, JsonObject *arguments, GError **error)
{
  const BgfsQmpMount *mount = session->mount;
  if (!bgfs_qmp_check_arguments(command->arguments, arguments, error))
    return NULL;
  JsonNode *result = command->handler(mount, arguments, error);
  if (result && command->flags & BGFS_QMP_CHANGES_FILES && mount->notify)
    bgfs_notify_wait(mount->notify, TELL_KERNEL_MS);
  return result;
}

static JsonNode *execute(BgfsQmpSession *session, const BgfsQmpRequest *request, GError **error)
{
  const BgfsQmpCommand *command = bgfs_qmp_command_find(request->execute);
  if (!session->negotiated) {
    if (command && strcmp(command->name, "qmp_capabilities") == 0)
      return negotiate(session, command, request->arguments, error);
    bgfs_qmp_set_error(error, BGFS_QMP_COMMAND_NOT_FOUND, "Expecting capabilities negotiation with 'qmp_capabilities'");
    return NULL;
  }
  if (command)
    return call(session, command, request->arguments, error);
  g_autofree char *shown = bg_escape(request->execute);
  bgfs_qmp_set_error(error, BGFS_QMP_COMMAND_NOT_FOUND, "The command %s has not been found", shown);
  return NULL;
}

char *bgfs_qmp_dispatch(BgfsQmpSession *session, const char *text)
{
  g_autoptr(GError) error = NULL;
  g_auto(BgfsQmpRequest) request = {0};
  g_autoptr(JsonNode) result =
      bgfs_qmp_request_parse(&request, text, &error) ? execute(session, &request, &error) : NULL;
  return result ? bgfs_qmp_answer(result, request.id) : bgfs_qmp_refusal(error, request.id);
}

char *bgfs_qmp_dispatch_broken(const char *why)
{
  g_autoptr(GError) error = NULL;
  bgfs_qmp_set_error(&error, BGFS_QMP_GENERIC_ERROR, "JSON parse error, %s", why);
  return bgfs_qmp_refusal(error, NULL);
}

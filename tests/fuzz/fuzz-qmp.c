/* What a hostile peer sends over the control socket: bytes → values → requests → arguments; commands that touch nothing outside the graph are
 * carried out, too, on nodes that have no storage. */
#include "tests/fuzz/fuzz.h"

#include "fs/qmp/check.h"
#include "fs/qmp/dispatch.h"
#include "fs/qmp/framing.h"
#include "fs/qmp/message.h"

#include <string.h>

/* Commands that would open, make or read files of the host, or start work whose end depends on time, are only checked. */
static const char *const carried_out[] = {"qmp_capabilities",
                                          "query-version",
                                          "query-commands",
                                          "query-named-block-nodes",
                                          "query-jobs",
                                          "query-block-jobs",
                                          "block-dirty-bitmap-add",
                                          "block-dirty-bitmap-remove",
                                          "block-dirty-bitmap-clear",
                                          "block-dirty-bitmap-enable",
                                          "block-dirty-bitmap-disable",
                                          "block-dirty-bitmap-merge",
                                          "transaction",
                                          "block_resize",
                                          "blockdev-snapshot",
                                          "blockdev-snapshot-internal-sync",
                                          "blockdev-del",
                                          NULL};

typedef struct Peer {
  BgfsQmpMount mount;
  BgfsQmpSession session;
} Peer;

static void add_node(BgGraph *graph, const char *name)
{
  g_autoptr(BgDict) options = bg_dict_new();
  bg_dict_set(options, "driver", "null-co");
  bg_dict_set(options, "node-name", name);
  bg_dict_set(options, "size", "1M");
  bg_dict_set(options, "auto-read-only", "on");
  g_assert_nonnull(bg_graph_add(graph, options, NULL));
}

/* Made when the first command needs it, for most inputs have none. */
static void need_graph(Peer *peer)
{
  const BgPolicy policy = {0};
  if (peer->mount.graph)
    return;
  peer->mount.graph = bg_graph_new(&policy, NULL, NULL);
  add_node(peer->mount.graph, "n");
  add_node(peer->mount.graph, "m");
}

/* One line, and an object that either returns or refuses. */
static void check_answer(const char *answer)
{
  size_t length = strlen(answer);
  g_assert(length > 2 && strcspn(answer, "\r\n") == length - 2);
  g_autoptr(JsonNode) parsed = json_from_string(answer, NULL);
  g_assert(parsed && JSON_NODE_HOLDS_OBJECT(parsed));
  JsonObject *object = json_node_get_object(parsed);
  g_assert(json_object_has_member(object, "return") != json_object_has_member(object, "error"));
}

static bool is_only_checked(const char *text)
{
  g_auto(BgfsQmpRequest) request = {0};
  const BgfsQmpCommand *command =
      bgfs_qmp_request_parse(&request, text, NULL) ? bgfs_qmp_command_find(request.execute) : NULL;
  if (!command || g_strv_contains(carried_out, command->name))
    return false;
  g_autoptr(GError) error = NULL;
  g_assert(bgfs_qmp_check_arguments(command->arguments, request.arguments, &error) == !error);
  return true;
}

static void take_value(Peer *peer, const char *text)
{
  if (is_only_checked(text))
    return;
  need_graph(peer);
  g_autofree char *answer = bgfs_qmp_dispatch(&peer->session, text);
  check_answer(answer);
}

/* The frames of the bytes, which come in pieces of so many, one line each. `peer` (NULL: nobody) takes the values. */
static char *take(const char *bytes, size_t length, size_t piece, Peer *peer)
{
  BgfsQmpFraming *framing = bgfs_qmp_framing_new();
  GString *frames = g_string_new(NULL);
  size_t idle = 0; /* calls in a row that took nothing: a word ends where something else begins */
  for (size_t at = 0; at < length;) {
    size_t taken;
    const char *text;
    BgfsQmpFrame frame = bgfs_qmp_framing_feed(framing, bytes + at, MIN(piece, length - at), &taken, &text);
    g_assert(taken <= MIN(piece, length - at));
    idle = taken ? 0 : idle + 1;
    g_assert(idle < 2);
    at += taken;
    if (frame == BGFS_QMP_FRAME_PARTIAL)
      continue;
    g_string_append_printf(frames, "%d %s\n", frame, text);
    if (peer && frame == BGFS_QMP_FRAME_VALUE)
      take_value(peer, text);
    g_autofree char *broken = frame == BGFS_QMP_FRAME_BROKEN ? bgfs_qmp_dispatch_broken(text) : NULL;
    if (broken)
      check_answer(broken);
  }
  bgfs_qmp_framing_free(framing);
  return g_string_free(frames, FALSE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  Peer peer = {0};
  peer.session.mount = &peer.mount;
  peer.session.negotiated = true;
  g_autofree char *whole = take((const char *)data, size, size, &peer);
  g_autofree char *split = take((const char *)data, size, 1, NULL);
  g_assert_cmpstr(whole, ==, split);
  if (peer.mount.graph)
    g_assert(bg_graph_close(peer.mount.graph, NULL));
  return 0;
}

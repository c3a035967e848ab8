/* QMP's messages as text: requests taken apart, answers and events put together. */
#ifndef BGFS_QMP_MESSAGE_H
#define BGFS_QMP_MESSAGE_H

#include <json-glib/json-glib.h>
#include <stdbool.h>
#include <stdint.h>

/* {"execute": …, "arguments": …, "id": …} */
typedef struct BgfsQmpRequest {
  JsonNode *root;        /* owns the rest; NULL: it was no JSON */
  const char *execute;   /* NULL iff it is no request */
  JsonObject *arguments; /* never NULL in a request */
  JsonNode *id;          /* NULL: none, or not found */
  JsonObject *none;      /* the arguments where there are none */
} BgfsQmpRequest;

/* Takes one value, bounded by framing.h, apart. False and error if it is no request; its id is found where that can be. Clear it
 * in any case. */
bool bgfs_qmp_request_parse(BgfsQmpRequest *request, const char *text, GError **error);
void bgfs_qmp_request_clear(BgfsQmpRequest *request);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BgfsQmpRequest, bgfs_qmp_request_clear)

/* ── one line each, ASCII, with CR and LF at its end; the caller frees ── */

/* What tells who speaks: `version` as query-version has it. */
char *bgfs_qmp_greeting(JsonNode *version);
/* `id` may be NULL. */
char *bgfs_qmp_answer(JsonNode *result, JsonNode *id);
char *bgfs_qmp_refusal(const GError *error, JsonNode *id);
/* `data` may be NULL; `time` is in µs since the epoch. */
char *bgfs_qmp_event(const char *name, JsonObject *data, int64_t time);

#endif

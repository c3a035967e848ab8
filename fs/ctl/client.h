/* The other end of a control socket: commands and their answers, and the events that come between. One thread. */
#ifndef BGFS_CTL_CLIENT_H
#define BGFS_CTL_CLIENT_H

#include <json-glib/json-glib.h>
#include <stdbool.h>

#define BGFS_CTL_MAX_ANSWER (64u * 1024 * 1024) /* bytes of one message */
#define BGFS_CTL_MAX_TOKENS (4u * 1024 * 1024)  /* brackets, braces, colons and commas of one message */
#define BGFS_CTL_MAX_EVENTS 65536u              /* that wait to be taken; the oldest are dropped beyond */
#define BGFS_CTL_FOREVER    (-1)

typedef struct BgfsCtlClient BgfsCtlClient;

/* Connects, hears the greeting and ends the negotiation, in `timeout` ms. `timeout` bounds every command later, too. NULL: ETIMEDOUT, ECONNREFUSED,
 * EPROTO where somebody else speaks there … */
BgfsCtlClient *bgfs_ctl_client_new(const char *path, int timeout, GError **error);
void bgfs_ctl_client_free(BgfsCtlClient *client); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgfsCtlClient, bgfs_ctl_client_free)

/* Carries a command out. `arguments` is taken; NULL: none. What was returned is the caller's. NULL: what the server says (EINVAL),
 * ETIMEDOUT, EPIPE where it hung up; after the last two the client is of no use any more. */
JsonNode *bgfs_ctl_client_call(BgfsCtlClient *client, const char *command, JsonObject *arguments, GError **error);
/* The same where nothing of interest is returned. */
bool bgfs_ctl_client_do(BgfsCtlClient *client, const char *command, JsonObject *arguments, GError **error);

/* From now on a command is not waited for any longer once `wake` (a descriptor; -1: none) can be read: EINTR, and it may be carried out all
 * the same. */
void bgfs_ctl_client_set_wake(BgfsCtlClient *client, int wake);

/* The next event, the caller's: an object with "event", a string, and "data", an object. Waits for `timeout` ms, or until `wake` (a descriptor; -1:
 * none) can be read. NULL without an error: none came; with one: EPIPE, EPROTO. */
JsonObject *bgfs_ctl_client_event(BgfsCtlClient *client, int timeout, int wake, GError **error);

/* The process at the other end. -1: unknown. */
int bgfs_ctl_client_peer(const BgfsCtlClient *client);

#endif

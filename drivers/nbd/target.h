/* Where an export is and how to get there, out of the options or a URI. */
#ifndef BG_NBD_TARGET_H
#define BG_NBD_TARGET_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum { BG_NBD_INET, BG_NBD_UNIX } BgNbdServerType;

typedef struct BgNbdOptions {
  char *filename;  /* a URI, in the place of server.* and export */
  int server_type; /* BgNbdServerType */
  char *host, *port, *path;
  char *export;
  char *tls_creds; /* a directory (X.509) or a file (pre-shared keys) */
  char *tls_username;
  uint64_t reconnect_delay, open_timeout; /* seconds */
} BgNbdOptions;

typedef struct BgNbdTarget {
  char *host, *port; /* NULL: a unix socket */
  char *path;        /* of the socket; NULL: TCP */
  char *export;      /* "": the server's default */
  bool tls;
  char *tls_creds, *tls_username; /* NULL: libnbd's */
  char *uri;                      /* for messages, and as the node's file name */
  uint64_t reconnect_delay, open_timeout;
} BgNbdTarget;

/* Looks up nothing. NULL: EINVAL, one line that names the option or the URI's part. */
BgNbdTarget *bg_nbd_target_new(const BgNbdOptions *options, GError **error);
void bg_nbd_target_free(BgNbdTarget *target); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgNbdTarget, bg_nbd_target_free)

#endif

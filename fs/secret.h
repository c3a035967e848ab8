/* Secrets as the command line tells of them. Never in clear on it: everybody can list the processes. */
#ifndef BGFS_SECRET_H
#define BGFS_SECRET_H

#include "graph/secret.h"

/* The secrets of some --secret texts (char *): id=ID[,file=PATH][,format=raw|base64], optionally after "secret," or "qom-type=secret,". What is in
 * the file counts as it is, a newline at its end too; file=- is standard input; without a file the terminal is asked. NULL on error. */
BgSecrets *bgfs_secrets_load(const GPtrArray *texts, GError **error);

/* Adds a secret that is in `file` or is `data` (the other one NULL); `base64`: in that form. */
bool bgfs_secret_define(BgSecrets *secrets, const char *id, const char *file, const char *data, bool base64,
                        GError **error);

#endif

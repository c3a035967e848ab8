/* Secrets as the command line tells of them. Never in clear on it: everybody can list the processes. */
#ifndef BGFS_SECRET_H
#define BGFS_SECRET_H

#include "graph/secret.h"

/* The secrets of some --secret texts (char *): id=ID[,file=PATH][,format=raw|base64], optionally after "secret," or "qom-type=secret,". What is in
 * the file counts as it is, a newline at its end too; file=- is standard input; without a file the terminal is asked. NULL on error. */
BgSecrets *bgfs_secrets_load(const GPtrArray *texts, GError **error);

#endif

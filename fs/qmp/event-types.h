/* The events, for the schema and the manual. */
#ifndef BGFS_QMP_EVENT_TYPES_H
#define BGFS_QMP_EVENT_TYPES_H

#include "fs/qmp/type.h"

typedef struct BgfsQmpEventType {
  const char *name;
  const BgfsQmpType *data; /* an OBJECT */
  const char *help;        /* sentences */
} BgfsQmpEventType;

/* Ends with a NULL name. */
extern const BgfsQmpEventType bgfs_qmp_event_types[];

#endif

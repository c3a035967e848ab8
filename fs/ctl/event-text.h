/* An event as one line for people. */
#ifndef BGFS_CTL_EVENT_TEXT_H
#define BGFS_CTL_EVENT_TEXT_H

#include <json-glib/json-glib.h>

/* "12:34:56.789012 JOB_STATUS_CHANGE id=commit0 status=running", the time in local time; what was sent without one has none. The caller frees. */
char *bgfs_ctl_event_text(JsonObject *event);

#endif

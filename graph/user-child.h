/* A user seen as a child, for driver code that wants to work on a node without a parent node (create). */
#ifndef BG_USER_CHILD_H
#define BG_USER_CHILD_H

#include "graph/user.h"

typedef struct BgUserChild {
  BgChild child;
  BgUser *user;
} BgUserChild;

/* Calls of the child go to the user, which must outlive it and hold what they need. */
void bg_user_child_init(BgUserChild *child, const char *name, BgRole role, BgUser *user);

#endif

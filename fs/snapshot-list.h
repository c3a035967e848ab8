/* Lists of internal snapshots for people and programs, as qemu-img prints them. */
#ifndef BGFS_SNAPSHOT_LIST_H
#define BGFS_SNAPSHOT_LIST_H

#include "drivers/snapshot.h"

/* On stdout; `snapshots`: BgSnapshot *. Nothing if there are none. */
void bgfs_snapshot_list_text(const GPtrArray *snapshots);
/* An array, be it empty. */
void bgfs_snapshot_list_json(const GPtrArray *snapshots);

#endif

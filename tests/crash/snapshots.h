/* Which internal snapshots an image must have after a crash, and what each must show. Knows nothing of formats. Time is counted as in
 * shadow.h; snapshots are known by their names, which differ. */
#ifndef CRASH_SNAPSHOTS_H
#define CRASH_SNAPSHOTS_H

#include "tests/drivers/core-shim.h"

typedef struct Snapshots Snapshots;

typedef struct SnapshotContent {
  const uint8_t *bytes; /* owned by the Snapshots */
  uint64_t size;
} SnapshotContent;

Snapshots *snapshots_new(void);
Snapshots *snapshots_copy(const Snapshots *snapshots);
void snapshots_free(Snapshots *snapshots); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Snapshots, snapshots_free)

/* How many there are now, and the name of one of them (owned). */
guint snapshots_count(const Snapshots *snapshots);
const char *snapshots_name(const Snapshots *snapshots, guint index);
SnapshotContent snapshots_content(const Snapshots *snapshots, const char *name);

/* One of this name and content (copied) was taken, or could not be taken (`done` is false): then it may be there until the next flush,
 * and shows nothing that counts. */
void snapshots_take(Snapshots *snapshots, const char *name, size_t begin, SnapshotContent content, bool done);
/* It was deleted, or could not be deleted: then it may be gone until the next flush. */
void snapshots_delete(Snapshots *snapshots, const char *name, size_t begin, bool done);
/* All changes so far are durable from `end` on. */
void snapshots_flushed(Snapshots *snapshots, size_t end);

/* The record begins anew. Those of the open node that are not known (a foreign program took them) show `content`. */
void snapshots_restart(Snapshots *snapshots, Shim *shim, SnapshotContent content);

/* Whether the open node has the snapshots that it may have after a cut at `cut`, each with its content. */
bool snapshots_allow(const Snapshots *snapshots, size_t cut, Shim *shim, GError **error);
/* Whether it has those that there are now. */
bool snapshots_equal(const Snapshots *snapshots, Shim *shim, GError **error);

#endif

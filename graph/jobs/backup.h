/* The backup job (QEMU's blockdev-backup): a disk as it was at one moment. */
#ifndef BG_JOB_BACKUP_H
#define BG_JOB_BACKUP_H

#include "graph/jobs/group.h"
#include "graph/jobs/mirror.h"

/* What becomes of the bitmap that said what to copy (QEMU's BitmapSyncMode). */
typedef enum {
  BG_BITMAP_ON_SUCCESS, /* it tells of the time since the backup, unless that fails: then nothing of it is lost */
  BG_BITMAP_NEVER,      /* it goes on as if there were no backup */
  BG_BITMAP_ALWAYS      /* of a backup that fails it keeps what was not copied */
} BgBitmapMode;

typedef struct BgJobBackup {
  BgJobSettings settings;
  BgNode *source, *target; /* a target that is smaller grows; one that is larger is refused */
  BgSync sync;             /* INCREMENTAL is BITMAP with ON_SUCCESS */
  const char *bitmap;      /* of the source; with INCREMENTAL and BITMAP, and only there */
  BgBitmapMode bitmap_mode;
  BgOnError on_source_error, on_target_error; /* IGNORE: tries the same again, later */
} BgJobBackup;

/* Starts it: the target becomes what the source is when this returns, whatever is written to the source meanwhile. Who is about to write
 * over what is not copied yet waits until it is. Where that copy fails the writer goes on all the same, and the job fails: the disk comes before
 * its backup. With sync NONE only such copies are made, until the job is cancelled; the target then usually stands on the source.
 * Nobody else writes the target, nor, around the source, what lies below it.
 *
 * A reference; NULL: EINVAL, ENOENT for the bitmap, EBUSY naming who stands in the way, EROFS, EACCES …, EFBIG where the target cannot
 * grow. A refusal changes nothing. */
BgJob *bg_job_backup(BgGraph *graph, const BgJobBackup *backup, GError **error);

/* For transactions (transaction.h): the disk as it is at their instant. The job exists from now on. `group` as in bg_job_prepare(). */
struct BgStep *bg_backup_step_new(BgGraph *graph, const BgJobBackup *options, BgJobGroup *group, GError **error);

#endif

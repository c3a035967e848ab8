/* The directory of persistent bitmaps, read and checked. */
#ifndef BG_QCOW2_BITMAPS_H
#define BG_QCOW2_BITMAPS_H

#include "drivers/bitmap.h"
#include "drivers/qcow2/header.h"

/* One of them, as its entry in the directory says. */
typedef struct Qcow2Bitmap {
  char *name;  /* made printable */
  bool listed; /* the directory has an entry for it, at `at` */
  uint64_t at;
  uint64_t table_offset;
  uint32_t table_entries;
  uint32_t flags; /* as on disk */
  uint8_t type, granularity_bits;
  char *unfit; /* why nobody can use it; NULL: nothing speaks against it */
  bool placed; /* its table is where one can be: aligned, in the file */

  /* While the image is writable. */
  bool marked;     /* in use by us; of one that is not listed: that its entry is to be so */
  bool touched;    /* it was changed other than by writers, or is going to be */
  bool gone;       /* it shall be kept no more */
  bool records;    /* as the flags shall say when it is not in use */
  uint64_t *table; /* host byte order; NULL: not loaded */
  BgBitmap *bits;  /* the core's; NULL: not loaded */
} Qcow2Bitmap;

typedef struct Qcow2Bitmaps {
  uint8_t *directory;    /* as on disk; NULL: no bitmaps */
  uint64_t offset, size; /* of it, bytes */
  Qcow2Bitmap *list;
  uint32_t count;
  char *damage;    /* why the directory as a whole cannot be used; NULL: it can */
  bool owed;       /* a mark may be missing on disk, whatever the file reads as */
  GArray *dropped; /* uint64_t: clusters that nothing on disk names once the directory is durable */
} Qcow2Bitmaps;

/* Reads what the header names; nothing where its autoclear bit does not vouch for it. A directory that cannot be true is `damage`, no
 * error. Free with qcow2_bitmaps_clear(). On error (the storage's, ENOMEM) *bitmaps is untouched. */
bool qcow2_bitmaps_read(BgChild *file, const Qcow2Header *header, Qcow2Bitmaps *bitmaps, GError **error);
void qcow2_bitmaps_clear(Qcow2Bitmaps *bitmaps);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Qcow2Bitmaps, qcow2_bitmaps_clear)

/* Bytes of its entry in a directory. */
uint64_t qcow2_bitmap_entry_size(const Qcow2Bitmaps *bitmaps, const Qcow2Bitmap *bitmap);
/* Takes those off the list that are gone and not listed. */
void qcow2_bitmaps_compact(Qcow2Bitmaps *bitmaps);

/* Entries of the table of a bitmap for a disk of `size` bytes. */
uint64_t qcow2_bitmap_entries_for(uint64_t size, unsigned granularity_bits, unsigned cluster_bits);

#endif

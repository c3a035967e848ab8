/* The first cluster of an image: header, extensions, the backing file's name. */
#ifndef BG_QCOW2_HEAD_H
#define BG_QCOW2_HEAD_H

#include "drivers/qcow2/image.h"

enum { QCOW2_SECTOR = 512 }; /* bytes that a power cut leaves old or new */

typedef struct Qcow2Head {
  uint8_t *bytes;
  size_t size;          /* of the cluster */
  size_t first;         /* where extensions begin */
  size_t end;           /* behind the last one, its end mark included */
  bool marked;          /* there is an end mark */
  size_t format_at;     /* the extension with the backing file's format; 0: there is none */
  size_t format_padded; /* bytes of its data, padded */
  size_t name_at, name_length;
} Qcow2Head;

/* header_lock held. The header was checked when the image was opened, and nobody else writes it. 0 or -errno. */
int qcow2_head_read(Qcow2 *q, Qcow2Head *head);
void qcow2_head_clear(Qcow2Head *head);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Qcow2Head, qcow2_head_clear)

/* What a length takes up among extensions. */
static inline size_t qcow2_head_padded(size_t length)
{
  return (length + 7) & ~(size_t)7;
}

/* Puts the backing file's name, and where it is, into the bytes. */
void qcow2_head_put_name(Qcow2Head *head, size_t at, const void *name, size_t length);
/* Where a name of that length lies neither on extensions that end at `end` nor on the old name; 0: nowhere. */
size_t qcow2_head_place_beside(const Qcow2Head *head, size_t end, size_t length);

/* Writes these bytes, and makes them durable. 0 or -errno. */
int qcow2_head_write(Qcow2 *q, const Qcow2Head *head, size_t at, size_t length);

#endif

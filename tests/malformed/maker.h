/* Makes sound qcow2 images with the driver itself, on memory, and then spoils them. */
#ifndef MALFORMED_MAKER_H
#define MALFORMED_MAKER_H

#include "drivers/child.h"

#include <glib.h>

/* The sound image that a kind begins with. */
typedef enum {
  PLAIN,    /* version 3, clusters of 4 KiB, a disk of 8 MiB */
  VERSION2, /* the same in version 2 */
  EXTENDED, /* clusters of 16 KiB with extended L2 entries */
  SMALL,    /* clusters of 512 bytes */
  LARGE,    /* clusters of 2 MiB */
  ZSTD,     /* as PLAIN, compressed clusters are of zstd */
  BASES
} Base;

/* Where something is in an image. */
typedef enum { HEADER, L1, L2, REFTABLE, REFBLOCK, DATA, END } Place;

typedef struct Maker {
  const char *folder; /* where the image goes as disk.qcow2, and what it refers to */
  BgChild *file;
  uint8_t *bytes; /* of the image; growing is up to maker_append() */
  uint64_t cluster;
  uint64_t cut; /* bytes that the file shall have in the end; UINT64_MAX: as many as it has */
} Maker;

/* The disk of every base: its first 16 KiB are data, then some zeros that are told, data again at 2 MiB, holes. */
void maker_init(Maker *maker, Base base, const char *folder);
void maker_clear(Maker *maker);
/* The image as disk.qcow2 in the folder, sparse. Ends the process with MAKER_UNFIT where the file system has no files that large. */
enum { MAKER_UNFIT = 77 };
void maker_save(const Maker *maker);

uint64_t maker_place(const Maker *maker, Place place);
void maker_put(Maker *maker, uint64_t offset, unsigned width, uint64_t value);
uint64_t maker_get(const Maker *maker, uint64_t offset, unsigned width);

/* So many more bytes (rounded to clusters) at the image's end, zeros with a refcount of one; where. */
uint64_t maker_append(Maker *maker, uint64_t bytes);
/* Adds a header extension that says it has `said` bytes; `length` of them are there. */
void maker_extension(Maker *maker, uint32_t type, const void *data, size_t length, uint32_t said);
/* Names a backing file. `format` NULL: not recorded. */
void maker_backing(Maker *maker, const char *name, const char *format);
/* The name of a file in the folder; caller frees. */
char *maker_path(const Maker *maker, const char *name);

#endif

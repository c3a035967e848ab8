/* Something to test a driver on: a fresh image or storage of it, and a shadow that says what must be read. */
#ifndef CONFORMANCE_H
#define CONFORMANCE_H

#include "tests/drivers/core-shim.h"
#include "tests/drivers/nbdkit.h"

/* A way to make and open what a driver is tested on. */
typedef struct Variant {
  const char *driver;
  const char *label; /* in messages; NULL: the plain one */
  const char *const *create_options, *const *open_options;
  bool direct;
  bool compressed; /* data that gets smaller is written, in the driver's special form */
} Variant;

/* The plain variant of every driver of the registry, and special ones; those that need a server only where there is one. Free with g_array_unref(); elements are Variants. */
GArray *conformance_variants(void);

typedef struct Subject {
  const Variant *variant;
  const BgDriver *driver;
  bool forgets;           /* what is written is never read again */
  BgChild *file;          /* a memory child; NULL for protocols */
  char *directory, *path; /* of protocols on files */
  NbdServer *server;      /* of protocols that need one */
  Shim *shim;             /* NULL while closed */
  uint8_t *shadow;        /* SHADOW_MAX bytes, zeros past `size` */
  uint64_t size;
} Subject;

#define SUBJECT_SIZE ((uint64_t)(2 << 20) + 1536)
#define SHADOW_MAX   ((uint64_t)4 << 20)

/* A new image of SUBJECT_SIZE bytes, closed. */
void subject_init(Subject *s, const Variant *variant);
void subject_clear(Subject *s);
bool subject_open(Subject *s, GError **error);
void subject_close(Subject *s);

/* Each does to the node and, where that worked, to the shadow. 0 or -errno. */
int subject_write(Subject *s, uint64_t offset, uint64_t length, uint32_t seed);
int subject_zero(Subject *s, uint64_t offset, uint64_t length, BgZeroFlags flags);
int subject_discard(Subject *s, uint64_t offset, uint64_t length);
/* A driver may refuse to be resized at all, or to be made smaller: then 0, nothing changed. */
int subject_resize(Subject *s, uint64_t size);
/* Asserts that a range reads as the shadow has it. -errno where it cannot be read. */
int subject_check(Subject *s, uint64_t offset, uint64_t length);
/* The whole node, its size, and that what is mapped as zeros is. */
void subject_check_all(Subject *s);

#endif

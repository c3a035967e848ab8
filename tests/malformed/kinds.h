/* Kinds of malformed qcow2 images: how each is made, and what must become of it. */
#ifndef MALFORMED_KINDS_H
#define MALFORMED_KINDS_H

#include "drivers/qcow2/layout.h"
#include "tests/malformed/maker.h"

/* What must happen. */
typedef enum {
  REFUSED,   /* not opened; one line says why */
  LOCKED,    /* the same, but what it is can be told */
  EIO_THERE, /* opened; some of the disk is EIO */
  READS      /* opened, and all of it can be read */
} Outcome;

typedef struct Kind Kind;
struct Kind {
  const char *name;
  Base base;
  Outcome outcome;
  const char *check; /* the exit status of `check` */
  const char *
      says; /* what the line, or the log after a writer came, must match (an extended regular expression); NULL: anything */

  /* A field of `width` bytes (0: none), `offset` bytes into the place `at`: gets the value, and where the place `plus` begins added to it. */
  Place at;
  uint64_t offset;
  unsigned width;
  uint64_t value;
  Place plus;

  /* What more is to be done. NULL: nothing. */
  void (*make)(Maker *maker);
};

/* Ended by one without a name. */
extern const Kind header_kinds[], table_kinds[], compressed_kinds[], list_kinds[], file_kinds[];

#endif

/* Makes malformed qcow2 images by name, each small and the same every time.
 *
 * usage: make --list          NAME OUTCOME CHECK SAYS of each kind, one a line, with tabs between them
 *        make NAME FOLDER     FOLDER/disk.qcow2, and the files that it refers to; exit 77: not on this file system */
#include "tests/malformed/kinds.h"

#include <stdio.h>

static const Kind *const tables[] = {header_kinds, table_kinds, compressed_kinds, list_kinds, file_kinds};
static const char *const outcomes[] = {
    [REFUSED] = "refused", [LOCKED] = "locked", [EIO_THERE] = "eio", [READS] = "reads"};

static void make(const Kind *kind, const char *folder)
{
  Maker maker;
  maker_init(&maker, kind->base, folder);
  if (kind->width)
    maker_put(&maker, maker_place(&maker, kind->at) + kind->offset, kind->width,
              kind->value + maker_place(&maker, kind->plus));
  if (kind->make)
    kind->make(&maker);
  maker_save(&maker);
  maker_clear(&maker);
}

int main(int argc, char **argv)
{
  bool list = argc == 2 && strcmp(argv[1], "--list") == 0;
  if (!list && argc != 3) {
    fprintf(stderr, "usage: make --list | NAME FOLDER\n");
    return 2;
  }
  for (size_t i = 0; i < G_N_ELEMENTS(tables); i++)
    for (const Kind *kind = tables[i]; kind->name; kind++)
      if (list) {
        printf("%s\t%s\t%s\t%s\n", kind->name, outcomes[kind->outcome], kind->check, kind->says ? kind->says : ".");
      } else if (strcmp(kind->name, argv[1]) == 0) {
        make(kind, argv[2]);
        return 0;
      }
  if (!list)
    fprintf(stderr, "make: there is no kind '%s'\n", argv[1]);
  return list ? 0 : 2;
}

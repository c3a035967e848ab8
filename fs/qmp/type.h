/* The types of arguments and results, as tables: what check.h checks arguments with, and what the schema and the manual are made from. */
#ifndef BGFS_QMP_TYPE_H
#define BGFS_QMP_TYPE_H

#include <stdbool.h>

typedef enum {
  BGFS_QMP_STRING,
  BGFS_QMP_INT,
  BGFS_QMP_NUMBER,
  BGFS_QMP_BOOL,
  BGFS_QMP_NULL,
  BGFS_QMP_ANY,
  BGFS_QMP_ENUM,
  BGFS_QMP_ARRAY,
  BGFS_QMP_OBJECT,
  BGFS_QMP_ALTERNATE,       /* of values that JSON tells apart */
  BGFS_QMP_BLOCKDEV_OPTIONS /* a node: the members are its driver's, and every node's, options and children */
} BgfsQmpKind;

typedef struct BgfsQmpType BgfsQmpType;

/* Of an object. A table of them ends with a NULL name. */
typedef struct BgfsQmpMember {
  const char *name;
  const BgfsQmpType *type;
  bool optional;
  const char *help; /* a noun phrase, no full stop */
} BgfsQmpMember;

/* The members that an object has besides, for one value of its tag. A table of them ends with a NULL value. */
typedef struct BgfsQmpVariant {
  const char *value;
  const BgfsQmpType *type; /* an OBJECT */
} BgfsQmpVariant;

struct BgfsQmpType {
  BgfsQmpKind kind;
  const char *name;                       /* for people: "BlockDirtyBitmap" */
  const char *const *values;              /* ENUM: NULL-terminated */
  const BgfsQmpType *element;             /* ARRAY */
  const BgfsQmpMember *members;           /* OBJECT */
  const char *tag;                        /* OBJECT: the member, an ENUM, that chooses the variant; NULL: none */
  const BgfsQmpVariant *variants;         /* NULL iff there is no tag; a value without one adds no members */
  const BgfsQmpType *const *alternatives; /* ALTERNATE: NULL-terminated */
};

extern const BgfsQmpType bgfs_qmp_string, bgfs_qmp_int, bgfs_qmp_number, bgfs_qmp_bool, bgfs_qmp_null, bgfs_qmp_any,
    bgfs_qmp_strings, bgfs_qmp_anys, bgfs_qmp_nothing, bgfs_qmp_blockdev_options, bgfs_qmp_blockdev_options_list;

/* What messages call it: "string", "object". */
const char *bgfs_qmp_type_word(const BgfsQmpType *type);

#endif

#include "fs/qmp/type.h"

#include <stddef.h>

static const BgfsQmpMember no_members[] = {{NULL}};

const BgfsQmpType bgfs_qmp_string = {.kind = BGFS_QMP_STRING, .name = "str"};
const BgfsQmpType bgfs_qmp_int = {.kind = BGFS_QMP_INT, .name = "int"};
const BgfsQmpType bgfs_qmp_number = {.kind = BGFS_QMP_NUMBER, .name = "number"};
const BgfsQmpType bgfs_qmp_bool = {.kind = BGFS_QMP_BOOL, .name = "bool"};
const BgfsQmpType bgfs_qmp_null = {.kind = BGFS_QMP_NULL, .name = "null"};
const BgfsQmpType bgfs_qmp_any = {.kind = BGFS_QMP_ANY, .name = "any"};
const BgfsQmpType bgfs_qmp_strings = {.kind = BGFS_QMP_ARRAY, .name = "[str]", .element = &bgfs_qmp_string};
const BgfsQmpType bgfs_qmp_anys = {.kind = BGFS_QMP_ARRAY, .name = "[any]", .element = &bgfs_qmp_any};
const BgfsQmpType bgfs_qmp_nothing = {.kind = BGFS_QMP_OBJECT, .name = "Nothing", .members = no_members};
const BgfsQmpType bgfs_qmp_blockdev_options = {.kind = BGFS_QMP_BLOCKDEV_OPTIONS, .name = "BlockdevOptions"};
const BgfsQmpType bgfs_qmp_blockdev_options_list = {
    .kind = BGFS_QMP_ARRAY, .name = "[BlockdevOptions]", .element = &bgfs_qmp_blockdev_options};

const char *bgfs_qmp_type_word(const BgfsQmpType *type)
{
  static const char *const words[] = {
      [BGFS_QMP_STRING] = "string",
      [BGFS_QMP_INT] = "integer",
      [BGFS_QMP_NUMBER] = "number",
      [BGFS_QMP_BOOL] = "boolean",
      [BGFS_QMP_NULL] = "null",
      [BGFS_QMP_ANY] = "any",
      [BGFS_QMP_ENUM] = "string",
      [BGFS_QMP_ARRAY] = "array",
      [BGFS_QMP_OBJECT] = "object",
      [BGFS_QMP_ALTERNATE] = NULL,
      [BGFS_QMP_BLOCKDEV_OPTIONS] = "object",
  };
  return words[type->kind] ? words[type->kind] : type->name;
}

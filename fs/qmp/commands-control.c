#include "config.h"

#include "fs/image-info.h"
#include "fs/qmp/command.h"
#include "fs/qmp/error.h"
#include "fs/qmp/schema.h"

/* The version of QEMU whose commands these are. */
enum { QEMU_MAJOR = 7, QEMU_MINOR = 2, QEMU_MICRO = 0 };

JsonNode *bgfs_qmp_version(void)
{
  JsonObject *version = json_object_new(), *qemu = json_object_new();
  json_object_set_int_member(qemu, "major", QEMU_MAJOR);
  json_object_set_int_member(qemu, "minor", QEMU_MINOR);
  json_object_set_int_member(qemu, "micro", QEMU_MICRO);
  json_object_set_object_member(version, "qemu", qemu);
  json_object_set_string_member(version, "package", PACKAGE_STRING);
  return bgfs_json_of_object(version);
}

/* As soon as the client has negotiated: dispatch.c answers the first call. */
static JsonNode *capabilities(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  (void)mount;
  (void)arguments;
  bgfs_qmp_set_error(error, BGFS_QMP_COMMAND_NOT_FOUND,
                     "Capabilities negotiation is already complete, command ignored");
  return NULL;
}

static JsonNode *query_version(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  (void)mount;
  (void)arguments;
  (void)error;
  return bgfs_qmp_version();
}

static JsonNode *query_commands(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  (void)mount;
  (void)arguments;
  (void)error;
  JsonArray *names = json_array_new();
  for (const BgfsQmpCommand *const *table = bgfs_qmp_commands(); *table; table++) {
    for (const BgfsQmpCommand *command = *table; command->name; command++) {
      JsonObject *name = json_object_new();
      json_object_set_string_member(name, "name", command->name);
      json_array_add_object_element(names, name);
    }
  }
  return bgfs_json_of_array(names);
}

static JsonNode *query_schema(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  (void)mount;
  (void)arguments;
  (void)error;
  return bgfs_qmp_schema();
}

static JsonNode *quit(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  (void)arguments;
  (void)error;
  mount->quit(mount->quit_data);
  return bgfs_qmp_done();
}

/* ── types ── */

static const BgfsQmpMember capabilities_members[] = {
    {"enable", &bgfs_qmp_strings, true, "capabilities to enable, of those in the greeting: there are none"},
    {NULL},
};
static const BgfsQmpType capabilities_type = {
    .kind = BGFS_QMP_OBJECT, .name = "QMPCapabilities", .members = capabilities_members};

static const BgfsQmpMember triple_members[] = {
    {"major", &bgfs_qmp_int, false, "first number"},
    {"minor", &bgfs_qmp_int, false, "second number"},
    {"micro", &bgfs_qmp_int, false, "third number"},
    {NULL},
};
static const BgfsQmpType triple_type = {.kind = BGFS_QMP_OBJECT, .name = "VersionTriple", .members = triple_members};

static const BgfsQmpMember version_members[] = {
    {"qemu", &triple_type, false, "the version of QEMU whose commands these are"},
    {"package", &bgfs_qmp_string, false, "this program and its version"},
    {NULL},
};
static const BgfsQmpType version_type = {.kind = BGFS_QMP_OBJECT, .name = "VersionInfo", .members = version_members};

static const BgfsQmpMember command_members[] = {
    {"name", &bgfs_qmp_string, false, "the command's name"},
    {NULL},
};
static const BgfsQmpType command_type = {.kind = BGFS_QMP_OBJECT, .name = "CommandInfo", .members = command_members};
static const BgfsQmpType commands_type = {.kind = BGFS_QMP_ARRAY, .name = "[CommandInfo]", .element = &command_type};

const BgfsQmpCommand bgfs_qmp_control_commands[] = {
    {"qmp_capabilities", capabilities, &capabilities_type, &bgfs_qmp_nothing, 0,
     "Ends the negotiation with which each connection begins. Until then every other command is refused, and no event "
     "is sent."},
    {"query-version", query_version, &bgfs_qmp_nothing, &version_type, 0, "Tells which program this is."},
    {"query-commands", query_commands, &bgfs_qmp_nothing, &commands_type, 0, "Lists the commands."},
    {"query-qmp-schema", query_schema, &bgfs_qmp_nothing, &bgfs_qmp_anys, 0,
     "Tells all commands and events with their types, in the form that QEMU gives this. The names of types mean "
     "nothing."},
    {"quit", quit, &bgfs_qmp_nothing, &bgfs_qmp_nothing, 0,
     "Takes the mount away, as SIGTERM does. Files that are open are served until they are closed; then the images are "
     "written out and released, and the program ends."},
    {NULL},
};

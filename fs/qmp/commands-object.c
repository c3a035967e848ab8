#include "fs/qmp/command.h"

#include "drivers/error.h"
#include "fs/qmp/error.h"
#include "fs/qmp/objects.h"
#include "fs/secret.h"
#include "graph/escape.h"
#include "graph/name.h"

#include <errno.h>
#include <string.h>

static const char *text(JsonObject *arguments, const char *member)
{
  return json_object_get_string_member_with_default(arguments, member, NULL);
}

static bool has_secret(const BgfsQmpMount *mount, const char *id)
{
  const BgSecret *secret;
  return mount->secrets && bg_secrets_choose(mount->secrets, id, &secret, NULL);
}

static bool check_id(const BgfsQmpMount *mount, const char *id, GError **error)
{
  if (!bg_name_valid(id))
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Parameter 'id' expects an identifier");
  else if (has_secret(mount, id) || bgfs_qmp_objects_has(mount->objects, id))
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR,
                       "attempt to add duplicate property '%s' to object (type 'container')", id);
  else
    return true;
  return false;
}

static bool add_secret(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  const char *file = text(arguments, "file"), *data = text(arguments, "data"), *format = text(arguments, "format");
  if (!file == !data) {
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR,
                       file ? "'file' and 'data' are mutually exclusive" : "Either 'file' or 'data' must be provided");
    return false;
  }
  if (!mount->secrets) {
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Secrets cannot be added here");
    return false;
  }
  return bgfs_secret_define(mount->secrets, text(arguments, "id"), file, data, format && strcmp(format, "base64") == 0,
                            error);
}

static bool add_credentials(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  const char *directory = text(arguments, "dir");
  if (!json_object_get_boolean_member_with_default(arguments, "verify-peer", TRUE)) {
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Servers are always verified: 'verify-peer' cannot be false");
    return false;
  }
  if (!g_file_test(directory, G_FILE_TEST_IS_DIR)) {
    g_autofree char *shown = bg_escape(directory);
    bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "Unable to access credentials %s: no such directory", shown);
    return false;
  }
  return bgfs_qmp_objects_add(mount->objects, text(arguments, "id"), directory);
}

static JsonNode *object_add(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  bool secret = strcmp(text(arguments, "qom-type"), "secret") == 0;
  if (!check_id(mount, text(arguments, "id"), error))
    return NULL;
  bool added = secret ? add_secret(mount, arguments, error) : add_credentials(mount, arguments, error);
  if (!added && error && !*error) /* somebody else was faster */
    check_id(mount, text(arguments, "id"), error);
  return added ? bgfs_qmp_done() : NULL;
}

static JsonNode *object_del(const BgfsQmpMount *mount, JsonObject *arguments, GError **error)
{
  const char *id = text(arguments, "id");
  if (bgfs_qmp_objects_remove(mount->objects, id) || (mount->secrets && bg_secrets_remove(mount->secrets, id, NULL)))
    return bgfs_qmp_done();
  g_autofree char *shown = bg_escape(id);
  bgfs_qmp_set_error(error, BGFS_QMP_GENERIC_ERROR, "object '%s' not found", shown);
  return NULL;
}

/* ── types ── */

static const char *const kinds[] = {"secret", "tls-creds-x509", NULL};
static const BgfsQmpType kind_type = {.kind = BGFS_QMP_ENUM, .name = "ObjectType", .values = kinds};
static const char *const formats[] = {"raw", "base64", NULL};
static const BgfsQmpType format_type = {.kind = BGFS_QMP_ENUM, .name = "QCryptoSecretFormat", .values = formats};
static const char *const endpoints[] = {"client", NULL};
static const BgfsQmpType endpoint_type = {
    .kind = BGFS_QMP_ENUM, .name = "QCryptoTLSCredsEndpoint", .values = endpoints};

static const BgfsQmpMember secret_members[] = {
    {"data", &bgfs_qmp_string, true, "secret: what it is"},
    {"file", &bgfs_qmp_string, true, "secret: the file that it is in"},
    {"format", &format_type, true, "secret: how that is written (default: raw)"},
    {NULL},
};
static const BgfsQmpType secret_type = {.kind = BGFS_QMP_OBJECT, .name = "SecretProperties", .members = secret_members};

static const BgfsQmpMember credentials_members[] = {
    {"dir", &bgfs_qmp_string, false, "tls-creds-x509: the directory of the certificates"},
    {"endpoint", &endpoint_type, true, "tls-creds-x509: for whom they are (default: client)"},
    {"verify-peer", &bgfs_qmp_bool, true, "tls-creds-x509: whether servers are verified (default: true)"},
    {NULL},
};
static const BgfsQmpType credentials_type = {
    .kind = BGFS_QMP_OBJECT, .name = "TlsCredsX509Properties", .members = credentials_members};

static const BgfsQmpVariant variants[] = {{"secret", &secret_type}, {"tls-creds-x509", &credentials_type}, {NULL}};
static const BgfsQmpMember object_members[] = {
    {"qom-type", &kind_type, false, "what it is"},
    {"id", &bgfs_qmp_string, false, "its name"},
    {NULL},
};
static const BgfsQmpType object_type = {.kind = BGFS_QMP_OBJECT,
                                        .name = "ObjectOptions",
                                        .members = object_members,
                                        .tag = "qom-type",
                                        .variants = variants};

static const BgfsQmpMember id_members[] = {{"id", &bgfs_qmp_string, false, "the object"}, {NULL}};
static const BgfsQmpType id_type = {.kind = BGFS_QMP_OBJECT, .name = "ObjectDel", .members = id_members};

const BgfsQmpCommand bgfs_qmp_object_commands[] = {
    {"object-add", object_add, &object_type, &bgfs_qmp_nothing, 0,
     "Defines a secret, which nodes name in options like encrypt.key-secret, or a client's certificates for TLS, which "
     "they name in "
     "tls-creds."},
    {"object-del", object_del, &id_type, &bgfs_qmp_nothing, 0,
     "Forgets a secret or certificates. Nodes that were opened with them stay open."},
    {NULL},
};

#include "fs/qmp/check.h"

#include <criterion/criterion.h>

static const char *const words[] = {"one", "two", NULL};
static const BgfsQmpType word = {.kind = BGFS_QMP_ENUM, .name = "Word", .values = words};
static const BgfsQmpMember two_members[] = {{"extra", &bgfs_qmp_int, false, ""}, {NULL}};
static const BgfsQmpType two = {.kind = BGFS_QMP_OBJECT, .name = "Two", .members = two_members};
static const BgfsQmpVariant variants[] = {{"two", &two}, {NULL}};
static const BgfsQmpMember tagged_members[] = {{"type", &word, false, ""}, {NULL}};
static const BgfsQmpType tagged = {
    .kind = BGFS_QMP_OBJECT, .name = "Tagged", .members = tagged_members, .tag = "type", .variants = variants};
static const BgfsQmpType tagged_list = {.kind = BGFS_QMP_ARRAY, .name = "[Tagged]", .element = &tagged};
static const BgfsQmpType *const either[] = {&bgfs_qmp_string, &tagged, &bgfs_qmp_null, NULL};
static const BgfsQmpType alternate = {.kind = BGFS_QMP_ALTERNATE, .name = "TaggedOrStr", .alternatives = either};
static const BgfsQmpMember members[] = {
    {"must", &bgfs_qmp_string, false, ""},
    {"may", &bgfs_qmp_bool, true, ""},
    {"number", &bgfs_qmp_number, true, ""},
    {"list", &tagged_list, true, ""},
    {"either", &alternate, true, ""},
    {"any", &bgfs_qmp_any, true, ""},
    {NULL},
};
static const BgfsQmpType type = {.kind = BGFS_QMP_OBJECT, .name = "Type", .members = members};

static char *complaint(const BgfsQmpType *checked, const char *text)
{
  g_autoptr(JsonNode) root = json_from_string(text, NULL);
  g_autoptr(GError) error = NULL;
  cr_assert(root, "%s", text);
  bool fits = bgfs_qmp_check_arguments(checked, json_node_get_object(root), &error);
  cr_assert_eq(fits, !error);
  return g_strdup(error ? error->message : "");
}

static void assert_fits(const BgfsQmpType *checked, const char *text)
{
  g_autofree char *got = complaint(checked, text);
  cr_assert_str_eq(got, "", "%s: %s", text, got);
}

static void assert_refused(const BgfsQmpType *checked, const char *text, const char *wanted)
{
  g_autofree char *got = complaint(checked, text);
  cr_assert_str_eq(got, wanted, "%s: %s", text, got);
}

Test(check, what_fits_passes)
{
  assert_fits(&type, "{\"must\":\"x\"}");
  assert_fits(&type, "{\"must\":\"x\",\"may\":true,\"number\":1.5,\"any\":[1,{}]}");
  assert_fits(&type, "{\"must\":\"x\",\"number\":1,\"list\":[{\"type\":\"one\"},{\"type\":\"two\",\"extra\":3}]}");
  assert_fits(&type, "{\"must\":\"x\",\"either\":\"y\"}");
  assert_fits(&type, "{\"must\":\"x\",\"either\":null}");
  assert_fits(&type, "{\"must\":\"x\",\"either\":{\"type\":\"one\"}}");
}

Test(check, refusals_are_in_words_of_qemu)
{
  assert_refused(&type, "{}", "Parameter 'must' is missing");
  assert_refused(&type, "{\"must\":1}", "Invalid parameter type for 'must', expected: string");
  assert_refused(&type, "{\"must\":\"x\",\"may\":\"on\"}", "Invalid parameter type for 'may', expected: boolean");
  assert_refused(&type, "{\"must\":\"x\",\"y\":1}", "Parameter 'y' is unexpected");
  assert_refused(&type, "{\"must\":\"x\",\"list\":{}}", "Invalid parameter type for 'list', expected: array");
  assert_refused(&type, "{\"must\":\"x\",\"list\":[7]}", "Invalid parameter type for 'list[0]', expected: object");
  assert_refused(&type, "{\"must\":\"x\",\"list\":[{\"type\":\"three\"}]}",
                 "Parameter 'list[0].type' does not accept value 'three'");
  assert_refused(&type, "{\"must\":\"x\",\"list\":[{\"type\":\"two\"}]}", "Parameter 'list[0].extra' is missing");
  assert_refused(&type, "{\"must\":\"x\",\"list\":[{\"type\":\"one\",\"extra\":1}]}",
                 "Parameter 'list[0].extra' is unexpected");
  assert_refused(&type, "{\"must\":\"x\",\"either\":[]}", "Invalid parameter type for 'either', expected: TaggedOrStr");
}

Test(check, a_node_is_checked_by_its_driver)
{
  const BgfsQmpType *node = &bgfs_qmp_blockdev_options;
  assert_fits(node, "{\"driver\":\"file\",\"node-name\":\"x\",\"filename\":\"/a\",\"cache\":{\"direct\":true}}");
  assert_fits(node, "{\"driver\":\"qcow2\",\"file\":\"x\",\"backing\":null}");
  assert_fits(node, "{\"driver\":\"raw\",\"size\":512,\"file\":{\"driver\":\"file\",\"filename\":\"/a\"}}");
  assert_refused(node, "{}", "Parameter 'driver' is missing");
  assert_refused(node, "{\"driver\":\"nope\"}", "Parameter 'driver' does not accept value 'nope'");
  assert_refused(node, "{\"driver\":\"file\",\"read-only\":\"on\"}",
                 "Invalid parameter type for 'read-only', expected: boolean");
  assert_refused(node, "{\"driver\":\"file\",\"filename\":3}",
                 "Invalid parameter type for 'filename', expected: string");
  assert_refused(node, "{\"driver\":\"file\",\"discard\":\"foo\"}", "Parameter 'discard' does not accept value 'foo'");
  assert_refused(node, "{\"driver\":\"file\",\"foo\":1}", "Parameter 'foo' is unexpected");
  assert_refused(node, "{\"driver\":\"file\",\"cache\":true}", "Invalid parameter type for 'cache', expected: object");
  assert_refused(node, "{\"driver\":\"file\",\"cache\":{\"foo\":1}}", "Parameter 'cache.foo' is unexpected");
  assert_refused(node, "{\"driver\":\"raw\",\"file\":1}", "Invalid parameter type for 'file', expected: BlockdevRef");
  assert_refused(node, "{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":1}}",
                 "Invalid parameter type for 'file.filename', expected: string");
  assert_refused(node, "{\"driver\":\"raw\",\"size\":\"1M\",\"file\":\"x\"}",
                 "Invalid parameter type for 'size', expected: integer");
}

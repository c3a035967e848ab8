#include "fs/ctl/node-options.h"

#include <criterion/criterion.h>
#include <string.h>

static char *json_of(const char *text, JsonObject *present)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(BgDict) options = bgfs_ctl_options_parse(text, &error);
  cr_assert_not_null(options, "%s", error ? error->message : "");
  if (present)
    bgfs_ctl_options_keep(options, present);
  g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT);
  json_node_take_object(root, bgfs_ctl_options_json(options));
  return json_to_string(root, FALSE);
}

static void assert_json(const char *text, const char *wanted)
{
  g_autofree char *got = json_of(text, NULL);
  cr_assert_str_eq(got, wanted, "%s gives %s, not %s", text, got, wanted);
}

Test(node_options, values_have_the_types_of_the_tables)
{
  assert_json("driver=raw,node-name=a,read-only=on,offset=1K,file=b",
              "{\"driver\":\"raw\",\"file\":\"b\",\"node-name\":\"a\",\"offset\":1024,\"read-only\":true}");
  assert_json("driver=raw,read-only=perhaps,offset=-,bogus=1",
              "{\"bogus\":\"1\",\"driver\":\"raw\",\"offset\":\"-\",\"read-only\":\"perhaps\"}");
  assert_json("driver=none,x.y=1", "{\"driver\":\"none\",\"x\":{\"y\":\"1\"}}");
}

Test(node_options, points_become_objects)
{
  assert_json("driver=qcow2,cache.direct=on,file.driver=file,file.filename=/a,file.cache.no-flush=off",
              "{\"cache\":{\"direct\":true},\"driver\":\"qcow2\",\"file\":{\"cache\":{\"no-flush\":false},"
              "\"driver\":\"file\",\"filename\":\"/a\"}}");
  assert_json("{\"driver\":\"qcow2\",\"backing\":null,\"cache\":{\"direct\":true}}",
              "{\"backing\":null,\"cache\":{\"direct\":true},\"driver\":\"qcow2\"}");
  assert_json("driver=qcow2,backing=", "{\"backing\":null,\"driver\":\"qcow2\"}");
}

Test(node_options, file_names_become_absolute)
{
  g_autofree char *here = g_get_current_dir();
  g_autofree char *wanted =
      g_strdup_printf("{\"driver\":\"raw\",\"file\":{\"driver\":\"file\",\"filename\":\"%s/a\"}}", here);
  assert_json("driver=raw,file.driver=file,file.filename=a", wanted);
  assert_json("driver=file,filename=nbd://host/x", "{\"driver\":\"file\",\"filename\":\"nbd://host/x\"}");
}

Test(node_options, what_is_not_named_is_kept)
{
  g_autoptr(JsonNode) present =
      json_from_string("{\"read-only\":false,\"cache.direct\":true,\"offset\":512,\"none\":[]}", NULL);
  g_autofree char *got = json_of("driver=raw,read-only=on", json_node_get_object(present));
  cr_assert_str_eq(got, "{\"cache\":{\"direct\":true},\"driver\":\"raw\",\"offset\":512,\"read-only\":true}");
}

Test(node_options, nonsense_is_refused)
{
  g_autoptr(GError) error = NULL;
  cr_assert_null(bgfs_ctl_options_parse("driver", &error));
  cr_assert_not_null(error);
}

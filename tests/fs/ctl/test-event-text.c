#include "fs/ctl/event-text.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <time.h>

static void assert_line(const char *event, const char *wanted)
{
  setenv("TZ", "UTC", 1);
  tzset();
  g_autoptr(JsonNode) root = json_from_string(event, NULL);
  g_autofree char *line = bgfs_ctl_event_text(json_node_get_object(root));
  cr_assert_str_eq(line, wanted);
}

Test(event_text, one_line)
{
  assert_line("{\"timestamp\":{\"seconds\":45296,\"microseconds\":789},\"event\":\"E\","
              "\"data\":{\"id\":\"j\",\"n\":7,\"ok\":true,\"why\":\"two words\",\"none\":\"\",\"in\":{\"a\":[1]}}}",
              "12:34:56.000789 E id=j n=7 ok=true why=\"two words\" none=\"\" in={\"a\":[1]}");
  assert_line("{\"event\":\"E\"}", "E");
}

Test(event_text, nothing_breaks_the_line)
{
  assert_line("{\"event\":\"E\\n\",\"data\":{\"a\\u001b\":\"\\u001b[2J\\n\"},\"timestamp\":{\"seconds\":-5}}",
              "E\\n a\\x1b=\\x1b[2J\\n");
}

#include "fs/ctl/snapshots.h"

#include "drivers/error.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(snapshots, are_read_out_of_a_node)
{
  g_autoptr(JsonNode) nodes = json_from_string(
      "[{\"node-name\":\"a\",\"image\":{}},7,{\"node-name\":\"b\",\"image\":{\"snapshots\":[{\"id\":\"1\",\"name\":"
      "\"x\","
      "\"vm-state-size\":5,\"date-sec\":6,\"date-nsec\":7,\"vm-clock-sec\":1,\"vm-clock-nsec\":2},8]}}]",
      NULL);
  g_autoptr(GPtrArray) none = bgfs_ctl_snapshots_parse(nodes, "a", NULL),
                       two = bgfs_ctl_snapshots_parse(nodes, "b", NULL);
  cr_assert_eq(none->len, 0);
  cr_assert_eq(two->len, 2, "what is no object is one without facts");
  const BgSnapshot *first = two->pdata[0];
  cr_assert_str_eq(first->id, "1");
  cr_assert_str_eq(first->name, "x");
  cr_assert_eq(first->vm_state_size, 5);
  cr_assert_eq(first->vm_clock_nsec, 1000000002);
  cr_assert_eq(first->icount, UINT64_MAX);
  g_autoptr(GError) error = NULL;
  cr_assert_null(bgfs_ctl_snapshots_parse(nodes, "c", &error));
  cr_assert_eq(bg_error_errno(error), ENOENT);
}

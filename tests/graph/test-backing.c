#include "graph/backing.h"

#include "graph/create.h"
#include "tests/graph/scratch.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(backing, .timeout = 60);

/* A qcow2 node of that name, of 1 MiB. */
static BgNode *add(Scratch *scratch, const char *name, const char *options)
{
  g_autofree char *file = g_strconcat(name, ".qcow2", NULL), *path = scratch_path(scratch, file);
  g_autofree char *all = g_strdup_printf("driver=qcow2,node-name=%s,file.driver=file,file.filename=@/%s,"
                                         "file.auto-read-only=on,file.read-only=off,%s",
                                         name, file, options);
  cr_assert(bg_create_image("qcow2", path, 1 << 20, NULL, NULL, NULL, NULL, NULL));
  return scratch_add(scratch, all);
}

Test(backing, is_recorded_also_of_a_node_that_is_read_only)
{
  static const char *const options[] = {"read-only=on", "auto-read-only=on"};
  for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
    Scratch scratch;
    g_autofree char *file = NULL, *format = NULL;
    g_autoptr(GError) error = NULL;
    scratch_init(&scratch, NULL, NULL);
    BgNode *node = add(&scratch, "disk", options[i]);
    cr_assert(bg_node_record_backing(node, "base.img", "raw", &error), "%s", error ? error->message : "");
    bg_node_recorded_backing(node, &file, &format);
    cr_assert_str_eq(file, "base.img");
    cr_assert_str_eq(format, "raw");
    cr_assert(bg_graph_settle(scratch.graph, NULL));
    cr_assert_not(scratch_open_for_writing(&scratch, "disk.qcow2"));
    scratch_clear(&scratch);
  }
}

Test(backing, is_not_recorded_where_there_is_no_place_for_it)
{
  Scratch scratch;
  g_autoptr(GError) error = NULL;
  scratch_init(&scratch, NULL, NULL);
  scratch_file(&scratch, "raw", 4096, 0);
  BgNode *node = scratch_add(&scratch, "driver=raw,node-name=r,auto-read-only=on,file.driver=file,file.filename=@/raw");
  cr_assert_not(bg_node_record_backing(node, "base.img", "raw", &error));
  cr_assert_eq(error->code, ENOTSUP);
  scratch_clear(&scratch);
}

#include "chain-fixture.h"

#include "graph/blockdev.h"
#include "graph/jobs/create.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(job_create, .timeout = 60);

/* Takes `options` in blockdev syntax (NULL: none). */
static BgJob *try_start(ChainFixture *chain, BgJobCreate *create, const char *options, GError **error)
{
  g_autoptr(BgDict) dict = options ? bg_blockdev_parse(options, NULL) : NULL;
  create->settings.id = "j";
  create->options = dict;
  return bg_job_create(chain->scratch.graph, create, error);
}

static void create(ChainFixture *chain, BgJobCreate *create, const char *options, int code)
{
  g_autoptr(GError) error = NULL;
  BgJob *job = try_start(chain, create, options, &error);
  cr_assert_not_null(job, "%s", error ? error->message : "");
  chain_finish(chain, job, code);
  g_autofree char *events = job_events_take(&chain->events);
  cr_assert_str_eq(events,
                   code ? "created running aborting concluded null" : "created running waiting pending concluded null");
}

Test(job_create, makes_a_file_and_an_image_in_it)
{
  ChainFixture chain;
  chain_init(&chain, 1, NULL);
  g_autofree char *path = scratch_path(&chain.scratch, "new.qcow2"), *options = g_strdup_printf("filename=%s", path);
  create(&chain, &(BgJobCreate){.driver = "file", .size = 12345}, options, 0);
  create(&chain, &(BgJobCreate){.driver = "file"}, options, EEXIST);
  BgNode *file = scratch_add(&chain.scratch, "driver=file,node-name=f,filename=@/new.qcow2,auto-read-only=on");
  cr_assert_eq(bg_node_size(file), 12345);
  BgJobCreate image = {
      .driver = "qcow2", .size = 1 << 20, .file = file, .backing_file = "l0.qcow2", .backing_format = "qcow2"};
  create(&chain, &image, "cluster_size=4096", 0);
  chain_open_each(&chain, NULL);
  BgNode *node = scratch_add(&chain.scratch, "driver=qcow2,node-name=n,file=f,backing=n0,auto-read-only=on");
  chain_assert_content(node, chain.shadow[0], chain.size[0]);
  g_autofree char *recorded = NULL, *format = NULL;
  bg_node_recorded_backing(node, &recorded, &format);
  cr_assert_str_eq(recorded, "l0.qcow2");
  chain_clear(&chain);
}

Test(job_create, refusals_start_nothing)
{
  ChainFixture chain;
  chain_init(&chain, 1, NULL);
  chain_open_each(&chain, NULL);
  BgNode *used = bg_graph_find(chain.scratch.graph, "f0");
  BgJobCreate wrong[] = {
      {.driver = "none"},
      {.driver = "compress"},
      {.driver = "file"},
      {.driver = "qcow2"},
      {.driver = "qcow2", .file = used, .size = UINT64_MAX},
      {.driver = "qcow2", .file = used, .backing_file = "x"},
      {.driver = "qcow2", .file = used},
  };
  static const int codes[] = {EINVAL, ENOTSUP, EINVAL, EINVAL, EFBIG, EINVAL, EBUSY};
  for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
    g_autoptr(GError) error = NULL;
    cr_assert_null(try_start(&chain, &wrong[i], NULL, &error));
    cr_assert_eq(error->code, codes[i], "%zu: %s", i, error->message);
  }
  g_autoptr(GError) unknown = NULL;
  cr_assert_null(try_start(&chain, &(BgJobCreate){.driver = "qcow2", .file = used}, "nonsense=1", &unknown));
  cr_assert_eq(unknown->code, EINVAL);
  chain_assert_content(chain.node[0], chain.shadow[0], chain.size[0]);
  chain_clear(&chain);
}

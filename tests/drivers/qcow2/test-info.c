#include "tests/drivers/qcow2/image.h"

#include "drivers/registry.h"

#include <criterion/criterion.h>
#include <string.h>

typedef struct Collector {
  BgInfo info;
  GString *text;
} Collector;

static void add(BgInfo *info, const char *name, GVariant *value)
{
  g_autoptr(GVariant) owned = g_variant_ref_sink(value);
  g_autofree char *text = g_variant_print(owned, FALSE);
  g_string_append_printf(((Collector *)info)->text, "%s=%s;", name, text);
}

Test(qcow2_info, tells_facts)
{
  g_autoptr(BgChild) file = image_create(
      1 << 20, "cluster_size=4096,refcount_bits=8,lazy_refcounts=on,compression_type=zstd", "b\xff\n", NULL);
  Image *image = image_open(file, NULL, NULL, 0, NULL);
  Collector collector = {{add}, g_string_new(NULL)};
  bg_driver_find("qcow2")->info(image_instance(image), &collector.info);
  static const char *const facts[] = {
      "compat='1.1';",         "cluster-size=4096;", "refcount-bits=8;", "compression-type='zstd';",
      "lazy-refcounts=true;",  "dirty=false;",       "corrupt=false;",   "backing-file='b\xef\xbf\xbd?';",
      "backing-format='raw';",
  };
  for (unsigned i = 0; i < G_N_ELEMENTS(facts); i++)
    cr_assert_not_null(strstr(collector.text->str, facts[i]), "%s is not in %s", facts[i], collector.text->str);
  g_string_free(collector.text, TRUE);
  image_close(image);
}

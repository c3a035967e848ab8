#include "tests/drivers/qcow2/image.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>

typedef struct Wanted {
  char options[96];
  uint64_t size;
  char info[160]; /* what qemu-img info must say, '|' between */
} Wanted;

ParameterizedTestParameters(qcow2_create, is_understood)
{
  static Wanted wanted[] = {
      {"", 0, "virtual size: 0 B|compat: 1.1|cluster_size: 65536|refcount bits: 16|lazy refcounts: false"},
      {"", 12345, "(12800 bytes)"},
      {"cluster_size=512", 1 << 30, "cluster_size: 512|(1073741824 bytes)"},
      {"cluster_size=2M", UINT64_C(1) << 50, "cluster_size: 2097152"},
      {"compat=0.10", 1 << 30, "compat: 0.10"},
      {"compat=v3,lazy_refcounts=on", 1 << 30, "compat: 1.1|lazy refcounts: true"},
      {"refcount_bits=1", 1 << 30, "refcount bits: 1"},
      {"refcount_bits=64,cluster_size=512", 1 << 30, "refcount bits: 64"},
      {"compression_type=zstd", 1 << 30, "compression type: zstd"},
      {"preallocation=metadata", 1 << 30, "virtual size: 1 GiB"},
      {"preallocation=metadata,cluster_size=512,refcount_bits=64", 16 << 20, "cluster_size: 512"},
      {"preallocation=metadata,cluster_size=4096,refcount_bits=1", 1 << 30, "refcount bits: 1"},
  };
  return cr_make_param_array(Wanted, wanted, G_N_ELEMENTS(wanted));
}

ParameterizedTest(Wanted *wanted, qcow2_create, is_understood, .timeout = 120)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(BgChild) file = image_create(wanted->size, wanted->options[0] ? wanted->options : NULL, NULL, &error);
  cr_assert_not_null(file, "%s: %s", wanted->options, error ? error->message : "");
  if (file->ops->size(file) < (16 << 20))
    image_assert_sound(file, false);
  Image *image = image_open_writable(file, NULL, NULL, 0);
  cr_assert_geq(image_size(image), wanted->size);
  if (wanted->size) {
    char text[6];
    cr_assert_eq(image_write(image, "hello", 5, wanted->size - 5), 0);
    cr_assert_eq(image_read(image, text, 5, wanted->size - 5), 0);
    cr_assert_eq(memcmp(text, "hello", 5), 0);
  }
  image_close(image);
  if (file->ops->size(file) > (64 << 20)) /* as much as need be copied for qemu-img: the metadata come first */
    cr_assert_eq(file->ops->resize(file, 64 << 20), 0);
  g_autofree char *saved = image_save(file, "new.qcow2");
  g_autoptr(BgChild) text = image_require_shell("cd $1; qemu-img info new.qcow2 >out");
  g_auto(GStrv) says = g_strsplit(wanted->info, "|", -1);
  for (char **one = says; *one; one++)
    cr_assert_not_null(strstr((char *)mem_child_data(text), *one), "'%s' is not in:\n%s", *one,
                       (char *)mem_child_data(text));
  if (file->ops->size(file) < (64 << 20))
    cr_assert_eq(image_qemu_check(file), 0);
}

Test(qcow2_create, backing_file_is_recorded)
{
  for (int i = 0; i < 2; i++) {
    g_autoptr(BgChild) file = image_create(1 << 20, i ? "cluster_size=512" : NULL, "some/base.img", NULL);
    g_autofree char *saved = image_save(file, "new.qcow2");
    g_autoptr(BgChild) text = image_require_shell("cd $1; qemu-img info new.qcow2 >out");
    cr_assert_not_null(strstr((char *)mem_child_data(text), "backing file: some/base.img"));
    cr_assert_not_null(strstr((char *)mem_child_data(text), "backing file format: raw"));
  }
}

/* What lay on the storage before does not come through. */
Test(qcow2_create, preallocated_space_is_cleared)
{
  g_autoptr(BgChild) file = image_create(1 << 20, "preallocation=metadata", NULL, NULL);
  g_autofree uint8_t *zeros = g_malloc0(1 << 20);
  Image *image = image_open(file, NULL, NULL, 0, NULL);
  image_assert_content(image, zeros, 1 << 20);
  image_close(image);
  image_assert_judged(file, zeros, 1 << 20);
}

static void assert_refused(uint64_t size, const char *options, const char *backing, int err, const char *says)
{
  g_autoptr(GError) error = NULL;
  cr_assert_null(image_create(size, options, backing, &error), "%s", says);
  cr_assert_eq(error->code, err, "%s", error->message);
  cr_assert_not_null(strstr(error->message, says), "'%s' lacks '%s'", error->message, says);
}

Test(qcow2_create, refusals)
{
  g_autofree char *long_name = g_strnfill(1024, 'x'), *name = g_strnfill(500, 'x');
  assert_refused(1 << 20, "cluster_size=65537", NULL, EINVAL, "cluster_size must be a power of two");
  assert_refused(1 << 20, "cluster_size=256", NULL, EINVAL, "cluster_size");
  assert_refused(1 << 20, "cluster_size=4M", NULL, EINVAL, "cluster_size");
  assert_refused(1 << 20, "refcount_bits=3", NULL, EINVAL, "refcount_bits must be");
  assert_refused(1 << 20, "refcount_bits=128", NULL, EINVAL, "refcount_bits");
  assert_refused(1 << 20, "compat=0.10,refcount_bits=8", NULL, EINVAL, "refcount_bits");
  assert_refused(1 << 20, "compat=0.10,lazy_refcounts=on", NULL, EINVAL, "lazy_refcounts");
  assert_refused(1 << 20, "compat=0.10,compression_type=zstd", NULL, EINVAL, "zstd");
  assert_refused(1 << 20, "preallocation=metadata", "base", EINVAL, "preallocation");
  assert_refused(1 << 20, NULL, long_name, EINVAL, "longer than 1023");
  assert_refused(1 << 20, "cluster_size=512", name, EINVAL, "does not fit");
  assert_refused(UINT64_C(1) << 40, "cluster_size=512", NULL, EFBIG, "too large for clusters");
  assert_refused(INT64_MAX - 1000, NULL, NULL, EFBIG, "too large for clusters");
  assert_refused(UINT64_MAX, NULL, NULL, EFBIG, "out of range");
}

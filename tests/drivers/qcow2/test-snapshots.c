#include "tests/drivers/qcow2/image.h"

#include "drivers/qcow2/snapshots.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

/* An image of 64 KiB clusters with a table of one entry, well-formed, in a cluster of its own. */
static uint8_t *make(BgChild **file)
{
  *file = image_create(1 << 20, NULL, NULL, NULL);
  uint64_t table = (*file)->ops->size(*file);
  cr_assert_eq((*file)->ops->resize(*file, table + 65536), 0);
  uint8_t *head = mem_child_data(*file), *entry = head + table;
  qcow2_put32(head + QCOW2_H_SNAPSHOT_COUNT, 1);
  qcow2_put64(head + QCOW2_H_SNAPSHOTS_OFFSET, table);
  qcow2_put64(entry, 3 * 65536);
  qcow2_put32(entry + 8, 1);
  qcow2_put16(entry + 12, 1);
  qcow2_put16(entry + 14, 4);
  qcow2_put32(entry + 36, 16);
  memcpy(entry + 40 + 16, "7na\nm", 5);
  return entry;
}

static void assert_refused(BgChild *file, const char *says)
{
  g_autoptr(GError) error = NULL;
  cr_assert_null(image_open(file, NULL, NULL, 0, &error), "%s", says);
  cr_assert_eq(error->code, EINVAL);
  cr_assert_not_null(strstr(error->message, says), "'%s' lacks '%s'", error->message, says);
}

Test(qcow2_snapshots, table_is_read)
{
  g_autoptr(BgChild) file = NULL;
  make(&file);
  Qcow2Header header = {0};
  Qcow2Snapshots snapshots = {0};
  cr_assert(qcow2_header_read(file, &header, NULL));
  cr_assert(qcow2_snapshots_read(file, &header, &snapshots, NULL));
  cr_assert_eq(snapshots.count, 1);
  cr_assert_str_eq(snapshots.list[0].id, "7");
  cr_assert_str_eq(snapshots.list[0].name, "na\nm");
  cr_assert_eq(snapshots.bytes, 64);
  qcow2_snapshots_clear(&snapshots);
  qcow2_header_clear(&header);
}

Test(qcow2_snapshots, false_entries_are_refused)
{
  g_autoptr(BgChild) file = NULL;
  uint8_t *entry = make(&file);
  qcow2_put32(entry + 36, 1025);
  assert_refused(file, "1025 extra bytes");
  qcow2_put32(entry + 36, UINT32_MAX);
  assert_refused(file, "extra bytes");
  qcow2_put32(entry + 36, 16);
  qcow2_put32(entry + 8, UINT32_MAX);
  assert_refused(file, "L1 table of the snapshot 'na?m'");
  qcow2_put32(entry + 8, 1 << 20);
  assert_refused(file, "L1 table of the snapshot");
  qcow2_put32(entry + 8, 1);
  qcow2_put64(entry, 3 * 65536 + 8);
  assert_refused(file, "L1 table of the snapshot");
  qcow2_put64(entry, UINT64_MAX & ~UINT64_C(65535));
  assert_refused(file, "L1 table of the snapshot");
}

Test(qcow2_snapshots, table_past_the_end_is_refused)
{
  g_autoptr(BgChild) file = NULL;
  uint8_t *entry = make(&file);
  qcow2_put16(entry + 12, 0xffff);
  qcow2_put16(entry + 14, 0xffff);
  assert_refused(file, "larger than the file");
  qcow2_put32(mem_child_data(file) + QCOW2_H_SNAPSHOT_COUNT, 65536);
  assert_refused(file, "past the end");
}

/* The largest table of the shortest entries, all alike, is taken without ado. */
Test(qcow2_snapshots, many, .timeout = 120)
{
  g_autoptr(BgChild) file = NULL;
  uint8_t *entry = make(&file);
  cr_assert_eq(file->ops->resize(file, (uint64_t)file->ops->size(file) + 64 * 65536), 0);
  for (unsigned i = 1; i < 65536; i++)
    memcpy(entry + i * 64, entry, 64);
  qcow2_put32(mem_child_data(file) + QCOW2_H_SNAPSHOT_COUNT, 65536);
  Image *image = image_open(file, NULL, NULL, 0, NULL);
  cr_assert_not_null(image);
  image_close(image);
}

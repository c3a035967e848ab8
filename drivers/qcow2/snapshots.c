#include "drivers/qcow2/snapshots.h"

#include <errno.h>
#include <inttypes.h>

enum { ENTRY_SIZE = 40, NAME_KEPT = 255, EXTRA_MAX = 1024, EXTRA_WRITTEN = 24 };

void qcow2_snapshots_clear(Qcow2Snapshots *snapshots)
{
  for (size_t i = 0; i < snapshots->count; i++) {
    g_free(snapshots->list[i].id);
    g_free(snapshots->list[i].name);
  }
  g_free(snapshots->list);
  *snapshots = (Qcow2Snapshots){0};
}

static bool check_l1(const Qcow2Snapshot *snapshot, unsigned cluster_bits, uint64_t file_end, GError **error)
{
  uint64_t bytes = (uint64_t)snapshot->l1_entries * 8;
  if (bytes <= QCOW2_MAX_L1_BYTES && (snapshot->l1_offset & ((UINT64_C(1) << cluster_bits) - 1)) == 0 &&
      snapshot->l1_offset <= file_end && bytes <= file_end - snapshot->l1_offset)
    return true;
  g_autofree char *shown = qcow2_printable(snapshot->name, strlen(snapshot->name));
  bg_set_error(error, EINVAL, "The L1 table of the snapshot '%s' is out of range", shown);
  return false;
}

static char *read_text(BgChild *file, uint64_t offset, size_t length, int *result)
{
  char bytes[NAME_KEPT];
  size_t kept = MIN(length, sizeof bytes);
  *result = kept ? bg_child_pread(file, bytes, kept, offset) : 0;
  return *result < 0 ? NULL : g_strndup(bytes, kept);
}

/* The extra data begins with the VM state's size in 64 bits, the disk's size, and the instruction count. */
static int read_extra(BgChild *file, uint64_t offset, Qcow2Snapshot *snapshot)
{
  uint8_t extra[24] = {0};
  size_t length = MIN(snapshot->extra_size, sizeof extra);
  int r = length ? bg_child_pread(file, extra, length, offset) : 0;
  if (r < 0)
    return r;
  if (length >= 8)
    snapshot->vm_state_size = qcow2_get64(extra);
  snapshot->disk_size = length >= 16 ? qcow2_get64(extra + 8) : UINT64_MAX;
  snapshot->icount = length >= sizeof extra ? qcow2_get64(extra + 16) : UINT64_MAX;
  return 0;
}

/* Reads the entry at *offset and moves on to the next. */
static bool read_entry(BgChild *file, uint64_t *offset, Qcow2Snapshot *snapshot, GError **error)
{
  uint8_t entry[ENTRY_SIZE];
  int r = bg_child_pread(file, entry, sizeof entry, *offset);
  if (r < 0) {
    bg_set_error_errno(error, -r, "Cannot read the snapshot table");
    return false;
  }
  size_t id_length = qcow2_get16(entry + 12), name_length = qcow2_get16(entry + 14);
  uint32_t extra = qcow2_get32(entry + 36);
  if (extra > EXTRA_MAX) {
    bg_set_error(error, EINVAL, "An entry of the snapshot table has %u extra bytes, more than %d", extra, EXTRA_MAX);
    return false;
  }
  uint64_t id_at = *offset + ENTRY_SIZE + extra, name_at = id_at + id_length;
  snapshot->l1_offset = qcow2_get64(entry);
  snapshot->l1_entries = qcow2_get32(entry + 8);
  snapshot->date_sec = qcow2_get32(entry + 16);
  snapshot->date_nsec = qcow2_get32(entry + 20);
  snapshot->vm_clock_nsec = qcow2_get64(entry + 24);
  snapshot->vm_state_size = qcow2_get32(entry + 32);
  snapshot->extra_size = extra;
  r = read_extra(file, *offset + ENTRY_SIZE, snapshot);
  if (r == 0)
    snapshot->id = read_text(file, id_at, id_length, &r);
  if (snapshot->id)
    snapshot->name = read_text(file, name_at, name_length, &r);
  if (!snapshot->name) {
    bg_set_error_errno(error, -r, "Cannot read the snapshot table");
    return false;
  }
  *offset = (name_at + name_length + 7) & ~UINT64_C(7);
  return true;
}

bool qcow2_snapshots_read(BgChild *file, const Qcow2Header *header, Qcow2Snapshots *snapshots, GError **error)
{
  g_auto(Qcow2Snapshots) read = {0};
  int64_t file_size = file->ops->size(file);
  if (file_size < 0) {
    bg_set_error_errno(error, (int)-file_size, "Cannot tell the file's size");
    return false;
  }
  uint64_t cluster = UINT64_C(1) << header->cluster_bits;
  uint64_t file_end = ((uint64_t)file_size + cluster - 1) & ~(cluster - 1);
  read.list = g_try_new0(Qcow2Snapshot, header->snapshot_count);
  if (header->snapshot_count && !read.list) {
    bg_set_error_errno(error, ENOMEM, "Cannot read the snapshot table");
    return false;
  }
  uint64_t offset = header->snapshots_offset;
  for (; read.count < header->snapshot_count;) {
    Qcow2Snapshot *snapshot = &read.list[read.count++];
    snapshot->at = offset - header->snapshots_offset;
    if (!read_entry(file, &offset, snapshot, error))
      return false;
    snapshot->bytes = offset - header->snapshots_offset - snapshot->at;
    if (offset > file_end || offset - header->snapshots_offset > QCOW2_MAX_SNAPSHOT_BYTES) {
      bg_set_error(error, EINVAL, "The snapshot table is larger than the file or than 64 MiB");
      return false;
    }
    if (!check_l1(snapshot, header->cluster_bits, file_end, error))
      return false;
  }
  read.bytes = header->snapshot_count ? offset - header->snapshots_offset : 0;
  *snapshots = read;
  read = (Qcow2Snapshots){0};
  return true;
}

const Qcow2Snapshot *qcow2_snapshots_find(const Qcow2Snapshots *snapshots, const char *id)
{
  for (size_t i = 0; i < snapshots->count; i++)
    if (strcmp(snapshots->list[i].id, id) == 0)
      return &snapshots->list[i];
  return NULL;
}

bool qcow2_snapshots_equal(const Qcow2Snapshots *a, const Qcow2Snapshots *b)
{
  if (a->count != b->count)
    return false;
  for (size_t i = 0; i < a->count; i++)
    if (strcmp(a->list[i].id, b->list[i].id) != 0 || strcmp(a->list[i].name, b->list[i].name) != 0 ||
        a->list[i].disk_size != b->list[i].disk_size)
      return false;
  return true;
}

/* ── made anew ── */

int qcow2_snapshots_bytes(BgChild *file, uint64_t offset, const Qcow2Snapshots *snapshots, GByteArray **table)
{
  g_autofree uint8_t *bytes = g_try_malloc(MAX(snapshots->bytes, 1));
  if (!bytes)
    return -ENOMEM;
  int r = snapshots->bytes ? bg_child_pread(file, bytes, snapshots->bytes, offset) : 0;
  if (r < 0)
    return r;
  *table = g_byte_array_new_take(g_steal_pointer(&bytes), snapshots->bytes);
  return 0;
}

static void append_padding(GByteArray *table)
{
  static const uint8_t zeros[8];
  g_byte_array_append(table, zeros, -table->len & 7);
}

void qcow2_snapshots_append(GByteArray *table, const Qcow2Snapshot *snapshot)
{
  uint8_t entry[ENTRY_SIZE + EXTRA_WRITTEN];
  qcow2_put64(entry, snapshot->l1_offset);
  qcow2_put32(entry + 8, snapshot->l1_entries);
  qcow2_put16(entry + 12, strlen(snapshot->id));
  qcow2_put16(entry + 14, strlen(snapshot->name));
  qcow2_put32(entry + 16, snapshot->date_sec);
  qcow2_put32(entry + 20, snapshot->date_nsec);
  qcow2_put64(entry + 24, snapshot->vm_clock_nsec);
  qcow2_put32(entry + 32, MIN(snapshot->vm_state_size, UINT32_MAX));
  qcow2_put32(entry + 36, EXTRA_WRITTEN);
  qcow2_put64(entry + 40, snapshot->vm_state_size);
  qcow2_put64(entry + 48, snapshot->disk_size);
  qcow2_put64(entry + 56, snapshot->icount);
  g_byte_array_append(table, entry, sizeof entry);
  g_byte_array_append(table, (const uint8_t *)snapshot->id, strlen(snapshot->id));
  g_byte_array_append(table, (const uint8_t *)snapshot->name, strlen(snapshot->name));
  append_padding(table);
}

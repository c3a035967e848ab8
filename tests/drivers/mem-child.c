#include "tests/drivers/mem-child.h"

#include "drivers/iov.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define KINDS          6
#define DISCARD_FILL   0xdd
#define DISCARD_FILLED ((uint64_t)1 << 20)

typedef struct Record {
  MemKind kind;
  uint64_t offset, length;
  uint8_t *data; /* PWRITEV: what was written, else NULL */
} Record;

typedef struct MemChild {
  BgChild child;
  int fd; /* behind `data`; -1 for a fork */
  uint8_t *data;
  uint64_t size; /* atomic */
  BgPerm perm;
  BgLimits limits;
  uint64_t capacity;
  uint64_t counts[KINDS]; /* atomic */

  unsigned fail_kinds;
  int64_t fail_in; /* atomic: calls until the one that fails; 0 and below: it has come */
  int fail_errno;
  bool fail_from_then_on;
  bool paused;

  bool recording;
  pthread_mutex_t record_lock;
  GArray *records; /* under record_lock */
  uint8_t *record_start;
  uint64_t record_start_size;
} MemChild;

static MemChild *mem_child(BgChild *child)
{
  return (MemChild *)child;
}

static uint64_t get_size(MemChild *mem)
{
  return __atomic_load_n(&mem->size, __ATOMIC_ACQUIRE);
}

/* ── counting, failing, recording ── */

static int enter(MemChild *mem, MemKind kind)
{
  if (mem->paused)
    return 0;
  __atomic_add_fetch(&mem->counts[__builtin_ctz(kind)], 1, __ATOMIC_RELAXED);
  if (!(mem->fail_kinds & kind))
    return 0;
  int64_t left = __atomic_sub_fetch(&mem->fail_in, 1, __ATOMIC_RELAXED);
  return left == 0 || (left < 0 && mem->fail_from_then_on) ? -mem->fail_errno : 0;
}

static int enter_writing(MemChild *mem, MemKind kind)
{
  int rc = enter(mem, kind);
  if (rc < 0)
    return rc;
  return mem->perm & (BG_PERM_WRITE | BG_PERM_WRITE_UNCHANGED) ? 0 : -EPERM;
}

static void record(MemChild *mem, MemKind kind, uint64_t offset, uint64_t length, const struct iovec *iov, int iovcnt)
{
  if (!mem->recording)
    return;
  Record entry = {kind, offset, length, NULL};
  if (kind == MEM_PWRITEV) {
    entry.data = g_malloc(length);
    bg_iov_to_buffer(iov, iovcnt, 0, entry.data, length);
  }
  pthread_mutex_lock(&mem->record_lock);
  g_array_append_val(mem->records, entry);
  pthread_mutex_unlock(&mem->record_lock);
}

static void record_clear(void *record)
{
  g_free(((Record *)record)->data);
}

/* ── the child's calls ── */

static void fill_zero(MemChild *mem, uint64_t offset, uint64_t length)
{
  /* Whole pages of large ranges are given back, so that sizes of gigabytes cost nothing. */
  const uint64_t page = 4096;
  uint64_t start = (offset + page - 1) & ~(page - 1), end = (offset + length) & ~(page - 1);
  if (mem->fd < 0 || length < ((uint64_t)1 << 20) || start >= end) {
    memset(mem->data + offset, 0, length);
    return;
  }
  memset(mem->data + offset, 0, start - offset);
  g_assert(madvise(mem->data + start, end - start, MADV_REMOVE) == 0);
  memset(mem->data + end, 0, offset + length - end);
}

/* Makes room for a write up to `end`; -ENOSPC if it may not grow so far. */
static int grow_to(MemChild *mem, uint64_t end)
{
  uint64_t size = get_size(mem);
  if (end <= size)
    return 0;
  if (!(mem->perm & BG_PERM_RESIZE) || end > mem->capacity || end > MEM_CHILD_MAX)
    return -ENOSPC;
  while (size < end && !__atomic_compare_exchange_n(&mem->size, &size, end, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    ;
  return 0;
}

static int mem_preadv(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  MemChild *mem = mem_child(child);
  int rc = enter(mem, MEM_PREADV);
  if (rc < 0)
    return rc;
  uint64_t size = get_size(mem), length = bg_iov_length(iov, iovcnt);
  uint64_t present = offset < size ? MIN(length, size - offset) : 0;
  if (present > 0)
    bg_iov_from_buffer(iov, iovcnt, 0, mem->data + offset, present);
  bg_iov_zero(iov, iovcnt, present, length - present);
  return 0;
}

static int mem_pwritev(BgChild *child, const struct iovec *iov, int iovcnt, uint64_t offset)
{
  MemChild *mem = mem_child(child);
  int rc = enter_writing(mem, MEM_PWRITEV);
  uint64_t length = bg_iov_length(iov, iovcnt);
  if (rc == 0 && length > 0)
    rc = offset > MEM_CHILD_MAX ? -EFBIG : grow_to(mem, offset + length);
  if (rc < 0)
    return rc;
  bg_iov_to_buffer(iov, iovcnt, 0, mem->data + offset, length);
  record(mem, MEM_PWRITEV, offset, length, iov, iovcnt);
  return 0;
}

static int mem_zero(BgChild *child, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  (void)flags;
  MemChild *mem = mem_child(child);
  int rc = enter_writing(mem, MEM_ZERO);
  if (rc == 0)
    rc = offset > MEM_CHILD_MAX || length > MEM_CHILD_MAX ? -EFBIG : grow_to(mem, offset + length);
  if (rc < 0)
    return rc;
  fill_zero(mem, offset, length);
  record(mem, MEM_ZERO, offset, length, NULL, 0);
  return 0;
}

/* Leaves garbage behind, since nobody may rely on what discarded bytes read as. */
static int mem_discard(BgChild *child, uint64_t offset, uint64_t length)
{
  MemChild *mem = mem_child(child);
  int rc = enter_writing(mem, MEM_DISCARD);
  if (rc < 0)
    return rc;
  uint64_t size = get_size(mem);
  if (offset >= size)
    return 0;
  length = MIN(length, size - offset);
  memset(mem->data + offset, DISCARD_FILL, MIN(length, DISCARD_FILLED));
  record(mem, MEM_DISCARD, offset, length, NULL, 0);
  return 0;
}

static int mem_flush(BgChild *child)
{
  MemChild *mem = mem_child(child);
  int rc = enter(mem, MEM_FLUSH);
  if (rc == 0)
    record(mem, MEM_FLUSH, 0, 0, NULL, 0);
  return rc;
}

static int64_t mem_size(BgChild *child)
{
  return (int64_t)get_size(mem_child(child));
}

static int mem_resize(BgChild *child, uint64_t size)
{
  MemChild *mem = mem_child(child);
  int rc = enter_writing(mem, MEM_RESIZE);
  if (rc < 0)
    return rc;
  if (!(mem->perm & BG_PERM_RESIZE))
    return -EPERM;
  uint64_t old = get_size(mem);
  if (size > MEM_CHILD_MAX)
    return -EFBIG;
  if (size > old && size > mem->capacity)
    return -ENOSPC;
  if (size < old)
    fill_zero(mem, size, old - size);
  __atomic_store_n(&mem->size, size, __ATOMIC_RELEASE);
  record(mem, MEM_RESIZE, size, 0, NULL, 0);
  return 0;
}

static void mem_limits(BgChild *child, BgLimits *limits)
{
  *limits = mem_child(child)->limits;
}

static const BgChildOps mem_ops = {
    .preadv = mem_preadv,
    .pwritev = mem_pwritev,
    .pwritev_special = mem_pwritev,
    .zero = mem_zero,
    .discard = mem_discard,
    .flush = mem_flush,
    .size = mem_size,
    .resize = mem_resize,
    .limits = mem_limits,
};

/* ── settings ── */

/* Maps `fd`; a private map keeps what is written there for itself. */
static MemChild *new_child(uint64_t size, int fd, int flags)
{
  g_assert(size <= MEM_CHILD_MAX);
  MemChild *mem = g_new0(MemChild, 1);
  mem->child = (BgChild){&mem_ops, "file", BG_ROLE_DATA | BG_ROLE_METADATA | BG_ROLE_PRIMARY};
  mem->data = mmap(NULL, MEM_CHILD_MAX, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);
  g_assert(mem->data != MAP_FAILED);
  mem->fd = -1;
  mem->size = size;
  mem->perm = BG_PERM_ALL;
  mem->limits = (BgLimits){1, 1, true};
  mem->capacity = MEM_CHILD_MAX;
  pthread_mutex_init(&mem->record_lock, NULL);
  mem->records = g_array_new(FALSE, FALSE, sizeof(Record));
  g_array_set_clear_func(mem->records, record_clear);
  return mem;
}

BgChild *mem_child_new(uint64_t size)
{
  int fd = memfd_create("memory child", MFD_CLOEXEC);
  g_assert(fd >= 0 && ftruncate(fd, (off_t)MEM_CHILD_MAX) == 0);
  MemChild *mem = new_child(size, fd, MAP_SHARED);
  mem->fd = fd;
  return &mem->child;
}

BgChild *mem_child_fork(BgChild *child)
{
  MemChild *origin = mem_child(child);
  g_assert(origin->fd >= 0);
  return &new_child(get_size(origin), origin->fd, MAP_PRIVATE)->child;
}

void mem_child_free(BgChild *child)
{
  if (!child)
    return;
  MemChild *mem = mem_child(child);
  munmap(mem->data, MEM_CHILD_MAX);
  if (mem->fd >= 0)
    close(mem->fd);
  g_array_unref(mem->records);
  pthread_mutex_destroy(&mem->record_lock);
  g_free(mem->record_start);
  g_free(mem);
}

uint8_t *mem_child_data(BgChild *child)
{
  return mem_child(child)->data;
}

void mem_child_set_perm(BgChild *child, BgPerm perm)
{
  mem_child(child)->perm = perm;
}

void mem_child_set_limits(BgChild *child, const BgLimits *limits)
{
  mem_child(child)->limits = *limits;
}

void mem_child_set_capacity(BgChild *child, uint64_t bytes)
{
  mem_child(child)->capacity = bytes;
}

uint64_t mem_child_count(BgChild *child, unsigned kinds)
{
  uint64_t sum = 0;
  for (int i = 0; i < KINDS; i++)
    if (kinds & (1u << i))
      sum += __atomic_load_n(&mem_child(child)->counts[i], __ATOMIC_RELAXED);
  return sum;
}

void mem_child_reset_counts(BgChild *child)
{
  memset(mem_child(child)->counts, 0, sizeof mem_child(child)->counts);
}

void mem_child_fail(BgChild *child, unsigned kinds, uint64_t nth, int err, bool from_then_on)
{
  MemChild *mem = mem_child(child);
  mem->fail_kinds = nth > 0 ? kinds : 0;
  mem->fail_errno = err;
  mem->fail_from_then_on = from_then_on;
  __atomic_store_n(&mem->fail_in, (int64_t)nth, __ATOMIC_RELAXED);
}

void mem_child_pause(BgChild *child, bool paused)
{
  mem_child(child)->paused = paused;
}

bool mem_child_has_failed(BgChild *child)
{
  MemChild *mem = mem_child(child);
  return mem->fail_kinds && __atomic_load_n(&mem->fail_in, __ATOMIC_RELAXED) <= 0;
}

/* ── recording ── */

void mem_child_record(BgChild *child)
{
  MemChild *mem = mem_child(child);
  g_array_set_size(mem->records, 0);
  g_free(mem->record_start);
  mem->record_start_size = mem->size;
  mem->record_start = g_memdup2(mem->data, mem->size);
  mem->recording = true;
}

size_t mem_child_record_length(BgChild *child)
{
  return mem_child(child)->records->len;
}

bool mem_child_record_is_flush(BgChild *child, size_t index)
{
  return g_array_index(mem_child(child)->records, Record, index).kind == MEM_FLUSH;
}

static void apply(BgChild *target, const Record *entry)
{
  int rc = 0;
  switch (entry->kind) {
  case MEM_PWRITEV:
    rc = bg_child_pwrite(target, entry->data, entry->length, entry->offset);
    break;
  case MEM_ZERO:
    rc = mem_zero(target, entry->offset, entry->length, BG_ZERO_NONE);
    break;
  case MEM_DISCARD:
    rc = mem_discard(target, entry->offset, entry->length);
    break;
  case MEM_RESIZE:
    rc = mem_resize(target, entry->offset);
    break;
  default:
    break;
  }
  g_assert(rc == 0);
}

BgChild *mem_child_replay(BgChild *child, size_t length, bool (*keep)(size_t index, void *data), void *data)
{
  MemChild *mem = mem_child(child);
  g_assert(length <= mem->records->len);
  BgChild *target = mem_child_new(mem->record_start_size);
  memcpy(mem_child_data(target), mem->record_start, mem->record_start_size);
  for (size_t i = 0; i < length; i++)
    if (!keep || keep(i, data))
      apply(target, &g_array_index(mem->records, Record, i));
  return target;
}

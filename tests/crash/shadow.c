#include "tests/crash/shadow.h"

#include "drivers/error.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* A content of one sector, or a size of the disk. */
typedef struct Version {
  uint64_t value; /* digest, or bytes */
  size_t begin;
  uint64_t serial;
} Version;

typedef struct Flush {
  size_t end;
  uint64_t serial; /* of the first change that it does not cover */
} Flush;

struct Shadow {
  uint8_t *content;
  uint64_t size, capacity;
  GArray **sectors; /* of Version, in order, at least one */
  GArray *sizes;    /* of Version, in order, at least one */
  GArray *flushes;
  uint64_t serial;
};

static uint64_t digest(const uint8_t *sector)
{
  uint64_t sum = 0;
  for (int i = 0; i < SHADOW_SECTOR; i += 8) {
    uint64_t word;
    memcpy(&word, sector + i, 8);
    sum = (sum ^ word) * UINT64_C(0x9fb21c651e98df25);
    sum ^= sum >> 32;
  }
  return sum;
}

static void add_version(GArray *versions, uint64_t value, size_t begin, uint64_t serial)
{
  Version version = {value, begin, serial};
  g_array_append_val(versions, version);
}

static GArray *new_versions(uint64_t value)
{
  GArray *versions = g_array_new(FALSE, FALSE, sizeof(Version));
  add_version(versions, value, 0, 0);
  return versions;
}

Shadow *shadow_new(uint64_t capacity, const uint8_t *content, uint64_t size)
{
  g_assert(capacity % SHADOW_SECTOR == 0 && size % SHADOW_SECTOR == 0 && size <= capacity);
  Shadow *shadow = g_new0(Shadow, 1);
  shadow->capacity = capacity;
  shadow->size = size;
  shadow->content = g_malloc0(capacity);
  if (content)
    memcpy(shadow->content, content, size);
  shadow->sectors = g_new0(GArray *, capacity / SHADOW_SECTOR);
  for (uint64_t i = 0; i < capacity / SHADOW_SECTOR; i++)
    shadow->sectors[i] = new_versions(digest(shadow->content + i * SHADOW_SECTOR));
  shadow->sizes = new_versions(size);
  shadow->flushes = g_array_new(FALSE, FALSE, sizeof(Flush));
  shadow->serial = 1;
  return shadow;
}

void shadow_free(Shadow *shadow)
{
  if (!shadow)
    return;
  for (uint64_t i = 0; i < shadow->capacity / SHADOW_SECTOR; i++)
    g_array_unref(shadow->sectors[i]);
  g_array_unref(shadow->sizes);
  g_array_unref(shadow->flushes);
  g_free(shadow->sectors);
  g_free(shadow->content);
  g_free(shadow);
}

const uint8_t *shadow_content(const Shadow *shadow)
{
  return shadow->content;
}

uint64_t shadow_size(const Shadow *shadow)
{
  return shadow->size;
}

uint64_t shadow_capacity(const Shadow *shadow)
{
  return shadow->capacity;
}

void shadow_write(Shadow *shadow, size_t begin, uint64_t offset, uint64_t length, const uint8_t *data)
{
  g_assert(length > 0 && offset + length <= shadow->capacity);
  if (data)
    memcpy(shadow->content + offset, data, length);
  else
    memset(shadow->content + offset, 0, length);
  for (uint64_t i = offset / SHADOW_SECTOR; i <= (offset + length - 1) / SHADOW_SECTOR; i++)
    add_version(shadow->sectors[i], digest(shadow->content + i * SHADOW_SECTOR), begin, shadow->serial);
  shadow->serial++;
}

void shadow_resize(Shadow *shadow, size_t begin, uint64_t size)
{
  g_assert(size % SHADOW_SECTOR == 0 && size <= shadow->capacity);
  uint64_t old = shadow->size;
  shadow->size = size;
  add_version(shadow->sizes, size, begin, shadow->serial++);
  if (size < old)
    shadow_write(shadow, begin, size, old - size, NULL);
}

void shadow_flushed(Shadow *shadow, size_t end)
{
  Flush flush = {end, shadow->serial++};
  g_array_append_val(shadow->flushes, flush);
}

/* The first change that was not durable at the cut. */
static uint64_t first_unflushed(const Shadow *shadow, size_t cut)
{
  uint64_t serial = 0;
  for (guint i = 0; i < shadow->flushes->len; i++) {
    const Flush *flush = &g_array_index(shadow->flushes, Flush, i);
    if (flush->end <= cut)
      serial = flush->serial;
  }
  return serial;
}

static bool allows(const GArray *versions, uint64_t value, uint64_t unflushed, size_t cut)
{
  for (guint i = versions->len; i-- > 0;) {
    const Version *version = &g_array_index(versions, Version, i);
    bool flushed = version->serial == 0 || version->serial < unflushed;
    if (version->value == value && (flushed || version->begin < cut))
      return true;
    if (flushed)
      return false;
  }
  return false;
}

/* Which sector's content it is, in words, for whoever must find out. */
static char *identify(const Shadow *shadow, const uint8_t *sector)
{
  uint64_t value = digest(sector);
  for (uint64_t i = 0; i < shadow->capacity / SHADOW_SECTOR; i++)
    for (guint j = 0; j < shadow->sectors[i]->len; j++) {
      const Version *version = &g_array_index(shadow->sectors[i], Version, j);
      if (version->value == value)
        return g_strdup_printf("what sector %" PRIu64 " got by change %" PRIu64, i, version->serial);
    }
  return g_strdup_printf("what was never written (it begins with %02x %02x %02x %02x)", sector[0], sector[1], sector[2],
                         sector[3]);
}

/* The contents that the sector had, in words. */
static char *history(const GArray *versions)
{
  GString *text = g_string_new(NULL);
  for (guint i = 0; i < versions->len; i++) {
    const Version *version = &g_array_index(versions, Version, i);
    g_string_append_printf(text, " %" PRIu64 "@%zu", version->serial, version->begin);
  }
  return g_string_free(text, FALSE);
}

bool shadow_allows(const Shadow *shadow, size_t cut, const uint8_t *content, uint64_t size, GError **error)
{
  uint64_t unflushed = first_unflushed(shadow, cut);
  if (!allows(shadow->sizes, size, unflushed, cut)) {
    bg_set_error(error, EILSEQ, "the disk has %" PRIu64 " bytes, which it never had since the last flush", size);
    return false;
  }
  for (uint64_t i = 0; i < size / SHADOW_SECTOR; i++) {
    const uint8_t *sector = content + i * SHADOW_SECTOR;
    if (allows(shadow->sectors[i], digest(sector), unflushed, cut))
      continue;
    g_autofree char *what = identify(shadow, sector), *had = history(shadow->sectors[i]);
    bg_set_error(error, EILSEQ,
                 "sector %" PRIu64 " holds %s; it had these changes@begin:%s; those before %" PRIu64 " were flushed", i,
                 what, had, unflushed);
    return false;
  }
  return true;
}

bool shadow_equals(const Shadow *shadow, const uint8_t *content, uint64_t size, GError **error)
{
  if (size != shadow->size) {
    bg_set_error(error, EILSEQ, "the disk has %" PRIu64 " bytes instead of %" PRIu64, size, shadow->size);
    return false;
  }
  for (uint64_t i = 0; i < size / SHADOW_SECTOR; i++) {
    const uint8_t *sector = content + i * SHADOW_SECTOR;
    if (memcmp(sector, shadow->content + i * SHADOW_SECTOR, SHADOW_SECTOR) == 0)
      continue;
    g_autofree char *what = identify(shadow, sector), *had = history(shadow->sectors[i]);
    bg_set_error(error, EILSEQ, "sector %" PRIu64 " holds %s; it had these changes@begin:%s", i, what, had);
    return false;
  }
  return true;
}

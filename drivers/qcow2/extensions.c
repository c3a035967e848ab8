#include "drivers/qcow2/header.h"

#include <errno.h>

static const struct {
  uint8_t type, bit;
  const char *name;
} feature_names[] = {
    {QCOW2_FEATURE_INCOMPATIBLE, 0, "dirty bit"},
    {QCOW2_FEATURE_INCOMPATIBLE, 1, "corrupt bit"},
    {QCOW2_FEATURE_INCOMPATIBLE, 2, "external data file"},
    {QCOW2_FEATURE_INCOMPATIBLE, 3, "compression type"},
    {QCOW2_FEATURE_INCOMPATIBLE, 4, "extended L2 entries"},
    {QCOW2_FEATURE_COMPATIBLE, 0, "lazy refcounts"},
    {QCOW2_FEATURE_AUTOCLEAR, 0, "bitmaps"},
    {QCOW2_FEATURE_AUTOCLEAR, 1, "raw external data"},
};
_Static_assert(G_N_ELEMENTS(feature_names) * QCOW2_FEATURE_ROW == QCOW2_FEATURE_TABLE_SIZE, "size of the table");

void qcow2_feature_table(uint8_t *bytes)
{
  memset(bytes, 0, QCOW2_FEATURE_TABLE_SIZE);
  for (size_t i = 0; i < G_N_ELEMENTS(feature_names); i++, bytes += QCOW2_FEATURE_ROW) {
    bytes[0] = feature_names[i].type;
    bytes[1] = feature_names[i].bit;
    memcpy(bytes + 2, feature_names[i].name, strlen(feature_names[i].name));
  }
}

char *qcow2_printable(const void *text, size_t length)
{
  g_autofree char *copy = g_strndup(text, length);
  char *valid = g_utf8_make_valid(copy, -1);
  for (char *c = valid; *c; c++)
    if (g_ascii_iscntrl(*c))
      *c = '?';
  return valid;
}

char *qcow2_feature_name(const uint8_t *features, size_t length, unsigned type, unsigned bit)
{
  for (size_t at = 0; at + QCOW2_FEATURE_ROW <= length; at += QCOW2_FEATURE_ROW)
    if (features[at] == type && features[at + 1] == bit && features[at + 2])
      return qcow2_printable(features + at + 2, QCOW2_FEATURE_NAME);
  for (size_t i = 0; i < G_N_ELEMENTS(feature_names); i++)
    if (feature_names[i].type == type && feature_names[i].bit == bit)
      return g_strdup(feature_names[i].name);
  return g_strdup("unknown");
}

static bool parse_backing_format(const uint8_t *data, size_t length, Qcow2Header *header, GError **error)
{
  if (length > 15 || memchr(data, 0, length)) {
    bg_set_error(error, EINVAL, "The header's backing format is not a format's name");
    return false;
  }
  g_free(header->backing_format);
  header->backing_format = length ? g_strndup((const char *)data, length) : NULL;
  return true;
}

static bool parse_data_file(const uint8_t *data, size_t length, Qcow2Header *header, GError **error)
{
  if (length > QCOW2_MAX_BACKING_NAME || memchr(data, 0, length)) {
    bg_set_error(error, EINVAL, "The data file's name holds a zero byte or is longer than %u bytes",
                 QCOW2_MAX_BACKING_NAME);
    return false;
  }
  g_free(header->data_file);
  header->data_file = length ? g_strndup((const char *)data, length) : NULL;
  return true;
}

static bool parse_bitmaps(const uint8_t *data, size_t length, Qcow2Header *header, GError **error)
{
  if (length != 24) {
    bg_set_error(error, EINVAL, "The header's bitmaps extension has %zu bytes instead of 24", length);
    return false;
  }
  header->bitmap_count = qcow2_get32(data);
  header->bitmaps_reserved = qcow2_get32(data + 4);
  header->bitmaps_size = qcow2_get64(data + 8);
  header->bitmaps_offset = qcow2_get64(data + 16);
  return true;
}

static bool parse_crypto(const uint8_t *data, size_t length, Qcow2Header *header, GError **error)
{
  if (length != 16 || qcow2_get64(data + 8) == 0) {
    bg_set_error(error, EINVAL, "The header's encryption extension is not valid");
    return false;
  }
  header->crypto_offset = qcow2_get64(data);
  header->crypto_size = qcow2_get64(data + 8);
  return true;
}

bool qcow2_extensions_parse(const uint8_t *area, size_t length, Qcow2Header *header, const uint8_t **features,
                            size_t *features_length, GError **error)
{
  for (size_t at = 0; length - at >= 8;) {
    uint32_t type = qcow2_get32(area + at), size = qcow2_get32(area + at + 4);
    const uint8_t *data = area + at + 8;
    if (type == QCOW2_EXT_END)
      return true;
    if (size > length - at - 8) {
      bg_set_error(error, EINVAL, "The header extension 0x%08x is longer than the header", type);
      return false;
    }
    if (type == QCOW2_EXT_BACKING_FORMAT && !parse_backing_format(data, size, header, error))
      return false;
    if (type == QCOW2_EXT_DATA_FILE && !parse_data_file(data, size, header, error))
      return false;
    if (type == QCOW2_EXT_BITMAPS) {
      if (!parse_bitmaps(data, size, header, error))
        return false;
      header->bitmaps_at = header->header_length + at + 8;
    }
    if (type == QCOW2_EXT_CRYPTO && !parse_crypto(data, size, header, error))
      return false;
    if (type == QCOW2_EXT_FEATURE_NAMES && features) {
      *features = data;
      *features_length = size;
    }
    size_t padded = ((size_t)size + 7) & ~(size_t)7;
    at += 8 + MIN(padded, length - at - 8);
  }
  return true;
}

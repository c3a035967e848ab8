#include "drivers/crypto/luks.h"

#include "drivers/crypto/luks-layout.h"
#include "tests/drivers/mem-child.h"

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>

TestSuite(luks, .timeout = 20);

static const BgSecret right = {"k", (const uint8_t *)"open sesame", 11};
static const BgSecret wrong = {"k", (const uint8_t *)"open rye\n", 9};

/* A new area, and the key in it. */
static uint8_t *make(const char *mode, size_t key_length, uint8_t *key)
{
  g_autoptr(GError) error = NULL;
  if (!bg_crypto_check(&error))
    cr_skip_test("%s", error->message);
  BgLuksCreate create = {"aes", mode, "sha256", key_length, 1, &right};
  uint8_t *area = bg_luks_create(&create, key, &error);
  cr_assert_not_null(area, "%s", error ? error->message : "");
  return area;
}

static BgChild *store(const uint8_t *area, uint64_t size)
{
  BgChild *file = mem_child_new(size);
  memcpy(mem_child_data(file), area, size);
  return file;
}

Test(luks, the_right_secret_gives_the_key)
{
  uint8_t key[BG_CIPHER_KEY_MAX], found[BG_CIPHER_KEY_MAX];
  uint64_t size = bg_luks_area_size(64);
  g_autofree uint8_t *area = make("xts-plain64", 64, key);
  g_autoptr(GError) error = NULL;
  BgLuks luks;
  cr_assert(bg_luks_parse(area, size, &luks, &error), "%s", error ? error->message : "");
  cr_assert_eq(luks.payload_offset, size);
  BgChild *file = store(area, size);
  cr_assert(bg_luks_unlock(&luks, file, 0, &right, found, &error), "%s", error ? error->message : "");
  cr_assert_arr_eq(found, key, 64);
  cr_assert_not(bg_luks_unlock(&luks, file, 0, &wrong, found, &error));
  cr_assert(g_error_matches(error, BG_ERROR, EACCES));
  cr_assert_str_eq(error->message,
                   "The secret 'k' opens none of the image's key slots (it ends with a newline, which counts)");
  mem_child_free(file);
}

Test(luks, work_without_end_is_refused_at_once)
{
  uint64_t size = bg_luks_area_size(32);
  g_autofree uint8_t *area = make("cbc-essiv:sha256", 32, NULL);
  g_autoptr(GError) error = NULL;
  uint8_t found[BG_CIPHER_KEY_MAX];
  BgLuks luks;
  memset(area + LUKS_SLOTS + LUKS_SLOT_ITERATIONS, 0xff, 4);
  cr_assert(bg_luks_parse(area, size, &luks, &error), "%s", error ? error->message : "");
  BgChild *file = store(area, size);
  gint64 start = g_get_monotonic_time();
  cr_assert_not(bg_luks_unlock(&luks, file, 0, &right, found, &error));
  cr_assert(g_error_matches(error, BG_ERROR, EFBIG), "%s", error->message);
  cr_assert_lt(g_get_monotonic_time() - start, 2 * G_USEC_PER_SEC);
  cr_assert(strstr(error->message, "slot 0 (4294967295 iterations"), "%s", error->message);
  mem_child_free(file);
}

/* A second slot of the same secret, which can be opened: a copy of the first one's material under its own salt. */
static void copy_slot(uint8_t *area, unsigned to, size_t key_length)
{
  uint8_t *slots = area + LUKS_SLOTS, *copy = slots + to * LUKS_SLOT_SIZE;
  uint64_t from_sector = 0, to_sector = 0;
  for (unsigned i = 0; i < 4; i++) {
    from_sector = from_sector << 8 | slots[LUKS_SLOT_OFFSET + i];
    to_sector = to_sector << 8 | copy[LUKS_SLOT_OFFSET + i];
  }
  memcpy(area + to_sector * 512, area + from_sector * 512, key_length * BG_LUKS_STRIPES);
  memcpy(copy, slots, LUKS_SLOT_OFFSET);
}

/* Slots that would take too long are passed over, wherever they are; the secret of another one still opens it. */
Test(luks, slots_of_too_much_work_stand_in_no_others_way)
{
  uint8_t key[BG_CIPHER_KEY_MAX], found[BG_CIPHER_KEY_MAX];
  uint64_t size = bg_luks_area_size(32);
  g_autofree uint8_t *area = make("xts-plain64", 32, key);
  g_autoptr(GError) error = NULL;
  BgLuks luks;
  copy_slot(area, 5, 32);
  memset(area + LUKS_SLOTS + LUKS_SLOT_ITERATIONS, 0xff, 4);
  cr_assert(bg_luks_parse(area, size, &luks, &error), "%s", error ? error->message : "");
  BgChild *file = store(area, size);
  cr_assert(bg_luks_unlock(&luks, file, 0, &right, found, &error), "%s", error ? error->message : "");
  cr_assert_arr_eq(found, key, 32);
  cr_assert_not(bg_luks_unlock(&luks, file, 0, &wrong, found, &error));
  cr_assert(g_error_matches(error, BG_ERROR, EACCES));
  cr_assert(strstr(error->message, "none of the 1 key slots that were tried"), "%s", error->message);
  cr_assert(strstr(error->message, "slot 0 (4294967295 iterations"), "%s", error->message);
  mem_child_free(file);
}

typedef struct Malformed {
  size_t offset, bytes;
  uint32_t value;
  int code;
  char said[48];
} Malformed;

ParameterizedTestParameters(luks, malformed)
{
  enum { SLOT = LUKS_SLOTS + 2 * LUKS_SLOT_SIZE };
  static Malformed fields[] = {
      {LUKS_MAGIC, 4, 0x4c554b54, EINVAL, "no LUKS header"},
      {LUKS_VERSION, 2, 2, ENOTSUP, "LUKS version 2"},
      {LUKS_CIPHER, 4, 0x61657301, EINVAL, "cipher is not a text"},
      {LUKS_CIPHER, 4, 0x61657a00, ENOTSUP, "aez-"},
      {LUKS_MODE, 4, 0x58545300, ENOTSUP, "mode"},
      {LUKS_HASH, 4, 0x73686100, ENOTSUP, "hash 'sha'"},
      {LUKS_HASH, 4, 0xffffffff, EINVAL, "hash is not a text"},
      {LUKS_PAYLOAD, 4, 0, EINVAL, "outside the header's area"},
      {LUKS_KEY_BYTES, 4, 0, EINVAL, "key has 0 bytes"},
      {LUKS_KEY_BYTES, 4, 65, EINVAL, "key has 65 bytes"},
      {LUKS_KEY_BYTES, 4, UINT32_MAX, EINVAL, "key has 4294967295 bytes"},
      {LUKS_KEY_BYTES, 4, 33, ENOTSUP, "aes-264"},
      {LUKS_DIGEST_ITERATIONS, 4, 0, EINVAL, "digest has no iterations"},
      {LUKS_UUID, 1, 0x1b, EINVAL, "UUID is not a text"},
      {LUKS_SLOTS + LUKS_SLOT_ITERATIONS, 4, 0, EINVAL, "slot 0 has no iterations"},
      {SLOT + LUKS_SLOT_STATE, 4, 1, EINVAL, "slot 2 has the impossible state"},
      {SLOT + LUKS_SLOT_STRIPES, 4, 0, EINVAL, "slot 2 has 0 stripes"},
      {SLOT + LUKS_SLOT_STRIPES, 4, UINT32_MAX, EINVAL, "slot 2 has 4294967295 stripes"},
      {SLOT + LUKS_SLOT_OFFSET, 4, 0, EINVAL, "slot 2 lies at 0x0"},
      {SLOT + LUKS_SLOT_OFFSET, 4, UINT32_MAX, EINVAL, "slot 2 lies at"},
      {SLOT + LUKS_SLOT_OFFSET, 4, 9, EINVAL, "slots 0 and 2 overlap"},
  };
  return cr_make_param_array(Malformed, fields, G_N_ELEMENTS(fields));
}

ParameterizedTest(Malformed *field, luks, malformed)
{
  g_autofree uint8_t *area = make("xts-plain64", 64, NULL);
  g_autoptr(GError) error = NULL;
  BgLuks luks;
  for (size_t i = 0; i < field->bytes; i++)
    area[field->offset + i] = (uint8_t)(field->value >> (8 * (field->bytes - 1 - i)));
  cr_assert_not(bg_luks_parse(area, bg_luks_area_size(64), &luks, &error));
  cr_expect_eq(error->code, field->code, "%s", error->message);
  cr_expect(strstr(error->message, field->said), "%s", error->message);
}

Test(luks, an_area_must_hold_what_the_header_names)
{
  static const uint64_t areas[] = {0, BG_LUKS_HEADER_SIZE - 1, 100000, BG_LUKS_AREA_MAX + 1, UINT64_MAX};
  g_autofree uint8_t *area = make("xts-plain64", 64, NULL);
  for (size_t i = 0; i < G_N_ELEMENTS(areas); i++) {
    BgLuks luks;
    g_autoptr(GError) error = NULL;
    cr_expect_not(bg_luks_parse(area, areas[i], &luks, &error));
    cr_expect(g_error_matches(error, BG_ERROR, EINVAL));
  }
}

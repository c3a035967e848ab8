#include "drivers/crypto/af.h"

#include <criterion/criterion.h>
#include <string.h>

enum { STRIPES = 40, LENGTH = 48 };

TestSuite(af, .timeout = 20);

static int hash(const char *name)
{
  if (!bg_crypto_check(NULL))
    cr_skip_test("no cryptography in this build");
  return bg_hash_find(name);
}

Test(af, what_is_split_is_merged)
{
  static const char *const names[] = {"sha1", "sha256", "sha512", "ripemd160"};
  for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
    uint8_t key[LENGTH], split[STRIPES * LENGTH], merged[LENGTH];
    memset(key, 0x40 + (int)i, sizeof key);
    cr_assert_eq(bg_af_split(hash(names[i]), key, LENGTH, STRIPES, split), 0);
    cr_assert_eq(bg_af_merge(hash(names[i]), split, LENGTH, STRIPES, merged), 0);
    cr_assert_arr_eq(merged, key, LENGTH);
  }
}

Test(af, every_stripe_is_needed)
{
  uint8_t key[LENGTH] = {1, 2, 3}, split[STRIPES * LENGTH], merged[LENGTH];
  cr_assert_eq(bg_af_split(hash("sha256"), key, LENGTH, STRIPES, split), 0);
  for (size_t i = 0; i < STRIPES; i++) {
    split[i * LENGTH + i % LENGTH] ^= 0x10;
    cr_assert_eq(bg_af_merge(hash("sha256"), split, LENGTH, STRIPES, merged), 0);
    cr_assert_neq(memcmp(merged, key, LENGTH), 0, "stripe %zu", i);
    split[i * LENGTH + i % LENGTH] ^= 0x10;
  }
}

/* Two stripes by hand: the key is the last one, xor the hash of "0, first" and of "1, rest of the first". */
Test(af, a_known_vector)
{
  uint8_t split[2 * LENGTH], merged[LENGTH], expected[LENGTH], digest[BG_DIGEST_MAX];
  uint8_t number[4] = {0};
  for (size_t i = 0; i < sizeof split; i++)
    split[i] = (uint8_t)i;
  struct iovec first[] = {{number, 4}, {split, 32}}, second[] = {{number, 4}, {split + 32, 16}};
  cr_assert_eq(bg_hash(hash("sha256"), first, 2, digest), 0);
  memcpy(expected, digest, 32);
  number[3] = 1;
  cr_assert_eq(bg_hash(hash("sha256"), second, 2, digest), 0);
  memcpy(expected + 32, digest, 16);
  for (size_t i = 0; i < LENGTH; i++)
    expected[i] ^= split[LENGTH + i];
  cr_assert_eq(bg_af_merge(hash("sha256"), split, LENGTH, 2, merged), 0);
  cr_assert_arr_eq(merged, expected, LENGTH);
}

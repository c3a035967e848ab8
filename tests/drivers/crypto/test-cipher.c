#include "drivers/crypto/cipher.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

TestSuite(cipher, .timeout = 20);

static BgCipher *new_cipher(const char *name, const char *mode, size_t key_length)
{
  g_autoptr(GError) error = NULL;
  if (!bg_crypto_check(&error))
    cr_skip_test("%s", error->message);
  BgCipherSpec spec;
  uint8_t key[BG_CIPHER_KEY_MAX];
  for (size_t i = 0; i < sizeof key; i++)
    key[i] = (uint8_t)(i * 7 + 3);
  cr_assert(bg_cipher_spec_parse(name, mode, key_length, &spec, &error), "%s", error ? error->message : "");
  BgCipher *cipher = bg_cipher_new(&spec, key, &error);
  cr_assert_not_null(cipher, "%s", error ? error->message : "");
  return cipher;
}

static void fill(uint8_t *bytes, size_t length)
{
  for (size_t i = 0; i < length; i++)
    bytes[i] = (uint8_t)(i * 31 + i / 256);
}

Test(cipher, what_is_encrypted_comes_back)
{
  static const struct {
    const char *name, *mode;
    size_t key_length;
  } ciphers[] = {
      {"aes", "xts-plain64", 64},       {"aes", "xts-plain", 32},     {"aes", "cbc-essiv:sha256", 16},
      {"serpent", "xts-plain64", 64},   {"twofish", "cbc-plain", 32}, {"cast5", "cbc-plain64", 16},
      {"serpent", "xts-essiv:md5", 32}, {"aes", "cbc-plain64", 24},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(ciphers); i++) {
    uint8_t plain[4 * BG_CIPHER_SECTOR], bytes[sizeof plain];
    BgCipher *cipher = new_cipher(ciphers[i].name, ciphers[i].mode, ciphers[i].key_length);
    fill(plain, sizeof plain);
    memcpy(bytes, plain, sizeof plain);
    cr_assert_eq(bg_cipher_encrypt(cipher, bytes, sizeof bytes, 77), 0);
    cr_assert_neq(memcmp(bytes, plain, 16), 0);
    /* sectors stand alone: the third by itself */
    cr_assert_eq(bg_cipher_decrypt(cipher, bytes + 2 * BG_CIPHER_SECTOR, BG_CIPHER_SECTOR, 79), 0);
    cr_assert_arr_eq(bytes + 2 * BG_CIPHER_SECTOR, plain + 2 * BG_CIPHER_SECTOR, BG_CIPHER_SECTOR);
    cr_assert_eq(bg_cipher_encrypt(cipher, bytes + 2 * BG_CIPHER_SECTOR, BG_CIPHER_SECTOR, 79), 0);
    cr_assert_eq(bg_cipher_decrypt(cipher, bytes, sizeof bytes, 77), 0);
    cr_assert_arr_eq(bytes, plain, sizeof plain);
    bg_cipher_free(cipher);
  }
}

/* What one sector of zeros becomes as number `sector`. */
static void encrypt_zeros(const char *mode, uint64_t sector, uint8_t out[BG_CIPHER_SECTOR])
{
  BgCipher *cipher = new_cipher("aes", mode, 32);
  memset(out, 0, BG_CIPHER_SECTOR);
  cr_assert_eq(bg_cipher_encrypt(cipher, out, BG_CIPHER_SECTOR, sector), 0);
  bg_cipher_free(cipher);
}

Test(cipher, only_plain_forgets_the_upper_half_of_the_number)
{
  uint8_t low[BG_CIPHER_SECTOR], high[BG_CIPHER_SECTOR];
  encrypt_zeros("cbc-plain", 5, low);
  encrypt_zeros("cbc-plain", 5 + (UINT64_C(1) << 32), high);
  cr_assert_arr_eq(low, high, sizeof low);
  encrypt_zeros("cbc-plain64", 5 + (UINT64_C(1) << 32), high);
  cr_assert_neq(memcmp(low, high, sizeof low), 0);
  encrypt_zeros("cbc-essiv:sha256", 5, high);
  cr_assert_neq(memcmp(low, high, sizeof low), 0);
}

/* IEEE 1619-2007, vector 4: keys 27182818…, 31415926…, data unit 0, bytes 00 01 02 … */
Test(cipher, xts_agrees_with_its_standard)
{
  static const uint8_t key[32] = {0x27, 0x18, 0x28, 0x18, 0x28, 0x45, 0x90, 0x45, 0x23, 0x53, 0x60,
                                  0x28, 0x74, 0x71, 0x35, 0x26, 0x31, 0x41, 0x59, 0x26, 0x53, 0x58,
                                  0x97, 0x93, 0x23, 0x84, 0x62, 0x64, 0x33, 0x83, 0x27, 0x95};
  static const uint8_t expected[16] = {0x27, 0xa7, 0x47, 0x9b, 0xef, 0xa1, 0xd4, 0x76,
                                       0x48, 0x9f, 0x30, 0x8c, 0xd4, 0xcf, 0xa6, 0xe2};
  if (!bg_crypto_check(NULL))
    cr_skip_test("no cryptography in this build");
  BgCipherSpec spec;
  cr_assert(bg_cipher_spec_parse("aes", "xts-plain64", sizeof key, &spec, NULL));
  BgCipher *cipher = bg_cipher_new(&spec, key, NULL);
  uint8_t bytes[BG_CIPHER_SECTOR];
  for (size_t i = 0; i < sizeof bytes; i++)
    bytes[i] = (uint8_t)i;
  cr_assert_eq(bg_cipher_encrypt(cipher, bytes, sizeof bytes, 0), 0);
  cr_assert_arr_eq(bytes, expected, sizeof expected);
  bg_cipher_free(cipher);
}

Test(cipher, what_is_not_served_is_named)
{
  static const struct {
    const char *name, *mode;
    size_t key_length;
    const char *said;
  } refused[] = {
      {"aes", "ecb", 16, "mode 'ecb'"},
      {"aes", "ctr-plain64", 16, "mode 'ctr-plain64'"},
      {"aes", "cbc-benbi", 16, "vector 'benbi'"},
      {"aes", "cbc-essiv:crc32", 16, "vector 'essiv:crc32'"},
      {"cast5", "cbc-essiv:sha256", 16, "combination"},
      {"cast5", "xts-plain64", 32, "cast5-256 in mode xts"},
      {"aes", "xts-plain64", 48, "aes-384"},
      {"aes", "cbc-plain", 0, "aes-0"},
      {"rot13", "cbc-plain", 16, "rot13-128"},
  };
  if (!bg_crypto_check(NULL))
    cr_skip_test("no cryptography in this build");
  for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
    BgCipherSpec spec;
    g_autoptr(GError) error = NULL;
    cr_assert_not(bg_cipher_spec_parse(refused[i].name, refused[i].mode, refused[i].key_length, &spec, &error));
    cr_expect(g_error_matches(error, BG_ERROR, ENOTSUP));
    cr_expect(strstr(error->message, refused[i].said), "%s", error->message);
  }
}

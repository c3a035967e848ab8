/* The primitives from libgcrypt. */
#include "drivers/crypto/primitives.h"

#include <errno.h>
#include <gcrypt.h>
#include <glib.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

/* The oldest version with all that is asked of it here. */
#define GCRYPT_VERSION_MIN "1.8.0"
/* Key schedules lie there; it grows. */
enum { SECURE_BYTES = 64 * 1024 };

static void start_library(void)
{
  if (gcry_control(GCRYCTL_INITIALIZATION_FINISHED_P))
    return;
  gcry_check_version(NULL);
  gcry_control(GCRYCTL_SUSPEND_SECMEM_WARN); /* that memory cannot be locked: nothing the user could change here */
  gcry_control(GCRYCTL_AUTO_EXPAND_SECMEM, SECURE_BYTES, 0);
  gcry_control(GCRYCTL_INIT_SECMEM, SECURE_BYTES, 0);
  gcry_control(GCRYCTL_INITIALIZATION_FINISHED, 0);
}

bool bg_crypto_check(GError **error)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, start_library);
  if (gcry_check_version(GCRYPT_VERSION_MIN))
    return true;
  bg_set_error(error, ENOTSUP, "libgcrypt %s is too old: encryption needs %s", gcry_check_version(NULL),
               GCRYPT_VERSION_MIN);
  return false;
}

static int to_errno(gcry_error_t error)
{
  int code = error ? gcry_err_code_to_errno(gcry_err_code(error)) : 0;
  return error ? -(code ? code : EIO) : 0;
}

/* ── hashes ── */

int bg_hash_find(const char *name)
{
  static const struct {
    const char *name;
    int hash;
  } known[] = {
      {"md5", GCRY_MD_MD5},       {"sha1", GCRY_MD_SHA1},     {"sha224", GCRY_MD_SHA224},    {"sha256", GCRY_MD_SHA256},
      {"sha384", GCRY_MD_SHA384}, {"sha512", GCRY_MD_SHA512}, {"ripemd160", GCRY_MD_RMD160},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(known); i++)
    if (strcmp(known[i].name, name) == 0 && gcry_md_test_algo(known[i].hash) == 0)
      return known[i].hash;
  return -1;
}

size_t bg_hash_size(int hash)
{
  return gcry_md_get_algo_dlen(hash);
}

/* In one go: each handle that is opened costs the library more than the hash itself, and a LUKS slot takes thousands. */
int bg_hash(int hash, const struct iovec *pieces, int count, uint8_t *digest)
{
  gcry_buffer_t buffers[BG_HASH_PIECES];
  g_assert(count <= BG_HASH_PIECES);
  for (int i = 0; i < count; i++)
    buffers[i] = (gcry_buffer_t){.data = pieces[i].iov_base, .len = pieces[i].iov_len};
  return to_errno(gcry_md_hash_buffers(hash, 0, digest, buffers, count));
}

int bg_pbkdf2(int hash, const void *password, size_t password_length, const void *salt, size_t salt_length,
              uint32_t iterations, void *out, size_t length)
{
  return to_errno(
      gcry_kdf_derive(password, password_length, GCRY_KDF_PBKDF2, hash, salt, salt_length, iterations, length, out));
}

static double thread_seconds(void)
{
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

double bg_pbkdf2_speed(int hash, size_t length)
{
  uint8_t key[BG_DIGEST_MAX], salt[32] = {0};
  for (uint32_t iterations = 1024;; iterations *= 2) {
    double start = thread_seconds();
    if (bg_pbkdf2(hash, "calibration", 11, salt, sizeof salt, iterations, key, MIN(length, sizeof key)) < 0)
      return 1;
    double seconds = thread_seconds() - start;
    if (seconds > 0.01 || iterations >= 1u << 24)
      return (double)iterations / MAX(seconds, 1e-6);
  }
}

int bg_random(void *out, size_t length)
{
  gcry_randomize(out, length, GCRY_STRONG_RANDOM);
  return 0;
}

/* ── block ciphers ── */

struct BgBlockCipher {
  gcry_cipher_hd_t handle;
  size_t size; /* of a block */
};

/* libgcrypt's number for it; GCRY_CIPHER_NONE: there is none. `key_length`: of one key. */
static int find_cipher(const char *name, size_t key_length)
{
  static const struct {
    const char *name;
    size_t key_length;
    int cipher;
  } known[] = {
      {"aes", 16, GCRY_CIPHER_AES128},         {"aes", 24, GCRY_CIPHER_AES192},
      {"aes", 32, GCRY_CIPHER_AES256},         {"cast5", 16, GCRY_CIPHER_CAST5},
      {"serpent", 16, GCRY_CIPHER_SERPENT128}, {"serpent", 24, GCRY_CIPHER_SERPENT192},
      {"serpent", 32, GCRY_CIPHER_SERPENT256}, {"twofish", 16, GCRY_CIPHER_TWOFISH128},
      {"twofish", 32, GCRY_CIPHER_TWOFISH},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(known); i++)
    if (strcmp(known[i].name, name) == 0 && known[i].key_length == key_length)
      return gcry_cipher_test_algo(known[i].cipher) == 0 ? known[i].cipher : GCRY_CIPHER_NONE;
  return GCRY_CIPHER_NONE;
}

static int to_library_mode(BgCipherMode mode)
{
  return mode == BG_CIPHER_XTS   ? GCRY_CIPHER_MODE_XTS
         : mode == BG_CIPHER_CBC ? GCRY_CIPHER_MODE_CBC
                                 : GCRY_CIPHER_MODE_ECB;
}

size_t bg_block_cipher_size(const char *name, BgCipherMode mode, size_t key_length)
{
  bool xts = mode == BG_CIPHER_XTS;
  if (xts && key_length != 32 && key_length != 64) /* XTS is defined for keys of 128 and 256 bits */
    return 0;
  int cipher = find_cipher(name, xts ? key_length / 2 : key_length);
  size_t size = cipher == GCRY_CIPHER_NONE ? 0 : gcry_cipher_get_algo_blklen(cipher);
  return xts && size != 16 ? 0 : size;
}

BgBlockCipher *bg_block_cipher_new(const char *name, BgCipherMode mode, const uint8_t *key, size_t key_length)
{
  size_t size = bg_block_cipher_size(name, mode, key_length);
  gcry_cipher_hd_t handle;
  if (!size || gcry_cipher_open(&handle, find_cipher(name, mode == BG_CIPHER_XTS ? key_length / 2 : key_length),
                                to_library_mode(mode), GCRY_CIPHER_SECURE))
    return NULL;
  gcry_error_t error = gcry_cipher_setkey(handle, key, key_length);
  if (error && gcry_err_code(error) != GPG_ERR_WEAK_KEY) {
    gcry_cipher_close(handle);
    return NULL;
  }
  BgBlockCipher *cipher = g_new(BgBlockCipher, 1);
  *cipher = (BgBlockCipher){handle, size};
  return cipher;
}

void bg_block_cipher_free(BgBlockCipher *cipher)
{
  if (cipher)
    gcry_cipher_close(cipher->handle);
  g_free(cipher);
}

int bg_block_cipher_encrypt(BgBlockCipher *cipher, const uint8_t *iv, void *buffer, size_t length)
{
  gcry_error_t error = iv ? gcry_cipher_setiv(cipher->handle, iv, cipher->size) : 0;
  return to_errno(error ? error : gcry_cipher_encrypt(cipher->handle, buffer, length, NULL, 0));
}

int bg_block_cipher_decrypt(BgBlockCipher *cipher, const uint8_t *iv, void *buffer, size_t length)
{
  gcry_error_t error = iv ? gcry_cipher_setiv(cipher->handle, iv, cipher->size) : 0;
  return to_errno(error ? error : gcry_cipher_decrypt(cipher->handle, buffer, length, NULL, 0));
}

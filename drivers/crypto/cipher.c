#include "drivers/crypto/cipher.h"

#include "drivers/crypto/memory.h"

#include <endian.h>
#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <string.h>

/* What one thread works with. */
typedef struct Worker {
  struct Worker *next;
  BgBlockCipher *data;
  BgBlockCipher *iv; /* ESSIV, else NULL */
} Worker;

struct BgCipher {
  BgCipherSpec spec;
  size_t block;
  uint8_t *key, *iv_key; /* secret memory; iv_key: ESSIV, else NULL */
  size_t iv_key_length;
  pthread_mutex_t lock;
  Worker *idle;
};

/* ── what is meant by a mode ── */

static bool refuse(GError **error, const char *what, const char *name)
{
  g_autofree char *shown = g_strescape(name, NULL);
  bg_set_error(error, ENOTSUP, "The %s '%s' of the encryption is not supported", what, shown);
  return false;
}

static bool parse_iv(const char *iv, BgCipherSpec *spec, GError **error)
{
  if (strcmp(iv, "plain") == 0) {
    spec->iv = BG_IV_PLAIN;
  } else if (strcmp(iv, "plain64") == 0) {
    spec->iv = BG_IV_PLAIN64;
  } else if (g_str_has_prefix(iv, "essiv:")) {
    spec->iv = BG_IV_ESSIV;
    spec->iv_hash = bg_hash_find(iv + strlen("essiv:"));
    if (spec->iv_hash < 0)
      return refuse(error, "initialization vector", iv);
    if (!bg_block_cipher_size(spec->name, BG_CIPHER_ECB, bg_hash_size(spec->iv_hash)))
      return refuse(error, "combination of cipher and initialization vector", iv);
  } else {
    return refuse(error, "initialization vector", iv);
  }
  return true;
}

bool bg_cipher_spec_parse(const char *name, const char *mode, size_t key_length, BgCipherSpec *spec, GError **error)
{
  BgCipherSpec parsed = {.key_length = key_length};
  g_strlcpy(parsed.name, name, sizeof parsed.name);
  if (g_str_has_prefix(mode, "xts-"))
    parsed.mode = BG_CIPHER_XTS;
  else if (g_str_has_prefix(mode, "cbc-"))
    parsed.mode = BG_CIPHER_CBC;
  else
    return refuse(error, "mode", mode);
  if (key_length > BG_CIPHER_KEY_MAX || !bg_block_cipher_size(name, parsed.mode, key_length)) {
    g_autofree char *what = g_strdup_printf("%s-%zu in mode %s", name, key_length * 8, mode);
    return refuse(error, "cipher", what);
  }
  if (!parse_iv(mode + 4, &parsed, error))
    return false;
  *spec = parsed;
  return true;
}

/* ── workers: as many as threads were ever at work at once ── */

static void worker_free(Worker *worker)
{
  bg_block_cipher_free(worker->data);
  bg_block_cipher_free(worker->iv);
  g_free(worker);
}

static Worker *worker_new(const BgCipher *cipher)
{
  const BgCipherSpec *spec = &cipher->spec;
  Worker *worker = g_new0(Worker, 1);
  worker->data = bg_block_cipher_new(spec->name, spec->mode, cipher->key, spec->key_length);
  if (cipher->iv_key)
    worker->iv = bg_block_cipher_new(spec->name, BG_CIPHER_ECB, cipher->iv_key, cipher->iv_key_length);
  if (worker->data && (worker->iv || !cipher->iv_key))
    return worker;
  worker_free(worker);
  return NULL;
}

static Worker *take(BgCipher *cipher)
{
  pthread_mutex_lock(&cipher->lock);
  Worker *worker = cipher->idle;
  if (worker)
    cipher->idle = worker->next;
  pthread_mutex_unlock(&cipher->lock);
  return worker ? worker : worker_new(cipher);
}

static void give(BgCipher *cipher, Worker *worker)
{
  pthread_mutex_lock(&cipher->lock);
  worker->next = cipher->idle;
  cipher->idle = worker;
  pthread_mutex_unlock(&cipher->lock);
}

/* ── the cipher ── */

void bg_cipher_free(BgCipher *cipher)
{
  if (!cipher)
    return;
  while (cipher->idle) {
    Worker *worker = cipher->idle;
    cipher->idle = worker->next;
    worker_free(worker);
  }
  bg_secret_free(cipher->key, cipher->spec.key_length);
  bg_secret_free(cipher->iv_key, cipher->iv_key_length);
  pthread_mutex_destroy(&cipher->lock);
  g_free(cipher);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BgCipher, bg_cipher_free)

static int set_keys(BgCipher *cipher, const uint8_t *key)
{
  cipher->key = bg_secret_alloc(cipher->spec.key_length);
  if (!cipher->key)
    return -ENOMEM;
  memcpy(cipher->key, key, cipher->spec.key_length);
  if (cipher->spec.iv != BG_IV_ESSIV)
    return 0;
  cipher->iv_key_length = bg_hash_size(cipher->spec.iv_hash);
  cipher->iv_key = bg_secret_alloc(cipher->iv_key_length);
  struct iovec whole = {cipher->key, cipher->spec.key_length};
  return cipher->iv_key ? bg_hash(cipher->spec.iv_hash, &whole, 1, cipher->iv_key) : -ENOMEM;
}

BgCipher *bg_cipher_new(const BgCipherSpec *spec, const uint8_t *key, GError **error)
{
  g_autoptr(BgCipher) cipher = g_new0(BgCipher, 1);
  cipher->spec = *spec;
  cipher->block = bg_block_cipher_size(spec->name, spec->mode, spec->key_length);
  pthread_mutex_init(&cipher->lock, NULL);
  int r = set_keys(cipher, key);
  Worker *first = r == 0 ? take(cipher) : NULL;
  if (!first) {
    bg_set_error_errno(error, r < 0 ? -r : EINVAL, "The cipher cannot be set up");
    return NULL;
  }
  give(cipher, first);
  return g_steal_pointer(&cipher);
}

static int make_iv(const BgCipher *cipher, Worker *worker, uint64_t sector, uint8_t iv[16])
{
  uint64_t number = htole64(cipher->spec.iv == BG_IV_PLAIN ? (uint32_t)sector : sector);
  memset(iv, 0, 16);
  memcpy(iv, &number, sizeof number);
  return worker->iv ? bg_block_cipher_encrypt(worker->iv, NULL, iv, cipher->block) : 0;
}

typedef int Step(BgBlockCipher *cipher, const uint8_t *iv, void *buffer, size_t length);

static int run(BgCipher *cipher, Step *step, uint8_t *buffer, size_t length, uint64_t sector)
{
  Worker *worker = take(cipher);
  int r = worker ? 0 : -ENOMEM;
  for (size_t done = 0; r == 0 && done < length; done += BG_CIPHER_SECTOR, sector++) {
    uint8_t iv[16];
    r = make_iv(cipher, worker, sector, iv);
    if (r == 0)
      r = step(worker->data, iv, buffer + done, MIN(length - done, BG_CIPHER_SECTOR));
  }
  if (worker)
    give(cipher, worker);
  return r;
}

int bg_cipher_encrypt(BgCipher *cipher, void *buffer, size_t length, uint64_t sector)
{
  return run(cipher, bg_block_cipher_encrypt, buffer, length, sector);
}

int bg_cipher_decrypt(BgCipher *cipher, void *buffer, size_t length, uint64_t sector)
{
  return run(cipher, bg_block_cipher_decrypt, buffer, length, sector);
}

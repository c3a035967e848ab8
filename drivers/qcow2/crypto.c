/* Encrypted images: data clusters are encrypted, sector by sector, metadata is not (nor are compressed clusters). With LUKS the sector's number
 * is that of its place in the file, with the legacy method AES that of its place on the disk. */
#include "drivers/crypto/luks.h"
#include "drivers/crypto/memory.h"
#include "drivers/qcow2/image.h"

#include <errno.h>

enum { AES_KEY = 16 };

typedef struct Qcow2Crypto {
  bool by_disk;     /* sectors are numbered as on the disk */
  BgCipher *cipher; /* NULL: the image is only looked at */
  BgLuks *luks;     /* NULL: AES, or only looked at and not understood */
  uint8_t identity[BG_LUKS_IDENTITY_SIZE];
} Qcow2Crypto;

void qcow2_crypto_free(Qcow2Crypto *crypto)
{
  if (!crypto)
    return;
  bg_cipher_free(crypto->cipher);
  g_free(crypto->luks);
  g_free(crypto);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qcow2Crypto, qcow2_crypto_free)

/* ── opening ── */

/* Where the library is missing no secret would help: that is said first. */
static bool find_secret(Qcow2 *q, const BgSecret **secret, GError **error)
{
  g_autoptr(GError) missing = NULL;
  *secret = NULL;
  if (!q->host->need_secret || q->host->need_secret(q->host, q->options->key_secret, secret, &missing))
    return true;
  if (bg_crypto_check(error))
    g_propagate_error(error, g_steal_pointer(&missing));
  return false;
}

/* The first sixteen bytes of the secret are the key; nothing tells whether it is right. */
static bool open_aes(Qcow2Crypto *crypto, const BgSecret *secret, GError **error)
{
  BgCipherSpec spec;
  if (!bg_cipher_spec_parse("aes", "cbc-plain64", AES_KEY, &spec, error))
    return false;
  uint8_t *key = bg_secret_alloc(AES_KEY);
  if (key)
    memcpy(key, secret->data, MIN(secret->length, AES_KEY));
  crypto->cipher = key ? bg_cipher_new(&spec, key, error) : NULL;
  if (!key)
    bg_set_error_errno(error, ENOMEM, "The key");
  bg_secret_free(key, AES_KEY);
  return crypto->cipher;
}

static bool open_luks(Qcow2 *q, Qcow2Crypto *crypto, const BgSecret *secret, GError **error)
{
  uint8_t *key = bg_secret_alloc(BG_CIPHER_KEY_MAX);
  if (!key)
    bg_set_error_errno(error, ENOMEM, "The key");
  else if (bg_luks_unlock(crypto->luks, q->file, q->crypto_offset, secret, key, error))
    crypto->cipher = bg_cipher_new(&crypto->luks->spec, key, error);
  bg_secret_free(key, BG_CIPHER_KEY_MAX);
  return crypto->cipher;
}

static bool read_luks(Qcow2 *q, Qcow2Crypto *crypto, GError **error)
{
  uint8_t bytes[BG_LUKS_HEADER_SIZE];
  int r = bg_child_pread(q->file, bytes, sizeof bytes, q->crypto_offset);
  if (r < 0) {
    bg_set_error_errno(error, -r, "Cannot read the encryption header");
    return false;
  }
  memcpy(crypto->identity, bytes, sizeof crypto->identity);
  g_autofree BgLuks *luks = g_new(BgLuks, 1);
  if (!bg_luks_parse(bytes, q->crypto_size, luks, error))
    return false;
  crypto->luks = g_steal_pointer(&luks);
  return true;
}

static bool check_options(const Qcow2 *q, GError **error)
{
  const Qcow2Options *options = q->options;
  unsigned method = q->crypt_method;
  if (!method && (options->encrypt_format || options->key_secret))
    bg_set_error(error, EINVAL, "The image is not encrypted, but encrypt options are given");
  else if (options->encrypt_format && (unsigned)options->encrypt_format != method)
    bg_set_error(error, EINVAL, "The image is encrypted with %s, not as encrypt.format says",
                 method == QCOW2_CRYPT_AES ? "aes" : "luks");
  else if (method && q->raw)
    bg_set_error(error, EINVAL, "The image is encrypted, which contradicts its raw data file");
  else
    return true;
  return false;
}

bool qcow2_crypto_open(Qcow2 *q, GError **error)
{
  const BgSecret *secret;
  if (!check_options(q, error))
    return false;
  if (!q->crypt_method)
    return true;
  bool luks = q->crypt_method == QCOW2_CRYPT_LUKS;
  g_autoptr(Qcow2Crypto) crypto = g_new0(Qcow2Crypto, 1);
  crypto->by_disk = !luks;
  if (!find_secret(q, &secret, error))
    return false;
  if (!secret) {
    if (luks && bg_crypto_check(NULL))
      read_luks(q, crypto, NULL); /* for what is told of the image; where it is wrong, nobody can use it anyway */
  } else if (!bg_crypto_check(error) || (luks && !read_luks(q, crypto, error)) ||
             !(luks ? open_luks(q, crypto, secret, error) : open_aes(crypto, secret, error))) {
    return false;
  }
  q->crypto = g_steal_pointer(&crypto);
  return true;
}

bool qcow2_crypto_check_same(Qcow2 *q, const Qcow2Header *header, GError **error)
{
  uint8_t identity[BG_LUKS_IDENTITY_SIZE];
  if (header->crypt_method != QCOW2_CRYPT_LUKS)
    return true;
  int r = bg_child_pread(q->file, identity, sizeof identity, header->crypto_offset);
  if (r < 0)
    bg_set_error_errno(error, -r, "Cannot read the encryption header");
  else if (q->crypto->cipher && memcmp(identity, q->crypto->identity, sizeof identity) != 0)
    bg_set_error(error, ESTALE, "The image was encrypted anew since it was opened");
  else
    return true;
  return false;
}

/* ── data ── */

static uint64_t first_sector(const Qcow2Crypto *crypto, uint64_t disk_offset, uint64_t file_offset)
{
  return (crypto->by_disk ? disk_offset : file_offset) / BG_CIPHER_SECTOR;
}

int qcow2_decode(void *instance, void *buffer, size_t length, uint64_t disk_offset, uint64_t file_offset)
{
  const Qcow2Crypto *crypto = ((Qcow2 *)instance)->crypto;
  if (!crypto->cipher)
    return -EACCES;
  return bg_cipher_decrypt(crypto->cipher, buffer, length, first_sector(crypto, disk_offset, file_offset));
}

int qcow2_encode(void *instance, void *buffer, size_t length, uint64_t disk_offset, uint64_t file_offset)
{
  const Qcow2Crypto *crypto = ((Qcow2 *)instance)->crypto;
  if (!crypto->cipher)
    return -EACCES;
  return bg_cipher_encrypt(crypto->cipher, buffer, length, first_sector(crypto, disk_offset, file_offset));
}

/* The whole sectors around a piece of data, decrypted. */
typedef struct Sectors {
  uint8_t *bytes;
  uint64_t skip, length; /* before the piece; of all */
} Sectors;

static int sectors_read(Qcow2 *q, Sectors *sectors, size_t length, uint64_t disk_offset, uint64_t file_offset)
{
  sectors->skip = file_offset % BG_CIPHER_SECTOR;
  sectors->length = (sectors->skip + length + BG_CIPHER_SECTOR - 1) / BG_CIPHER_SECTOR * BG_CIPHER_SECTOR;
  sectors->bytes = g_try_malloc(sectors->length);
  int r = sectors->bytes ? 0 : -ENOMEM;
  if (r == 0)
    r = bg_child_pread(q->data, sectors->bytes, sectors->length, file_offset - sectors->skip);
  if (r == 0)
    r = qcow2_decode(q, sectors->bytes, sectors->length, disk_offset - sectors->skip, file_offset - sectors->skip);
  return r;
}

int qcow2_read_data(Qcow2 *q, void *out, size_t length, uint64_t disk_offset, uint64_t file_offset)
{
  if (!q->crypto)
    return bg_child_pread(q->data, out, length, file_offset);
  Sectors sectors;
  int r = sectors_read(q, &sectors, length, disk_offset, file_offset);
  if (r == 0)
    memcpy(out, sectors.bytes + sectors.skip, length);
  g_free(sectors.bytes);
  return r;
}

int qcow2_write_data(Qcow2 *q, const void *data, size_t length, uint64_t disk_offset, uint64_t file_offset)
{
  if (!q->crypto)
    return bg_child_pwrite(q->data, data, length, file_offset);
  Sectors sectors;
  int r = sectors_read(q, &sectors, length, disk_offset, file_offset);
  if (r == 0) {
    memcpy(sectors.bytes + sectors.skip, data, length);
    r = qcow2_encode(q, sectors.bytes, sectors.length, disk_offset - sectors.skip, file_offset - sectors.skip);
  }
  if (r == 0)
    r = bg_child_pwrite(q->data, sectors.bytes, sectors.length, file_offset - sectors.skip);
  g_free(sectors.bytes);
  return r;
}

/* ── what is told ── */

static GVariant *describe_slots(const BgLuks *luks)
{
  GVariantBuilder slots;
  g_variant_builder_init(&slots, G_VARIANT_TYPE("aa{sv}"));
  for (unsigned i = 0; i < BG_LUKS_SLOTS; i++) {
    const BgLuksSlot *slot = &luks->slots[i];
    g_variant_builder_open(&slots, G_VARIANT_TYPE_VARDICT);
    g_variant_builder_add(&slots, "{sv}", "active", g_variant_new_boolean(slot->active));
    g_variant_builder_add(&slots, "{sv}", "key-offset", g_variant_new_uint64(slot->offset));
    if (slot->active) {
      g_variant_builder_add(&slots, "{sv}", "iters", g_variant_new_uint64(slot->iterations));
      g_variant_builder_add(&slots, "{sv}", "stripes", g_variant_new_uint64(slot->stripes));
    }
    g_variant_builder_close(&slots);
  }
  return g_variant_builder_end(&slots);
}

static void describe_luks(const BgLuks *luks, GVariantBuilder *facts)
{
  g_auto(GStrv) mode = g_strsplit_set(luks->mode, "-:", 3);
  g_autofree char *cipher =
      g_strdup_printf("%s-%zu", luks->cipher, luks->spec.key_length * (luks->spec.mode == BG_CIPHER_XTS ? 4 : 8));
  g_variant_builder_add(facts, "{sv}", "cipher-alg", g_variant_new_string(cipher));
  g_variant_builder_add(facts, "{sv}", "cipher-mode", g_variant_new_string(mode[0]));
  g_variant_builder_add(facts, "{sv}", "ivgen-alg", g_variant_new_string(mode[1]));
  if (mode[2])
    g_variant_builder_add(facts, "{sv}", "ivgen-hash-alg", g_variant_new_string(mode[2]));
  g_variant_builder_add(facts, "{sv}", "hash-alg", g_variant_new_string(luks->hash_name));
  g_variant_builder_add(facts, "{sv}", "uuid", g_variant_new_string(luks->uuid));
  g_variant_builder_add(facts, "{sv}", "payload-offset", g_variant_new_uint64(luks->payload_offset));
  g_variant_builder_add(facts, "{sv}", "master-key-iters", g_variant_new_uint64(luks->digest_iterations));
  g_variant_builder_add(facts, "{sv}", "slots", describe_slots(luks));
}

GVariant *qcow2_crypto_describe(const Qcow2Crypto *crypto)
{
  GVariantBuilder facts;
  g_variant_builder_init(&facts, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add(&facts, "{sv}", "format", g_variant_new_string(crypto->by_disk ? "aes" : "luks"));
  if (crypto->luks)
    describe_luks(crypto->luks, &facts);
  return g_variant_builder_end(&facts);
}

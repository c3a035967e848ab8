/* The encryption header of a new image. */
#include "drivers/crypto/luks.h"
#include "drivers/qcow2/image.h"

#include <errno.h>

bool qcow2_create_crypto_check(const BgCreate *create, GError **error)
{
  const Qcow2CreateOptions *options = create->options;
  if (!options->encrypt_format && options->key_secret)
    bg_set_error(error, EINVAL, "encrypt.key-secret is of use with encrypt.format=luks only");
  else if (options->encrypt_format && options->preallocation)
    bg_set_error(error, EINVAL, "preallocation would show noise in an encrypted image: only one of them is possible");
  else
    return !options->encrypt_format || bg_crypto_check(error);
  return false;
}

/* "aes-256" in the words of a LUKS header. False: it is none. */
static bool split_cipher(const char *text, BgLuksCreate *luks, char **name, bool xts)
{
  const char *dash = strrchr(text, '-');
  uint64_t bits;
  if (!dash || !g_ascii_string_to_unsigned(dash + 1, 10, 64, 256, &bits, NULL) || bits % 8)
    return false;
  *name = g_strndup(text, (size_t)(dash - text));
  luks->cipher = *name;
  luks->key_length = bits / 8 * (xts ? 2 : 1);
  return true;
}

bool qcow2_create_crypto(const BgCreate *create, uint8_t **area, uint64_t *size, GError **error)
{
  const Qcow2CreateOptions *options = create->options;
  BgLuksCreate luks = {.hash = options->hash_alg, .iter_time = (uint32_t)options->iter_time};
  bool essiv = strcmp(options->ivgen_alg, "essiv") == 0;
  g_autofree char *name = NULL;
  g_autofree char *mode = g_strdup_printf("%s-%s%s%s", options->cipher_mode, options->ivgen_alg, essiv ? ":" : "",
                                          essiv ? options->ivgen_hash_alg : "");
  luks.mode = mode;
  if (!split_cipher(options->cipher_alg, &luks, &name, strcmp(options->cipher_mode, "xts") == 0)) {
    bg_set_error(error, EINVAL, "encrypt.cipher-alg is a cipher's name and its key's bits: aes-256");
    return false;
  }
  if (!create->need_secret) {
    bg_set_error(error, EACCES, "encrypt.key-secret is missing");
    return false;
  }
  if (!create->need_secret(create, options->key_secret, &luks.secret, error))
    return false;
  if (!g_utf8_validate((const char *)luks.secret->data, (gssize)luks.secret->length, NULL)) {
    bg_set_error(error, EINVAL, "The secret '%s' is not UTF-8 text, which QEMU asks of it", luks.secret->id);
    return false;
  }
  *area = bg_luks_create(&luks, NULL, error);
  if (*area)
    *size = bg_luks_area_size(luks.key_length);
  return *area;
}

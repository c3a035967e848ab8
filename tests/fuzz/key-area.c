#include "tests/fuzz/key-area.h"

#include "drivers/crypto/luks.h"
#include "drivers/qcow2/layout.h"

#include <glib.h>

enum { KEY_LENGTH = 16 };

const BgSecret fuzz_secret = {"fuzz", (const uint8_t *)"fuzz", 4};

const char *const fuzz_key_area_options[] = {"cluster_size",
                                             "512",
                                             "encrypt.format",
                                             "luks",
                                             "encrypt.key-secret",
                                             "fuzz",
                                             "encrypt.cipher-alg",
                                             "aes-128",
                                             "encrypt.cipher-mode",
                                             "cbc",
                                             "encrypt.iter-time",
                                             "1",
                                             NULL};

const uint8_t *fuzz_key_area(size_t *size)
{
  static uint8_t *area;
  BgLuksCreate create = {.cipher = "aes",
                         .mode = "cbc-plain64",
                         .hash = "sha256",
                         .key_length = KEY_LENGTH,
                         .iter_time = 1,
                         .secret = &fuzz_secret};
  if (!area && bg_crypto_check(NULL))
    area = bg_luks_create(&create, NULL, NULL);
  *size = bg_luks_area_size(KEY_LENGTH);
  return area;
}

bool fuzz_needs_key_area(const uint8_t *image, size_t size)
{
  return size >= QCOW2_V2_HEADER_SIZE && qcow2_get32(image + QCOW2_H_CRYPT_METHOD) == QCOW2_CRYPT_LUKS &&
         !memmem(image, size, "LUKS\xba\xbe", 6);
}

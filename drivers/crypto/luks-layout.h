/* LUKS version 1 as it lies on disk: all numbers big-endian, offsets in sectors of 512 bytes. */
#ifndef BG_CRYPTO_LUKS_LAYOUT_H
#define BG_CRYPTO_LUKS_LAYOUT_H

/* Offsets in the header. */
enum {
  LUKS_MAGIC = 0,
  LUKS_VERSION = 6,
  LUKS_CIPHER = 8,
  LUKS_MODE = 40,
  LUKS_HASH = 72,
  LUKS_PAYLOAD = 104,
  LUKS_KEY_BYTES = 108,
  LUKS_DIGEST = 112,
  LUKS_DIGEST_SALT = 132,
  LUKS_DIGEST_ITERATIONS = 164,
  LUKS_UUID = 168,
  LUKS_SLOTS = 208,
  LUKS_SLOT_SIZE = 48
};

/* Offsets in a slot. */
enum {
  LUKS_SLOT_STATE = 0,
  LUKS_SLOT_ITERATIONS = 4,
  LUKS_SLOT_SALT = 8,
  LUKS_SLOT_OFFSET = 40,
  LUKS_SLOT_STRIPES = 44
};

#define LUKS_MAGIC_BYTES   "LUKS\xba\xbe"
#define LUKS_SLOT_ENABLED  0x00ac71f3u
#define LUKS_SLOT_DISABLED 0x0000deadu

#endif

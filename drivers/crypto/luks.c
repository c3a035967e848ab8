/* Reading: the header, and the key out of a slot. */
#include "drivers/crypto/luks.h"

#include "drivers/crypto/af.h"
#include "drivers/crypto/luks-layout.h"
#include "drivers/crypto/memory.h"

#include <endian.h>
#include <errno.h>
#include <glib.h>
#include <inttypes.h>
#include <string.h>

/* A fraction of a second wherever this runs. */
enum { FEW_ITERATIONS = 20000 };

static uint32_t get32(const uint8_t *at)
{
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return be32toh(value);
}

/* ── the header ── */

/* A field of text is ended by a zero and printable. */
static bool read_text(const uint8_t *at, size_t size, const char *what, char *out, GError **error)
{
  const uint8_t *end = memchr(at, 0, size);
  bool good = end;
  for (const uint8_t *c = at; good && c < end; c++)
    good = g_ascii_isgraph(*c);
  if (!good) {
    bg_set_error(error, EINVAL, "The LUKS header's %s is not a text", what);
    return false;
  }
  memset(out, 0, size);
  memcpy(out, at, (size_t)(end - at));
  return true;
}

static uint64_t material_size(const BgLuks *luks)
{
  return (uint64_t)luks->spec.key_length * BG_LUKS_STRIPES;
}

static bool read_slot(const uint8_t *at, unsigned number, BgLuksSlot *slot, GError **error)
{
  uint32_t state = get32(at + LUKS_SLOT_STATE);
  slot->active = state == LUKS_SLOT_ENABLED;
  slot->iterations = get32(at + LUKS_SLOT_ITERATIONS);
  memcpy(slot->salt, at + LUKS_SLOT_SALT, sizeof slot->salt);
  slot->offset = (uint64_t)get32(at + LUKS_SLOT_OFFSET) * BG_CIPHER_SECTOR;
  slot->stripes = get32(at + LUKS_SLOT_STRIPES);
  if (state != LUKS_SLOT_ENABLED && state != LUKS_SLOT_DISABLED)
    bg_set_error(error, EINVAL, "The LUKS header's slot %u has the impossible state 0x%08x", number, state);
  else if (slot->stripes != BG_LUKS_STRIPES)
    bg_set_error(error, EINVAL, "The LUKS header's slot %u has %u stripes instead of %u", number, slot->stripes,
                 BG_LUKS_STRIPES);
  else if (slot->active && slot->iterations == 0)
    bg_set_error(error, EINVAL, "The LUKS header's slot %u has no iterations", number);
  else
    return true;
  return false;
}

/* Slots lie in the area, behind the header and before the payload, and apart from each other. */
static bool check_places(const BgLuks *luks, uint64_t area, GError **error)
{
  uint64_t size = material_size(luks), end = MIN(area, luks->payload_offset);
  for (unsigned i = 0; i < BG_LUKS_SLOTS; i++) {
    uint64_t offset = luks->slots[i].offset;
    if (offset < BG_LUKS_HEADER_SIZE || offset > end || size > end - offset) {
      bg_set_error(error, EINVAL, "The LUKS header's slot %u lies at 0x%" PRIx64 ", outside the header's area", i,
                   offset);
      return false;
    }
    for (unsigned j = 0; j < i; j++)
      if (offset < luks->slots[j].offset + size && luks->slots[j].offset < offset + size) {
        bg_set_error(error, EINVAL, "The LUKS header's slots %u and %u overlap", j, i);
        return false;
      }
  }
  return true;
}

static bool read_texts(const uint8_t *bytes, BgLuks *luks, GError **error)
{
  return read_text(bytes + LUKS_CIPHER, sizeof luks->cipher, "cipher", luks->cipher, error) &&
         read_text(bytes + LUKS_MODE, sizeof luks->mode, "mode", luks->mode, error) &&
         read_text(bytes + LUKS_HASH, sizeof luks->hash_name, "hash", luks->hash_name, error) &&
         read_text(bytes + LUKS_UUID, sizeof luks->uuid, "UUID", luks->uuid, error);
}

static bool read_numbers(const uint8_t *bytes, BgLuks *luks, GError **error)
{
  luks->payload_offset = (uint64_t)get32(bytes + LUKS_PAYLOAD) * BG_CIPHER_SECTOR;
  memcpy(luks->digest, bytes + LUKS_DIGEST, sizeof luks->digest);
  memcpy(luks->digest_salt, bytes + LUKS_DIGEST_SALT, sizeof luks->digest_salt);
  luks->digest_iterations = get32(bytes + LUKS_DIGEST_ITERATIONS);
  if (luks->digest_iterations == 0) {
    bg_set_error(error, EINVAL, "The LUKS header's digest has no iterations");
    return false;
  }
  for (unsigned i = 0; i < BG_LUKS_SLOTS; i++)
    if (!read_slot(bytes + LUKS_SLOTS + i * LUKS_SLOT_SIZE, i, &luks->slots[i], error))
      return false;
  return true;
}

static bool read_methods(const uint8_t *bytes, BgLuks *luks, GError **error)
{
  uint32_t key_length = get32(bytes + LUKS_KEY_BYTES);
  if (key_length == 0 || key_length > BG_CIPHER_KEY_MAX) {
    bg_set_error(error, EINVAL, "The LUKS header's key has %u bytes", key_length);
    return false;
  }
  luks->hash = bg_hash_find(luks->hash_name);
  if (luks->hash < 0) {
    bg_set_error(error, ENOTSUP, "The hash '%s' of the LUKS header is not supported", luks->hash_name);
    return false;
  }
  return bg_cipher_spec_parse(luks->cipher, luks->mode, key_length, &luks->spec, error);
}

bool bg_luks_parse(const uint8_t *bytes, uint64_t area, BgLuks *luks, GError **error)
{
  BgLuks parsed = {0};
  unsigned version = (unsigned)bytes[LUKS_VERSION] << 8 | bytes[LUKS_VERSION + 1];
  if (area < BG_LUKS_HEADER_SIZE || area > BG_LUKS_AREA_MAX) {
    bg_set_error(error, EINVAL, "The LUKS header has an area of %" PRIu64 " bytes", area);
    return false;
  }
  if (memcmp(bytes + LUKS_MAGIC, LUKS_MAGIC_BYTES, sizeof LUKS_MAGIC_BYTES - 1) != 0) {
    bg_set_error(error, EINVAL, "There is no LUKS header where one should be");
    return false;
  }
  if (version != 1) {
    bg_set_error(error, ENOTSUP, "LUKS version %u is not supported", version);
    return false;
  }
  if (!read_texts(bytes, &parsed, error) || !read_methods(bytes, &parsed, error) ||
      !read_numbers(bytes, &parsed, error) || !check_places(&parsed, area, error))
    return false;
  *luks = parsed;
  return true;
}

/* ── the key ── */

/* What trying a slot needs, in secret memory. */
typedef struct Attempt {
  uint8_t key[BG_CIPHER_KEY_MAX], candidate[BG_CIPHER_KEY_MAX];
  uint8_t digest[20];
  uint8_t material[];
} Attempt;

/* The slots that are tried, those that cost least first: so one that nobody could wait for stands in no other's way. */
typedef struct Choice {
  unsigned slots[BG_LUKS_SLOTS], count;
  GString *left_out; /* the others, in words */
} Choice;

static void choice_clear(Choice *choice)
{
  g_string_free(choice->left_out, TRUE);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Choice, choice_clear)

static gint compare_cost(gconstpointer a, gconstpointer b, gpointer data)
{
  const BgLuks *luks = data;
  uint32_t first = luks->slots[*(const unsigned *)a].iterations, second = luks->slots[*(const unsigned *)b].iterations;
  return (first > second) - (first < second);
}

static void leave_out(Choice *choice, const BgLuks *luks, unsigned slot, double seconds)
{
  g_string_append_printf(choice->left_out, "%sslot %u (%u iterations, then %u: %.0f s)",
                         choice->left_out->len ? ", " : "", slot, luks->slots[slot].iterations, luks->digest_iterations,
                         seconds);
}

/* Iterations a second: measured, unless there are so few that no machine has to wait for them. */
static double find_speed(const BgLuks *luks)
{
  uint64_t iterations = 0;
  for (unsigned i = 0; i < BG_LUKS_SLOTS; i++)
    if (luks->slots[i].active)
      iterations += (uint64_t)luks->slots[i].iterations + luks->digest_iterations;
  return iterations <= FEW_ITERATIONS ? FEW_ITERATIONS : bg_pbkdf2_speed(luks->hash, luks->spec.key_length);
}

/* Headers can ask for more iterations than anybody could wait for. */
static void choose(Choice *choice, const BgLuks *luks)
{
  double speed = find_speed(luks), sum = 0;
  unsigned order[BG_LUKS_SLOTS], active = 0;
  *choice = (Choice){.left_out = g_string_new(NULL)};
  for (unsigned i = 0; i < BG_LUKS_SLOTS; i++)
    if (luks->slots[i].active)
      order[active++] = i;
  g_qsort_with_data(order, (gint)active, sizeof *order, compare_cost, (gpointer)luks);
  for (unsigned i = 0; i < active; i++) {
    double seconds = ((double)luks->slots[order[i]].iterations + luks->digest_iterations) / speed;
    sum += seconds;
    if (seconds <= BG_LUKS_SLOT_SECONDS_MAX && sum <= BG_LUKS_SECONDS_MAX)
      choice->slots[choice->count++] = order[i];
    else
      leave_out(choice, luks, order[i], seconds);
  }
}

static void set_refusal(const Choice *choice, const BgSecret *secret, GError **error)
{
  const char *newline = secret->data[secret->length - 1] == '\n' ? " (it ends with a newline, which counts)" : "";
  if (choice->left_out->len)
    bg_set_error(error, choice->count ? EACCES : EFBIG,
                 "The secret '%s' opens none of the %u key slots that were tried%s; not tried, for a slot may take %d "
                 "seconds, and all %d: %s",
                 secret->id, choice->count, newline, BG_LUKS_SLOT_SECONDS_MAX, BG_LUKS_SECONDS_MAX,
                 choice->left_out->str);
  else
    bg_set_error(error, EACCES, "The secret '%s' opens none of the image's key slots%s", secret->id, newline);
}

static int read_material(const BgLuks *luks, const BgLuksSlot *slot, BgChild *file, uint64_t base, Attempt *attempt)
{
  uint64_t size = material_size(luks);
  int r = bg_child_pread(file, attempt->material, size, base + slot->offset);
  g_autoptr(GError) error = NULL;
  BgCipher *cipher = r == 0 ? bg_cipher_new(&luks->spec, attempt->key, &error) : NULL;
  if (r == 0 && !cipher)
    r = -bg_error_errno(error);
  if (r == 0)
    r = bg_cipher_decrypt(cipher, attempt->material, size, 0);
  bg_cipher_free(cipher);
  return r;
}

/* 1: attempt->candidate is the disk's key. 0: it is not. Or -errno. */
static int try_slot(const BgLuks *luks, const BgLuksSlot *slot, BgChild *file, uint64_t base, const BgSecret *secret,
                    Attempt *attempt)
{
  size_t length = luks->spec.key_length;
  int r = bg_pbkdf2(luks->hash, secret->data, secret->length, slot->salt, sizeof slot->salt, slot->iterations,
                    attempt->key, length);
  if (r == 0)
    r = read_material(luks, slot, file, base, attempt);
  if (r == 0)
    r = bg_af_merge(luks->hash, attempt->material, length, slot->stripes, attempt->candidate);
  if (r == 0)
    r = bg_pbkdf2(luks->hash, attempt->candidate, length, luks->digest_salt, sizeof luks->digest_salt,
                  luks->digest_iterations, attempt->digest, sizeof attempt->digest);
  return r < 0 ? r : memcmp(attempt->digest, luks->digest, sizeof attempt->digest) == 0;
}

bool bg_luks_unlock(const BgLuks *luks, BgChild *file, uint64_t base, const BgSecret *secret, uint8_t *key,
                    GError **error)
{
  g_auto(Choice) choice;
  choose(&choice, luks);
  size_t size = sizeof(Attempt) + material_size(luks);
  Attempt *attempt = bg_secret_alloc(size);
  int r = attempt ? 0 : -ENOMEM;
  for (unsigned i = 0; i < choice.count && r == 0; i++)
    r = try_slot(luks, &luks->slots[choice.slots[i]], file, base, secret, attempt);
  if (r > 0)
    memcpy(key, attempt->candidate, luks->spec.key_length);
  bg_secret_free(attempt, size);
  if (r < 0)
    bg_set_error_errno(error, -r, "Cannot open a key slot");
  else if (r == 0)
    set_refusal(&choice, secret, error);
  return r > 0;
}

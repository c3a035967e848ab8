/* Inputs that are encrypted images leave out the LUKS header with its key slots: half a megabyte that is not worth mutating (fuzz-luks has
 * the header for itself). It is put in where images of the smallest clusters have it, and opens with one secret. */
#ifndef FUZZ_KEY_AREA_H
#define FUZZ_KEY_AREA_H

#include "drivers/secret.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes from the image's start. */
#define FUZZ_KEY_AREA_AT 4096u

/* The options with which an image has such an area there, for shim_create(). */
extern const char *const fuzz_key_area_options[];
extern const BgSecret fuzz_secret;

/* One that the secret opens, made once; *size in bytes. NULL: this build has no encryption. */
const uint8_t *fuzz_key_area(size_t *size);

/* Whether the image begins as one that says that it is encrypted with LUKS does, and brings no LUKS header of its own, whose key slots might
 * take a minute to try. */
bool fuzz_needs_key_area(const uint8_t *image, size_t size);

#endif

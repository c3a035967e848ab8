/* New images. */
#ifndef BG_CREATE_H
#define BG_CREATE_H

#include "graph/graph.h"
#include "graph/secret.h"

/* Makes `filename` (must not exist) an image of `format` and `size` bytes (UINT64_MAX: the backing disk's size). `options` (taken from; NULL: none) are
 * the format's create_options; unknown ones are EINVAL. With `backing` (else NULL) the image records it, in
 * `backing_format` (required then); a relative name is relative to the new image's directory, as QEMU has it,
 * and it is opened for its size and checked; where `size` is given, also while another process writes it. A data file that the options name is made likewise, and must not exist either.
 * `secrets` (NULL: none) are what an encrypted image gets its key from. On failure no file is left. */
bool bg_create_image(const char *format, const char *filename, uint64_t size, BgDict *options, const char *backing,
                     const char *backing_format, const BgSecrets *secrets, GError **error);

#endif

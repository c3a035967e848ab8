/* The policy for file names found inside images (backing files, data files): an image is data from a stranger, and
 * must not make us open what lies elsewhere on this machine. (SAFETY: hostile images.) */
#ifndef BG_REFERENCE_H
#define BG_REFERENCE_H

#include "graph/graph.h"

/* The absolute name, links resolved, of the file that `reference` in the image `image_filename` (NULL: the image has no
 * file name) means, or the URI that it is where the policy allows it; the caller frees it, and opens that name. A relative reference is relative to the directory in which the
 * image was named, as QEMU has it; "file:" is taken off. NULL on error:
 *
 * EPERM     refused: not a regular file in the directory tree of the image (its real one, links followed), or another
 *           protocol; the message ends with the option that allows it, if one can.
 * ENOENT …  the file or a directory on its way is missing or cannot be reached.
 * EPROTONOSUPPORT  a protocol that the policy allows but no driver speaks.
 * EINVAL    empty, or allowed and neither a regular file nor a block device.
 *
 * An entry of policy->allowed is a path (it allows itself and, if it is a directory, what is below it) or
 * begins with "PROTOCOL:" (it allows names that begin with it and go on at a '/', '?' or '#').
 *
 * What is checked is the name at this moment: someone who may rename files in that directory can exchange it before it is
 * opened, but the image cannot. Loops are for the core to find. */
char *bg_reference_resolve(const BgPolicy *policy, const char *image_filename, const char *reference, GError **error);

/* True if QEMU would take the name for "PROTOCOL:something", also where that is "file:". */
bool bg_reference_has_protocol(const char *name);

#endif

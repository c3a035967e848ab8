/* The permission bits of a node file. */
#ifndef BGFS_MODE_H
#define BGFS_MODE_H

#include <stdbool.h>
#include <sys/types.h>

/* `host`: the mode of the image's host file (SEMANTICS, "Read-only, resolved": `r` as there; the owner's `w` iff
 * an open for writing would succeed; `w` of group and others only where the host has it and the owner has it
 * here). Without a host file 0600 stands for it. No type bits, never execute or set-id bits. */
mode_t bgfs_mode(mode_t host, bool writable);

typedef enum { BGFS_PIN_KEEP, BGFS_PIN_SET, BGFS_PIN_CLEAR } BgfsPin;
/* What a chmod to `mode` means: no `w` at all pins the node read-only, the owner's `w` takes the pin back. */
BgfsPin bgfs_mode_pin(mode_t mode);

#endif

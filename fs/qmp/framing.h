/* Where JSON values end in a stream of bytes, which may split or join them anywhere. Nothing is parsed here beyond what that takes: what comes
 * out is bounded in length, depth and number of tokens, so that a parser that recurses and allocates can be let at it. */
#ifndef BGFS_QMP_FRAMING_H
#define BGFS_QMP_FRAMING_H

#include <stddef.h>

#define BGFS_QMP_MAX_VALUE   (16u * 1024 * 1024) /* bytes of one value */
#define BGFS_QMP_MAX_NESTING 1024u               /* arrays and objects within each other */
#define BGFS_QMP_MAX_TOKENS  (256u * 1024)       /* brackets, braces, colons and commas of one value */

/* Of one connection. One thread. */
typedef struct BgfsQmpFraming BgfsQmpFraming;

typedef enum {
  BGFS_QMP_FRAME_PARTIAL, /* all bytes were taken: more are needed */
  BGFS_QMP_FRAME_VALUE,   /* one value is complete */
  BGFS_QMP_FRAME_BROKEN /* what was there can be no value; what follows is skipped up to the end of the line (or a byte 0xff) */
} BgfsQmpFrame;

BgfsQmpFraming *bgfs_qmp_framing_new(void);
/* The same with other bounds than those of requests: bytes and tokens of one value. */
BgfsQmpFraming *bgfs_qmp_framing_new_bounded(size_t max_value, unsigned max_tokens);
void bgfs_qmp_framing_free(BgfsQmpFraming *framing); /* NULL is fine */

/* Takes *taken bytes of `length` (> 0), up to the end of the first value or to the first that is wrong. *text, owned by `framing` and
 * valid until the next call: the value (not NULL in it; single-quoted strings, which QMP allows, are double-quoted there), or in
 * a few words why it is broken. */
BgfsQmpFrame bgfs_qmp_framing_feed(BgfsQmpFraming *framing, const char *bytes, size_t length, size_t *taken,
                                   const char **text);

#endif

/* What a disk must read as after a crash: for each sector the content that was flushed last, and every content that it was
 * given since. Knows nothing of formats.
 *
 * Time is counted in calls that a record (record.h) held: a change *begins* when the record has so many calls. */
#ifndef CRASH_SHADOW_H
#define CRASH_SHADOW_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#define SHADOW_SECTOR 512

typedef struct Shadow Shadow;

/* A disk of `size` bytes that reads as `content` (NULL: zeros), durable; at most `capacity` bytes ever. Sizes are whole sectors. */
Shadow *shadow_new(uint64_t capacity, const uint8_t *content, uint64_t size);
void shadow_free(Shadow *shadow);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Shadow, shadow_free)

/* As all changes left it: `capacity` bytes, zeros past the size. */
const uint8_t *shadow_content(const Shadow *shadow);
uint64_t shadow_size(const Shadow *shadow);
uint64_t shadow_capacity(const Shadow *shadow);

/* The range reads as `data` now (NULL: zeros). */
void shadow_write(Shadow *shadow, size_t begin, uint64_t offset, uint64_t length, const uint8_t *data);
/* What is cut off becomes zeros, what is added is zeros. */
void shadow_resize(Shadow *shadow, size_t begin, uint64_t size);
/* All changes so far are durable from `end` on. */
void shadow_flushed(Shadow *shadow, size_t end);

/* Whether a disk may read so after a cut at `cut`: each sector as it was at the last flush, or as a later change that had begun
 * made it. Stricter than "old, new or zero": zeros only where they are one of the two. The error names the sector and what it holds. */
bool shadow_allows(const Shadow *shadow, size_t cut, const uint8_t *content, uint64_t size, GError **error);
/* Whether it reads as all changes left it. */
bool shadow_equals(const Shadow *shadow, const uint8_t *content, uint64_t size, GError **error);

#endif

/* One qcow2 node on a memory child, with as much of a core as it needs: range locks, epochs, copy-on-write fill, a backing
 * disk in memory. And judges: a checker of our own, and qemu-img where it is installed. */
#ifndef QCOW2_IMAGE_H
#define QCOW2_IMAGE_H

#include "drivers/driver.h"
#include "tests/drivers/mem-child.h"
#include "tests/drivers/qcow2/references.h"

typedef struct Image Image;

/* A file with a new image; `options` as "key=value,key=value" (NULL: none). With `backing` the image names it. */
BgChild *image_create(uint64_t size, const char *options, const char *backing, GError **error);
/* What qemu-img makes of a shell script that gets a directory as $1 and writes $1/out; NULL where qemu-img is missing. */
BgChild *image_from_shell(const char *script);
/* The same, skips the test where qemu-img is missing. */
BgChild *image_require_shell(const char *script);

/* Opens it, read-only. `backing` (NULL: no backing child) stays the caller's. */
Image *image_open(BgChild *file, const char *options, const uint8_t *backing, uint64_t backing_size, GError **error);
/* Opens it for writing; asserts that this works. */
Image *image_open_writable(BgChild *file, const char *options, const uint8_t *backing, uint64_t backing_size);
/* The same with a data file (NULL: none), which stays the caller's. */
Image *image_open_with_data(BgChild *file, BgChild *data, const char *options, const uint8_t *backing,
                            uint64_t backing_size, GError **error);
bool image_set_writable(Image *image, bool writable, GError **error);
/* Turns it read-only first if need be, asserts that this works, and closes. */
void image_close(Image *image);
/* Closes as kill -9 does: what is in memory is lost. */
void image_kill(Image *image);

void *image_instance(Image *image);
BgBitmaps *image_bitmaps(Image *image);
uint64_t image_size(Image *image);
uint64_t image_granularity(Image *image);

/* As the core does them, from any thread. 0 or -errno. */
int image_read(Image *image, void *buffer, uint64_t length, uint64_t offset);
int image_write(Image *image, const void *buffer, uint64_t length, uint64_t offset);
/* One cluster, compressed; nothing is done about -ENOTSUP. */
int image_write_special(Image *image, const void *cluster, uint64_t length, uint64_t offset);
/* Whole granules. */
int image_zero(Image *image, uint64_t offset, uint64_t length, BgZeroFlags flags);
int image_discard(Image *image, uint64_t offset, uint64_t length);
int image_write_back(Image *image);
/* write_back and a flush of the file, of the data file, too. */
int image_flush(Image *image);
int image_resize(Image *image, uint64_t size);

/* A request that has begun and not ended, as seen by epochs. */
uint64_t image_request_begin(Image *image);
void image_request_end(Image *image, uint64_t request);

/* How many corruptions the driver told of, and the last message (owned by the image; NULL: none). */
unsigned image_corruptions(Image *image);
const char *image_last_event(Image *image);

/* Asserts that the disk reads as `shadow`. */
void image_assert_content(Image *image, const uint8_t *shadow, uint64_t size);

/* ── judges ── */

/* Counts every reference in the image by itself. */
void image_check(BgChild *file, ImageCheck *check);
/* Asserts no corruption; with `leaks_allowed` false no leaks either. */
void image_assert_sound(BgChild *file, bool leaks_allowed);
/* The bytes as a file in the test's own temporary directory; caller frees the name. */
char *image_save(BgChild *file, const char *name);
/* qemu-img check's exit status (0 sound, 2 corrupt, 3 leaks); -1 where qemu-img is missing. */
int image_qemu_check(BgChild *file);
/* Asserts that qemu-img finds it sound and reads it as `shadow`; only our own checker where qemu-img is missing. */
void image_assert_judged(BgChild *file, const uint8_t *shadow, uint64_t size);
/* Puts a file's bytes where the images saved later find it (a backing file, say). */
void image_put_file(const char *name, const void *bytes, uint64_t size);

#endif

#include "tests/drivers/qcow2/image.h"

#include "drivers/iov.h"
#include "drivers/registry.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

/* A range somebody holds. */
typedef struct Held {
  uint64_t start, end;
  bool exclusive;
} Held;

struct Image {
  BgHost host;
  BgChild *file;
  BgChild *data; /* NULL: no data file */
  const BgDriver *driver;
  void *options;
  void *instance;
  const uint8_t *backing;
  uint64_t backing_size;
  BgChild backing_child;
  bool writable;

  pthread_mutex_t lock; /* not a GMutex: ThreadSanitizer does not see those */
  pthread_cond_t cond;
  GPtrArray *held;  /* Held */
  GArray *requests; /* uint64_t: the epoch at which each request began */
  uint64_t epoch;
  unsigned corruptions;
  char *last_event;
};

/* ── the core, as the driver sees it ── */

static Image *image_of(BgHost *host)
{
  return (Image *)host;
}

static bool need_child(BgHost *host, const char *name, BgRole role, const char *reference, const char *format,
                       BgChild **child, GError **error)
{
  (void)role, (void)reference, (void)format;
  Image *image = image_of(host);
  if (strcmp(name, "data-file") == 0) {
    *child = image->data;
    if (!image->data)
      bg_set_error(error, EINVAL, "there is no data file");
    return image->data;
  }
  *child = strcmp(name, "file") == 0 ? image->file : image->backing ? &image->backing_child : NULL;
  return true;
}

static bool has_child(BgHost *host, const char *name)
{
  return strcmp(name, "file") == 0 || image_of(host)->backing;
}

static void event(BgHost *host, BgEvent kind, const char *message)
{
  Image *image = image_of(host);
  pthread_mutex_lock(&image->lock);
  image->corruptions += kind == BG_EVENT_CORRUPT;
  g_free(image->last_event);
  image->last_event = g_strdup(message);
  pthread_mutex_unlock(&image->lock);
}

static uint64_t epoch(BgHost *host)
{
  Image *image = image_of(host);
  pthread_mutex_lock(&image->lock);
  uint64_t now = ++image->epoch;
  pthread_mutex_unlock(&image->lock);
  return now;
}

static bool epoch_passed(BgHost *host, uint64_t value)
{
  Image *image = image_of(host);
  bool passed = true;
  pthread_mutex_lock(&image->lock);
  for (guint i = 0; i < image->requests->len; i++)
    passed &= g_array_index(image->requests, uint64_t, i) >= value;
  pthread_mutex_unlock(&image->lock);
  return passed;
}

uint64_t image_request_begin(Image *image)
{
  pthread_mutex_lock(&image->lock);
  uint64_t now = image->epoch;
  g_array_append_val(image->requests, now);
  pthread_mutex_unlock(&image->lock);
  return now;
}

void image_request_end(Image *image, uint64_t request)
{
  pthread_mutex_lock(&image->lock);
  for (guint i = 0; i < image->requests->len; i++)
    if (g_array_index(image->requests, uint64_t, i) == request) {
      g_array_remove_index_fast(image->requests, i);
      break;
    }
  pthread_mutex_unlock(&image->lock);
}

/* ── ranges ── */

static bool collides(Image *image, const Held *wanted)
{
  for (guint i = 0; i < image->held->len; i++) {
    const Held *held = image->held->pdata[i];
    if (held->start < wanted->end && wanted->start < held->end && (held->exclusive || wanted->exclusive))
      return true;
  }
  return false;
}

static void hold(Image *image, Held *held, uint64_t offset, uint64_t length, bool exclusive)
{
  uint64_t mask = image_granularity(image) - 1;
  *held = (Held){offset & ~mask, (offset + length + mask) & ~mask, exclusive};
  pthread_mutex_lock(&image->lock);
  while (collides(image, held))
    pthread_cond_wait(&image->cond, &image->lock);
  g_ptr_array_add(image->held, held);
  pthread_mutex_unlock(&image->lock);
}

static void let_go(Image *image, Held *held)
{
  pthread_mutex_lock(&image->lock);
  g_ptr_array_remove_fast(image->held, held);
  pthread_cond_broadcast(&image->cond);
  pthread_mutex_unlock(&image->lock);
}

/* ── making, opening, closing ── */

static BgDict *parse(const char *text)
{
  BgDict *dict = bg_dict_new();
  g_auto(GStrv) pairs = g_strsplit(text ? text : "", ",", -1);
  for (char **pair = pairs; *pair; pair++) {
    char *equals = strchr(*pair, '=');
    cr_assert_not_null(equals);
    *equals = 0;
    bg_dict_set(dict, *pair, equals + 1);
  }
  return dict;
}

BgChild *image_create(uint64_t size, const char *options, const char *backing, GError **error)
{
  const BgDriver *driver = bg_driver_find("qcow2");
  g_autoptr(BgDict) dict = parse(options);
  g_autofree void *typed = g_malloc0(driver->create_options_size);
  if (!bg_options_parse(driver->create_options, dict, typed, error))
    return NULL;
  cr_assert_null(bg_dict_first_key(dict));
  BgChild *file = mem_child_new(0);
  BgCreate create = {typed, size, file, backing, backing ? "raw" : NULL};
  if (driver->create(&create, error))
    return file;
  mem_child_free(file);
  return NULL;
}

Image *image_open(BgChild *file, const char *options, const uint8_t *backing, uint64_t backing_size, GError **error)
{
  return image_open_with_data(file, NULL, options, backing, backing_size, error);
}

Image *image_open_with_data(BgChild *file, BgChild *data, const char *options, const uint8_t *backing,
                            uint64_t backing_size, GError **error)
{
  Image *image = g_new0(Image, 1);
  image->host = (BgHost){"image", need_child, has_child, event, epoch, epoch_passed, bg_bitmaps_new()};
  image->file = file;
  image->data = data;
  image->driver = bg_driver_find("qcow2");
  image->options = g_malloc0(image->driver->options_size);
  image->backing = backing;
  image->backing_size = backing_size;
  pthread_mutex_init(&image->lock, NULL);
  pthread_cond_init(&image->cond, NULL);
  image->held = g_ptr_array_new();
  image->requests = g_array_new(FALSE, FALSE, sizeof(uint64_t));
  g_autoptr(BgDict) dict = parse(options);
  cr_assert(bg_options_parse(image->driver->options, dict, image->options, NULL));
  image->instance = image->driver->open(&image->host, image->options, &(BgMode){0}, error);
  if (image->instance)
    return image;
  image_kill(image);
  return NULL;
}

bool image_set_writable(Image *image, bool writable, GError **error)
{
  BgMode mode = {.writable = writable, .perm = BG_PERM_ALL, .shared = BG_PERM_ALL};
  void *pending;
  if (!image->driver->change_open(image->instance, &mode, image->options, &pending, error))
    return false;
  if (!image->driver->change_settle(image->instance, pending, error)) {
    image->driver->change_abort(image->instance, pending);
    return false;
  }
  image->driver->change_commit(image->instance, pending);
  image->writable = writable;
  return true;
}

Image *image_open_writable(BgChild *file, const char *options, const uint8_t *backing, uint64_t backing_size)
{
  g_autoptr(GError) error = NULL;
  Image *image = image_open(file, options, backing, backing_size, &error);
  cr_assert_not_null(image, "%s", error ? error->message : "");
  cr_assert(image_set_writable(image, true, &error), "%s", error ? error->message : "");
  return image;
}

void image_kill(Image *image)
{
  if (image->instance)
    image->driver->close(image->instance);
  bg_options_clear(image->driver->options, image->options);
  g_free(image->options);
  g_ptr_array_unref(image->held);
  g_array_unref(image->requests);
  pthread_mutex_destroy(&image->lock);
  pthread_cond_destroy(&image->cond);
  bg_bitmaps_free(image->host.bitmaps);
  g_free(image->last_event);
  g_free(image);
}

BgBitmaps *image_bitmaps(Image *image)
{
  return image->host.bitmaps;
}

void image_close(Image *image)
{
  g_autoptr(GError) error = NULL;
  if (image->writable)
    cr_assert(image_set_writable(image, false, &error), "%s", error ? error->message : "");
  image_kill(image);
}

void *image_instance(Image *image)
{
  return image->instance;
}

uint64_t image_size(Image *image)
{
  return image->driver->size(image->instance);
}

uint64_t image_granularity(Image *image)
{
  BgLimits limits;
  image->driver->limits(image->instance, &limits);
  return limits.granularity;
}

unsigned image_corruptions(Image *image)
{
  return image->corruptions;
}

const char *image_last_event(Image *image)
{
  return image->last_event;
}

/* ── data ── */

static void read_backing(Image *image, uint8_t *out, uint64_t length, uint64_t offset)
{
  uint64_t there = offset < image->backing_size ? MIN(length, image->backing_size - offset) : 0;
  if (image->backing && there)
    memcpy(out, image->backing + offset, there);
  else
    there = 0;
  memset(out + there, 0, length - there);
}

static int read_extent(Image *image, const BgExtent *extent, uint8_t *out, uint64_t offset)
{
  struct iovec iov[2] = {{out, extent->length / 2}, {out + extent->length / 2, extent->length - extent->length / 2}};
  switch (extent->kind) {
  case BG_EXTENT_DATA:
    return extent->child->ops->preadv(extent->child, iov, 2, extent->offset);
  case BG_EXTENT_SPECIAL:
    return image->driver->preadv_special(image->instance, iov, 2, offset);
  case BG_EXTENT_BACKING:
    read_backing(image, out, extent->length, offset);
    return 0;
  default:
    memset(out, 0, extent->length);
    return 0;
  }
}

static int read_inside(Image *image, uint8_t *out, uint64_t length, uint64_t offset)
{
  while (length) {
    BgExtent extent;
    uint64_t size = image_size(image);
    if (offset >= size) {
      memset(out, 0, length);
      return 0;
    }
    int r = image->driver->map(image->instance, offset, MIN(length, size - offset), &extent);
    if (r < 0)
      return r;
    cr_assert(extent.length > 0 && extent.length <= length);
    r = read_extent(image, &extent, out, offset);
    if (r < 0)
      return r;
    out += extent.length;
    offset += extent.length;
    length -= extent.length;
  }
  return 0;
}

int image_read(Image *image, void *buffer, uint64_t length, uint64_t offset)
{
  uint64_t request = image_request_begin(image);
  int r = read_inside(image, buffer, length, offset);
  image_request_end(image, request);
  return r;
}

/* Writes the part of the reservation that [offset, offset+length) covers, and what is around it in the first and last granule. */
static int write_reserved(Image *image, const BgReservation *place, const uint8_t *data, uint64_t length,
                          uint64_t offset)
{
  g_autofree uint8_t *whole = g_malloc(place->length);
  int r = read_inside(image, whole, place->length, place->offset);
  if (r < 0)
    return r;
  memcpy(whole + (offset - place->offset), data, length);
  uint64_t first = 0, end = place->length;
  if (place->reads_zero) { /* zeros around the data need not be written */
    while (first < offset - place->offset && whole[first] == 0)
      first++;
    while (end > offset - place->offset + length && whole[end - 1] == 0)
      end--;
  }
  return bg_child_pwrite(place->child, whole + first, end - first, place->child_offset + first);
}

static int write_new(Image *image, const uint8_t *data, uint64_t length, uint64_t offset, uint64_t *done)
{
  BgReservation place = {0};
  int r = image->driver->reserve(image->instance, offset, length, &place);
  if (r < 0)
    return r;
  cr_assert(place.offset <= offset && offset < place.offset + place.length);
  *done = MIN(length, place.offset + place.length - offset);
  r = write_reserved(image, &place, data, *done, offset);
  if (r == 0)
    return image->driver->commit(image->instance, &place);
  image->driver->abort(image->instance, &place);
  return r;
}

/* Stops at what is not in place unless `allocate`. */
static int write_inside(Image *image, const uint8_t *data, uint64_t length, uint64_t offset, bool allocate,
                        uint64_t *done)
{
  *done = 0;
  while (*done < length) {
    BgExtent extent;
    uint64_t step = 0, left = length - *done;
    int r = image->driver->map(image->instance, offset + *done, left, &extent);
    if (r == 0 && extent.flags & BG_EXTENT_IN_PLACE) {
      step = extent.length;
      r = bg_child_pwrite(extent.child, data + *done, step, extent.offset);
    } else if (r == 0 && allocate) {
      uint64_t until = extent.length; /* all that is not in place, and no more */
      while (until < left) {
        r = image->driver->map(image->instance, offset + *done + until, left - until, &extent);
        if (r < 0 || extent.flags & BG_EXTENT_IN_PLACE)
          break;
        until += extent.length;
      }
      if (r == 0)
        r = write_new(image, data + *done, until, offset + *done, &step);
    } else if (r == 0) {
      return 0;
    }
    if (r < 0)
      return r;
    *done += step;
  }
  return 0;
}

int image_write(Image *image, const void *buffer, uint64_t length, uint64_t offset)
{
  uint64_t request = image_request_begin(image), done, rest;
  Held held;
  bg_bitmaps_mark(image->host.bitmaps, offset, length);
  hold(image, &held, offset, length, false);
  int r = write_inside(image, buffer, length, offset, false, &done);
  let_go(image, &held);
  if (r == 0 && done < length) {
    hold(image, &held, offset + done, length - done, true);
    r = write_inside(image, (const uint8_t *)buffer + done, length - done, offset + done, true, &rest);
    let_go(image, &held);
  }
  image_request_end(image, request);
  return r;
}

int image_write_special(Image *image, const void *cluster, uint64_t length, uint64_t offset)
{
  Held held;
  struct iovec iov[2] = {{(void *)cluster, length / 3}, {(char *)cluster + length / 3, length - length / 3}};
  hold(image, &held, offset, length, true);
  uint64_t request = image_request_begin(image);
  int r = image->driver->pwritev_special(image->instance, iov, 2, offset);
  image_request_end(image, request);
  let_go(image, &held);
  return r;
}

int image_zero(Image *image, uint64_t offset, uint64_t length, BgZeroFlags flags)
{
  uint64_t request = image_request_begin(image);
  Held held;
  bg_bitmaps_mark(image->host.bitmaps, offset, length);
  hold(image, &held, offset, length, true);
  int r = image->driver->zero(image->instance, offset, length, flags);
  let_go(image, &held);
  image_request_end(image, request);
  return r;
}

int image_discard(Image *image, uint64_t offset, uint64_t length)
{
  uint64_t request = image_request_begin(image);
  Held held;
  bg_bitmaps_mark(image->host.bitmaps, offset, length);
  hold(image, &held, offset, length, true);
  int r = image->driver->discard(image->instance, offset, length);
  let_go(image, &held);
  image_request_end(image, request);
  return r;
}

int image_write_back(Image *image)
{
  return image->driver->write_back(image->instance);
}

int image_flush(Image *image)
{
  int r = image_write_back(image);
  if (r == 0 && image->data)
    r = image->data->ops->flush(image->data);
  return r < 0 ? r : image->file->ops->flush(image->file);
}

int image_resize(Image *image, uint64_t size)
{
  Held held;
  hold(image, &held, 0, MAX(size, image_size(image)), true);
  bg_bitmaps_grow(image->host.bitmaps, size);
  int r = image->driver->resize(image->instance, size);
  bg_bitmaps_resize(image->host.bitmaps, image_size(image));
  let_go(image, &held);
  return r;
}

void image_assert_content(Image *image, const uint8_t *shadow, uint64_t size)
{
  uint8_t bytes[64 << 10];
  for (uint64_t at = 0; at < size; at += sizeof bytes) {
    uint64_t step = MIN(size - at, sizeof bytes);
    cr_assert_eq(image_read(image, bytes, step, at), 0);
    if (memcmp(bytes, shadow + at, step) == 0)
      continue;
    uint64_t first = 0;
    while (bytes[first] == shadow[at + first])
      first++;
    cr_assert_fail("byte %" G_GUINT64_FORMAT " is %02x, not %02x", at + first, bytes[first], shadow[at + first]);
  }
}

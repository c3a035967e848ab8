#include "drivers/qcow2/image.h"

/* Text out of the image may be anything but UTF-8. */
static GVariant *new_text(const char *text)
{
  return g_variant_new_take_string(qcow2_printable(text, strlen(text)));
}

static void add_header_facts(const Qcow2 *q, const Qcow2Header *header, BgInfo *info)
{
  info->add(info, "compat", g_variant_new_string(q->version == 2 ? "0.10" : "1.1"));
  info->add(info, "cluster-size", g_variant_new_uint64(q->cluster_size));
  info->add(info, "refcount-bits", g_variant_new_uint32(1u << q->refcount_order));
  info->add(info, "compression-type", g_variant_new_string(q->compression == QCOW2_COMPRESSION_ZSTD ? "zstd" : "zlib"));
  if (q->version >= 3) { /* version 2 has no such flags */
    info->add(info, "lazy-refcounts", g_variant_new_boolean(!!(header->compatible & QCOW2_COMPAT_LAZY)));
    info->add(info, "extended-l2", g_variant_new_boolean(!!(header->incompatible & QCOW2_INCOMPAT_EXTENDED_L2)));
    info->add(info, "corrupt", g_variant_new_boolean(!!(header->incompatible & QCOW2_INCOMPAT_CORRUPT)));
  }
  info->add(info, "dirty", g_variant_new_boolean(!!(header->incompatible & QCOW2_INCOMPAT_DIRTY)));
  if (q->crypto)
    info->add(info, "encrypt", qcow2_crypto_describe(q->crypto));
  if (q->external) {
    if (header->data_file)
      info->add(info, "data-file", new_text(header->data_file));
    info->add(info, "data-file-raw", g_variant_new_boolean(q->raw));
  }
  if (header->backing_file)
    info->add(info, "backing-file", new_text(header->backing_file));
  if (header->backing_format)
    info->add(info, "backing-format", new_text(header->backing_format));
}

static GVariant *describe_bitmap(const Qcow2Bitmap *bitmap)
{
  GVariantBuilder dict, flags;
  g_variant_builder_init(&flags, G_VARIANT_TYPE("as"));
  if (bitmap->flags & QCOW2_BITMAP_IN_USE)
    g_variant_builder_add(&flags, "s", "in-use");
  if (bitmap->flags & QCOW2_BITMAP_AUTO)
    g_variant_builder_add(&flags, "s", "auto");
  g_variant_builder_init(&dict, G_VARIANT_TYPE_VARDICT);
  g_variant_builder_add(&dict, "{sv}", "name", g_variant_new_string(bitmap->name));
  uint64_t granularity = bitmap->granularity_bits < 64 ? UINT64_C(1) << bitmap->granularity_bits : 0;
  g_variant_builder_add(&dict, "{sv}", "granularity", g_variant_new_uint64(granularity));
  g_variant_builder_add(&dict, "{sv}", "flags", g_variant_builder_end(&flags));
  return g_variant_builder_end(&dict);
}

static void add_bitmaps(const Qcow2Bitmaps *bitmaps, BgInfo *info)
{
  GVariantBuilder list;
  if (!bitmaps->count)
    return;
  g_variant_builder_init(&list, G_VARIANT_TYPE("aa{sv}"));
  for (uint32_t i = 0; i < bitmaps->count; i++)
    g_variant_builder_add_value(&list, describe_bitmap(&bitmaps->list[i]));
  info->add(info, "bitmaps", g_variant_builder_end(&list));
}

/* Shared. Who changes the metadata may have to wait for the storage, for ever; who asks does not. */
static bool lock_soon(pthread_rwlock_t *lock)
{
  for (int i = 0; i < 20; i++) {
    if (pthread_rwlock_tryrdlock(lock) == 0)
      return true;
    g_usleep(10000);
  }
  return false;
}

void qcow2_info(void *instance, BgInfo *info)
{
  Qcow2 *q = instance;
  pthread_mutex_lock(&q->header_lock);
  add_header_facts(q, &q->header, info);
  pthread_mutex_unlock(&q->header_lock);

  if (!lock_soon(&q->lock))
    return;
  add_bitmaps(&q->bitmaps, info);
  pthread_rwlock_unlock(&q->lock);
}

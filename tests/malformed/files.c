/* Files that are too short or too long, and what images refer to. */
#include "tests/malformed/kinds.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXTRA(n, b, happens, status, words, how)                                                                       \
  {                                                                                                                    \
    .name = n, .base = b, .outcome = happens, .check = status, .says = words, .make = how                              \
  }

/* ── length ── */

static void empty(Maker *m)
{
  m->cut = 0;
}

static void magic_only(Maker *m)
{
  m->cut = 4;
}

static void cut_in_header(Maker *m)
{
  m->cut = 71;
}

static void cut_behind_header(Maker *m)
{
  m->cut = 104;
}

static void cut_in_l1(Maker *m)
{
  m->cut = maker_place(m, L1) + 8;
}

static void cut_in_l2(Maker *m)
{
  m->cut = maker_place(m, L2) + 4;
}

static void cut_before_l2(Maker *m)
{
  m->cut = maker_place(m, L2);
}

static void cut_in_data(Maker *m)
{
  m->cut = maker_place(m, DATA) + 1000;
}

static void long_hole(Maker *m)
{
  m->cut = UINT64_C(4) << 40;
}

static void longest_hole(Maker *m)
{
  m->cut = (UINT64_C(1) << 62);
}

/* A long refcount table, every block of it named, all of them in a hole. */
static void long_reftable(Maker *m)
{
  uint64_t entries = 1 << 16, table = maker_append(m, entries * 8);
  maker_put(m, table, 8, maker_place(m, REFBLOCK));
  for (uint64_t i = 1; i < entries; i++)
    maker_put(m, table + i * 8, 8, (UINT64_C(1) << 30) + i * m->cluster);
  maker_put(m, QCOW2_H_REFTABLE_OFFSET, 8, table);
  maker_put(m, QCOW2_H_REFTABLE_CLUSTERS, 4, entries * 8 / m->cluster);
  m->cut = UINT64_C(1) << 40;
}

/* ── backing files ── */

static void write_image(const Maker *m, const char *name, const char *backing)
{
  g_autofree char *folder = g_build_filename(m->folder, "made", NULL),
                  *made = g_build_filename(folder, "disk.qcow2", NULL);
  g_autofree char *path = maker_path(m, name);
  Maker other;
  g_assert(g_mkdir_with_parents(folder, 0755) == 0);
  maker_init(&other, PLAIN, folder);
  maker_backing(&other, backing, "qcow2");
  maker_save(&other);
  maker_clear(&other);
  g_assert(rename(made, path) == 0 && rmdir(folder) == 0);
}

static void backing_itself(Maker *m)
{
  maker_backing(m, "disk.qcow2", "qcow2");
}

static void backing_loop(Maker *m)
{
  maker_backing(m, "other.qcow2", "qcow2");
  write_image(m, "other.qcow2", "disk.qcow2");
}

static void backing_loop_by_link(Maker *m)
{
  g_autofree char *path = maker_path(m, "link.qcow2");
  maker_backing(m, "link.qcow2", "qcow2");
  g_assert(symlink("disk.qcow2", path) == 0);
}

static void backing_chain(Maker *m)
{
  enum { LENGTH = 300 };
  maker_backing(m, "0.qcow2", "qcow2");
  for (int i = 0; i < LENGTH; i++) {
    g_autofree char *name = g_strdup_printf("%d.qcow2", i), *next = g_strdup_printf("%d.qcow2", i + 1);
    write_image(m, name, next);
  }
}

static void backing_fifo(Maker *m)
{
  g_autofree char *path = maker_path(m, "fifo");
  maker_backing(m, "fifo", "raw");
  g_assert(mkfifo(path, 0644) == 0);
}

static void backing_folder(Maker *m)
{
  maker_backing(m, ".", "raw");
}

static void backing_device(Maker *m)
{
  maker_backing(m, "/dev/zero", "raw");
}

static void backing_json(Maker *m)
{
  maker_backing(m, "json:{\"driver\":\"null-co\"}", "raw");
}

static void backing_newline(Maker *m)
{
  maker_backing(m, "a\nb\x1b[2J", "qcow2");
}

static void backing_format_unknown(Maker *m)
{
  g_autofree char *path = maker_path(m, "base");
  maker_backing(m, "base", "a\nb");
  g_assert(g_file_set_contents(path, "base", 4, NULL));
}

static void backing_file_driver(Maker *m)
{
  g_autofree char *path = maker_path(m, "base");
  maker_backing(m, "base", "file");
  g_assert(g_file_set_contents(path, "base", 4, NULL));
}

static void backing_malformed(Maker *m)
{
  g_autofree char *path = maker_path(m, "base");
  maker_backing(m, "base", "qcow2");
  g_assert(g_file_set_contents(path, "QFI\xfb\0\0\0\3", 8, NULL));
}

/* ── data files ── */

static void data_file(Maker *m, const char *name)
{
  maker_put(m, QCOW2_H_INCOMPATIBLE, 8, QCOW2_INCOMPAT_DATA_FILE);
  maker_extension(m, QCOW2_EXT_DATA_FILE, name, strlen(name), (uint32_t)strlen(name));
}

static void data_file_itself(Maker *m)
{
  data_file(m, "disk.qcow2");
}

static void data_file_missing(Maker *m)
{
  data_file(m, "gone");
}

static void data_file_device(Maker *m)
{
  data_file(m, "/dev/zero");
}

static void data_file_elsewhere(Maker *m)
{
  g_autofree char *path = maker_path(m, "data");
  data_file(m, "data");
  g_assert(g_file_set_contents(path, "data", 4, NULL));
}

static void data_file_compressed(Maker *m)
{
  data_file_elsewhere(m);
  maker_put(m, maker_place(m, L2), 8, QCOW2_COMPRESSED | maker_place(m, DATA));
}

const Kind file_kinds[] = {
    EXTRA("empty", PLAIN, READS, "63", NULL, empty),
    EXTRA("magic-only", PLAIN, REFUSED, "1", "too short", magic_only),
    EXTRA("cut-in-header", PLAIN, REFUSED, "1", "too short", cut_in_header),
    EXTRA("cut-behind-header", PLAIN, REFUSED, "1", "past the end", cut_behind_header),
    EXTRA("cut-in-l1", PLAIN, EIO_THERE, "2", NULL, cut_in_l1),
    EXTRA("cut-in-l2", PLAIN, EIO_THERE, "2", NULL, cut_in_l2),
    EXTRA("cut-before-l2", PLAIN, EIO_THERE, "2", NULL, cut_before_l2),
    EXTRA("cut-in-data", PLAIN, EIO_THERE, "2", NULL, cut_in_data),
    EXTRA("hole-of-4-tib", SMALL, READS, "0", NULL, long_hole),
    EXTRA("hole-of-4-eib", SMALL, READS, "0", NULL, longest_hole),
    EXTRA("reftable-of-holes", PLAIN, READS, "2", NULL, long_reftable),
    EXTRA("backing-file-is-itself", PLAIN, REFUSED, "0", "comes back|cycle|loop", backing_itself),
    EXTRA("backing-files-in-a-loop", PLAIN, REFUSED, "0", "comes back|cycle|loop", backing_loop),
    EXTRA("backing-file-links-to-itself", PLAIN, REFUSED, "0", "comes back|cycle|loop", backing_loop_by_link),
    EXTRA("backing-chain-of-300", PLAIN, REFUSED, "0", "256|deep", backing_chain),
    EXTRA("backing-file-is-a-fifo", PLAIN, REFUSED, "0", "fifo", backing_fifo),
    EXTRA("backing-file-is-a-folder", PLAIN, REFUSED, "0", "regular file|directory", backing_folder),
    EXTRA("backing-file-is-a-device", PLAIN, REFUSED, "0", "/dev/zero", backing_device),
    EXTRA("backing-file-in-json", PLAIN, REFUSED, "0", "json:", backing_json),
    EXTRA("backing-file-ill-named", PLAIN, REFUSED, "0", "No such file", backing_newline),
    EXTRA("backing-format-unknown", PLAIN, REFUSED, "0", "format", backing_format_unknown),
    EXTRA("backing-format-is-a-protocol", PLAIN, REFUSED, "0", "format", backing_file_driver),
    EXTRA("backing-file-malformed", PLAIN, REFUSED, "0", "too short", backing_malformed),
    EXTRA("data-file-is-the-image", PLAIN, REFUSED, "3", "disk", data_file_itself),
    EXTRA("data-file-missing", PLAIN, REFUSED, "3", "No such file", data_file_missing),
    EXTRA("data-file-is-a-device", PLAIN, REFUSED, "3", "/dev/zero", data_file_device),
    EXTRA("data-file-of-another-place", PLAIN, EIO_THERE, "3", NULL, data_file_elsewhere),
    EXTRA("data-file-and-compressed", PLAIN, EIO_THERE, "2", NULL, data_file_compressed),
    {0},
};

#include "chain-fixture.h"

#include "graph/create.h"
#include "graph/node.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define CLUSTER    4096u
#define READ_PIECE (1u << 20)

/* ── images ── */

static void make_image(ChainFixture *chain, unsigned level)
{
  g_autofree char *name = g_strdup_printf("l%u.qcow2", level);
  g_autofree char *path = scratch_path(&chain->scratch, name);
  g_autofree char *backing = level ? g_strdup_printf("l%u.qcow2", level - 1) : NULL;
  g_autoptr(BgDict) options = bg_dict_new();
  g_autoptr(GError) error = NULL;
  bg_dict_set(options, "cluster_size", "4096");
  bool made =
      bg_create_image("qcow2", path, chain->size[level], options, backing, backing ? "qcow2" : NULL, NULL, &error);
  cr_assert(made, "%s", error ? error->message : "");
}

/* Of eight clusters, the same kind for each: data of this level, zeros, part of a cluster, or nothing. */
static void fill_cluster(ChainFixture *chain, BgUser *writer, unsigned level, uint64_t cluster)
{
  unsigned kind = (unsigned)((cluster * 2654435761u >> 3) + level * 3) % 8;
  uint64_t offset = cluster * CLUSTER, length = kind == 2 ? 1000 : CLUSTER;
  uint8_t bytes[CLUSTER];
  if (kind > 3)
    return;
  memset(bytes, kind == 3 ? 0 : (int)(1 + level * 40 + cluster % 39), sizeof bytes);
  struct iovec iov = {bytes, length};
  length = MIN(length, chain->size[level] - offset);
  if (kind == 3)
    cr_assert_eq(bg_user_zero(writer, offset, length, BG_USER_ZERO_NONE), 0);
  else
    cr_assert_gt(bg_user_pwritev(writer, &iov, 1, offset), 0);
  memcpy(chain->shadow[level] + offset, bytes, length);
}

static void fill_image(ChainFixture *chain, unsigned level)
{
  g_autofree char *options =
      g_strdup_printf("driver=qcow2,node-name=filled,file.driver=file,file.filename=@/l%u.qcow2", level);
  BgNode *node = scratch_add(&chain->scratch, options);
  BgUser *writer = scratch_writer(node);
  for (uint64_t i = 0; i * CLUSTER < chain->size[level]; i++)
    fill_cluster(chain, writer, level, i);
  bg_user_free(writer);
  cr_assert(bg_graph_remove(chain->scratch.graph, node, NULL));
}

void chain_init(ChainFixture *chain, unsigned levels, const uint64_t *sizes)
{
  *chain = (ChainFixture){.levels = levels};
  job_events_init(&chain->events);
  scratch_init(&chain->scratch, &job_events_listener, &chain->events);
  for (unsigned i = 0; i < levels; i++) {
    chain->size[i] = sizes ? sizes[i] : 1 << 20;
    chain->shadow[i] = g_malloc0(chain->size[i]);
    if (i)
      memcpy(chain->shadow[i], chain->shadow[i - 1], MIN(chain->size[i], chain->size[i - 1]));
    make_image(chain, i);
    fill_image(chain, i);
  }
}

static bool has_qemu_img(void)
{
  g_autofree char *path = g_find_program_in_path("qemu-img");
  return path != NULL;
}

static void run(const char *const *argv)
{
  g_autofree char *out = NULL, *err = NULL;
  g_autoptr(GError) error = NULL;
  int status;
  cr_assert(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status, &error));
  cr_assert(g_spawn_check_wait_status(status, NULL), "%s %s: %s%s", argv[0], argv[1], out, err);
}

/* Space that nothing uses is no harm: a process may have been killed. */
static void check_image(const char *path)
{
  const char *const argv[] = {"qemu-img", "check", "-q", path, NULL};
  g_autofree char *out = NULL, *err = NULL;
  int status;
  cr_assert(g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, &status, NULL));
  cr_assert(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 3), "%s: %s%s", path, out, err);
}

void chain_check_images(const ChainFixture *chain)
{
  for (unsigned i = 0; i < chain->levels && has_qemu_img(); i++) {
    g_autofree char *name = g_strdup_printf("l%u.qcow2", i), *path = scratch_path(&chain->scratch, name);
    check_image(path);
  }
}

void chain_check_target(const ChainFixture *chain)
{
  g_autofree char *path = scratch_path(&chain->scratch, "target.qcow2");
  if (has_qemu_img())
    check_image(path);
}

void chain_clear(ChainFixture *chain)
{
  g_autoptr(GError) error = NULL;
  cr_assert(bg_graph_close(chain->scratch.graph, &error), "%s", error ? error->message : "");
  chain->scratch.graph = bg_graph_new(NULL, NULL, NULL);
  chain_check_images(chain);
  for (unsigned i = 0; i < chain->levels; i++)
    g_free(chain->shadow[i]);
  scratch_clear(&chain->scratch);
  job_events_clear(&chain->events);
}

/* ── nodes ── */

void chain_open_each(ChainFixture *chain, const char *options)
{
  for (unsigned i = 0; i < chain->levels; i++) {
    g_autoptr(GString) text = g_string_new(NULL);
    bool top = i + 1 == chain->levels;
    g_string_printf(text,
                    "driver=qcow2,node-name=n%u,file.driver=file,file.node-name=f%u,file.filename=@/l%u.qcow2,"
                    "file.read-only=off,file.auto-read-only=on,backing=",
                    i, i, i);
    if (i)
      g_string_append_printf(text, "n%u", i - 1);
    g_string_append_printf(text, ",%s", top ? "auto-read-only=on" : options ? options : "auto-read-only=on");
    chain->node[i] = scratch_add(&chain->scratch, text->str);
  }
}

void chain_open_top(ChainFixture *chain)
{
  unsigned top = chain->levels - 1;
  chain_open_top_by_images(chain);
  for (unsigned i = top; i-- > 0;) {
    g_autofree char *name = i + 1 == top ? g_strdup("disk.backing") : g_strdup_printf("disk.backing%u", top - i);
    chain->node[i] = bg_graph_find(chain->scratch.graph, name);
    cr_assert_not_null(chain->node[i], "%s", name);
  }
}

void chain_open_top_by_images(ChainFixture *chain)
{
  unsigned top = chain->levels - 1;
  g_autofree char *options = g_strdup_printf("driver=qcow2,node-name=disk,auto-read-only=on,file.driver=file,"
                                             "file.filename=@/l%u.qcow2",
                                             top);
  chain->node[top] = scratch_add(&chain->scratch, options);
}

/* ── a target ── */

void chain_make_target(const ChainFixture *chain, uint64_t size, int backing)
{
  g_autofree char *path = scratch_path(&chain->scratch, "target.qcow2");
  g_autofree char *file = backing < 0 ? NULL : g_strdup_printf("l%d.qcow2", backing);
  cr_assert(bg_create_image("qcow2", path, size, NULL, file, file ? "qcow2" : NULL, NULL, NULL));
}

BgNode *chain_open_target(ChainFixture *chain, int backing)
{
  g_autofree char *node = backing < 0 ? g_strdup("") : g_strdup_printf("n%d", backing);
  g_autofree char *options = g_strconcat("driver=qcow2,node-name=target,auto-read-only=on,file.driver=file,"
                                         "file.filename=@/target.qcow2,backing=",
                                         node, NULL);
  return scratch_add(&chain->scratch, options);
}

/* ── judging ── */

void chain_assert_content(BgNode *node, const uint8_t *shadow, uint64_t size)
{
  cr_assert_eq(bg_node_size(node), (int64_t)size);
  BgUser *reader = scratch_reader(node);
  g_autofree uint8_t *bytes = g_malloc(READ_PIECE);
  for (uint64_t at = 0; at < size; at += READ_PIECE) {
    uint64_t length = MIN(READ_PIECE, size - at);
    struct iovec iov = {bytes, length};
    cr_assert_eq(bg_user_preadv(reader, &iov, 1, at), (ssize_t)length);
    for (uint64_t i = 0; i < length; i++)
      cr_assert_eq(bytes[i], shadow[at + i], "%s: byte %" G_GUINT64_FORMAT " is %u, not %u", bg_node_name(node), at + i,
                   bytes[i], shadow[at + i]);
  }
  bg_user_free(reader);
}

void chain_assert_file(const ChainFixture *chain, const char *name, const uint8_t *shadow, uint64_t size)
{
  if (!has_qemu_img())
    return;
  g_autofree char *path = scratch_path(&chain->scratch, name), *raw = scratch_path(&chain->scratch, "judge.raw");
  cr_assert(g_file_set_contents(raw, (const char *)shadow, (gssize)size, NULL));
  run((const char *const[]){"qemu-img", "compare", "-q", "-U", "-f", "raw", "-F", "qcow2", raw, path, NULL});
}

char *chain_recorded(const ChainFixture *chain, const char *name)
{
  Scratch other = {.directory = chain->scratch.directory, .graph = bg_graph_new(NULL, NULL, NULL)};
  g_autofree char *options =
      g_strdup_printf("driver=qcow2,node-name=x,read-only=on,force-share=on,backing=,file.driver=file,"
                      "file.force-share=on,file.read-only=on,file.filename=@/%s",
                      name);
  BgNode *node = scratch_add(&other, options);
  g_autofree char *file = NULL, *format = NULL;
  bg_node_recorded_backing(node, &file, &format);
  cr_assert(bg_graph_close(other.graph, NULL));
  return file ? g_strdup_printf("%s (%s)", file, format) : g_strdup("none");
}

void chain_assert_recorded(const ChainFixture *chain, const char *name, const char *expected)
{
  g_autofree char *text = chain_recorded(chain, name);
  cr_assert_str_eq(text, expected);
}

BgBitmaps *chain_bitmaps(BgNode *node)
{
  return node->host.bitmaps;
}

BgJob *chain_started(BgJob *job, GError *const *error)
{
  cr_assert_not_null(job, "%s", *error ? (*error)->message : "");
  return job;
}

void chain_finish(ChainFixture *chain, BgJob *job, int error)
{
  cr_assert_not_null(job);
  job_events_wait(&chain->events, "null");
  g_auto(BgJobInfo) info;
  bg_job_info(job, &info);
  cr_assert_eq(info.error, error, "%s", info.message ? info.message : "it did not fail");
  bg_job_unref(job);
}

/* ── a guest ── */

static void guest_write(Guest *guest, unsigned round, uint64_t offset)
{
  uint8_t bytes[8192], *shadow = guest->chain->shadow[guest->chain->levels - 1];
  struct iovec iov = {bytes, 1 + round % sizeof bytes};
  memset(bytes, (int)round, iov.iov_len);
  if (round % 16 == 3) {
    memset(bytes, 0, iov.iov_len);
    cr_assert_eq(bg_user_zero(guest->user, offset, iov.iov_len, BG_USER_ZERO_MAY_UNMAP), 0);
  } else {
    cr_assert_eq(bg_user_pwritev(guest->user, &iov, 1, offset), (ssize_t)iov.iov_len);
  }
  memcpy(shadow + offset, bytes, iov.iov_len);
}

static void guest_read(Guest *guest, unsigned round, uint64_t offset)
{
  uint8_t bytes[8192];
  struct iovec iov = {bytes, 1 + round % sizeof bytes};
  const uint8_t *shadow = guest->chain->shadow[guest->chain->levels - 1] + offset;
  cr_assert_eq(bg_user_preadv(guest->user, &iov, 1, offset), (ssize_t)iov.iov_len);
  for (size_t i = 0; i < iov.iov_len; i++)
    cr_assert_eq(bytes[i], shadow[i], "byte %" G_GUINT64_FORMAT " is %u, not %u", offset + i, bytes[i], shadow[i]);
}

static void *guest_run(void *data)
{
  Guest *guest = data;
  uint64_t size = guest->chain->size[guest->chain->levels - 1];
  for (unsigned i = 0; !guest->stop; i++) {
    uint64_t offset = (uint64_t)i * 7919u * 512u % (size - 8192);
    (i % 2 ? guest_write : guest_read)(guest, i, offset);
    guest->rounds++;
    if (i % 8 == 0)
      g_usleep(200); /* others have work, too */
  }
  return NULL;
}

void guest_start(Guest *guest, ChainFixture *chain, BgNode *node)
{
  *guest = (Guest){.chain = chain, .user = scratch_writer(node)};
  cr_assert_eq(pthread_create(&guest->thread, NULL, guest_run, guest), 0);
}

void guest_stop(Guest *guest)
{
  guest->stop = true;
  pthread_join(guest->thread, NULL);
  bg_user_free(guest->user);
}

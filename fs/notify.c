#include "drivers/clock.h"
#include "fs/fs.h"

/* One kind of message, its queue and its thread. */
typedef struct Lane {
  BgfsNotify *notify;
  void (*send)(BgfsNotify *notify, BgNode *node);
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed; /* something was queued or sent, or the lane stops */
  GHashTable *nodes;      /* the queue, a set of BgNode * */
  uint64_t queued, sent;  /* all queued before the value `sent` had in `queued` are sent */
  bool running;
} Lane;

enum { LANE_ATTRIBUTES, LANE_DATA, LANE_NAMES, LANE_COUNT };

struct BgfsNotify {
  struct fuse_session *session;
  BgfsInodes *inodes;
  Lane lanes[LANE_COUNT];
};

static void send_attributes(BgfsNotify *notify, BgNode *node)
{
  g_autoptr(GPtrArray) files = bgfs_inodes_showing(notify->inodes, node);
  for (guint i = 0; i < files->len; i++)
    fuse_lowlevel_notify_inval_inode(notify->session, ((BgfsInode *)files->pdata[i])->ino, -1, 0);
}

static void send_data(BgfsNotify *notify, BgNode *node)
{
  g_autoptr(GPtrArray) files = bgfs_inodes_showing(notify->inodes, node);
  for (guint i = 0; i < files->len; i++) {
    BgfsInode *inode = files->pdata[i];
    inode->caching.generation = UINT64_MAX;
    fuse_lowlevel_notify_inval_inode(notify->session, inode->ino, 0, 0);
  }
}

static void send_name(BgfsNotify *notify, BgNode *node)
{
  const char *name = bg_node_name(node);
  fuse_lowlevel_notify_inval_entry(notify->session, BGFS_INO_ROOT, name, strlen(name));
}

static void lane_init(Lane *lane, BgfsNotify *notify, void (*send)(BgfsNotify *, BgNode *))
{
  lane->notify = notify;
  lane->send = send;
  lane->nodes = g_hash_table_new(NULL, NULL);
  pthread_mutex_init(&lane->lock, NULL);
  bg_clock_cond_init(&lane->changed);
}

static void lane_clear(Lane *lane)
{
  g_hash_table_unref(lane->nodes);
  pthread_cond_destroy(&lane->changed);
  pthread_mutex_destroy(&lane->lock);
}

/* The number to wait for. 0: dropped. */
static uint64_t lane_queue(Lane *lane, BgNode *node)
{
  pthread_mutex_lock(&lane->lock);
  uint64_t number = 0;
  if (lane->running) {
    number = ++lane->queued;
    g_hash_table_add(lane->nodes, node);
    pthread_cond_broadcast(&lane->changed);
  }
  pthread_mutex_unlock(&lane->lock);
  return number;
}

static void lane_send_all(Lane *lane, GHashTable *nodes)
{
  GHashTableIter iter;
  gpointer node;
  g_hash_table_iter_init(&iter, nodes);
  while (g_hash_table_iter_next(&iter, &node, NULL))
    lane->send(lane->notify, node);
}

static void *lane_run(void *data)
{
  Lane *lane = data;
  pthread_mutex_lock(&lane->lock);
  while (lane->running) {
    if (g_hash_table_size(lane->nodes) == 0) {
      pthread_cond_wait(&lane->changed, &lane->lock);
      continue;
    }
    GHashTable *nodes = lane->nodes;
    uint64_t number = lane->queued;
    lane->nodes = g_hash_table_new(NULL, NULL);
    pthread_mutex_unlock(&lane->lock);

    lane_send_all(lane, nodes);
    g_hash_table_unref(nodes);

    pthread_mutex_lock(&lane->lock);
    lane->sent = number;
    pthread_cond_broadcast(&lane->changed);
  }
  pthread_mutex_unlock(&lane->lock);
  return NULL;
}

static bool lane_start(Lane *lane)
{
  pthread_mutex_lock(&lane->lock);
  lane->running = true;
  int result = pthread_create(&lane->thread, NULL, lane_run, lane);
  if (result != 0)
    lane->running = false;
  pthread_mutex_unlock(&lane->lock);
  errno = result;
  return result == 0;
}

static void lane_stop(Lane *lane)
{
  pthread_mutex_lock(&lane->lock);
  bool running = lane->running;
  lane->running = false;
  pthread_cond_broadcast(&lane->changed);
  pthread_mutex_unlock(&lane->lock);
  if (running)
    pthread_join(lane->thread, NULL);
}

BgfsNotify *bgfs_notify_new(void)
{
  BgfsNotify *notify = g_new0(BgfsNotify, 1);
  lane_init(&notify->lanes[LANE_ATTRIBUTES], notify, send_attributes);
  lane_init(&notify->lanes[LANE_DATA], notify, send_data);
  lane_init(&notify->lanes[LANE_NAMES], notify, send_name);
  return notify;
}

void bgfs_notify_free(BgfsNotify *notify)
{
  if (!notify)
    return;
  for (int i = 0; i < LANE_COUNT; i++)
    lane_clear(&notify->lanes[i]);
  g_free(notify);
}

bool bgfs_notify_start(BgfsNotify *notify, struct fuse_session *session, BgfsInodes *inodes)
{
  notify->session = session;
  notify->inodes = inodes;
  for (int i = 0; i < LANE_COUNT; i++) {
    if (!lane_start(&notify->lanes[i])) {
      int saved = errno;
      bgfs_notify_stop(notify);
      errno = saved;
      return false;
    }
  }
  return true;
}

void bgfs_notify_stop(BgfsNotify *notify)
{
  for (int i = 0; i < LANE_COUNT; i++)
    lane_stop(&notify->lanes[i]);
}

/* Until what got that number or a lower one was sent, or `until` (monotonic µs). */
static void lane_wait(Lane *lane, uint64_t number, int64_t until)
{
  struct timespec at = bg_clock_at(until);
  pthread_mutex_lock(&lane->lock);
  int result = 0;
  while (lane->running && lane->sent < number && result == 0)
    result = pthread_cond_timedwait(&lane->changed, &lane->lock, &at);
  pthread_mutex_unlock(&lane->lock);
}

static uint64_t lane_last(Lane *lane)
{
  pthread_mutex_lock(&lane->lock);
  uint64_t number = lane->queued;
  pthread_mutex_unlock(&lane->lock);
  return number;
}

void bgfs_notify_drop_data(BgfsNotify *notify, BgfsInode *inode, unsigned milliseconds)
{
  Lane *lane = &notify->lanes[LANE_DATA];
  int64_t until = g_get_monotonic_time() + milliseconds * 1000;
  lane_wait(lane, lane_queue(lane, inode->node), until);
}

void bgfs_notify_wait(BgfsNotify *notify, unsigned milliseconds)
{
  int64_t until = g_get_monotonic_time() + milliseconds * 1000;
  for (int i = 0; i < LANE_COUNT; i++)
    lane_wait(&notify->lanes[i], lane_last(&notify->lanes[i]), until);
}

static void on_state(void *data, BgNode *node)
{
  BgfsNotify *notify = data;
  lane_queue(&notify->lanes[LANE_ATTRIBUTES], node);
}

static void on_content(void *data, BgNode *node)
{
  BgfsNotify *notify = data;
  lane_queue(&notify->lanes[LANE_DATA], node);
}

static void on_name(void *data, BgNode *node)
{
  BgfsNotify *notify = data;
  lane_queue(&notify->lanes[LANE_NAMES], node);
}

/* Files of other names that showed it are gone as soon as the kernel asks for them again. */
static void on_removed(void *data, BgNode *node)
{
  BgfsNotify *notify = data;
  if (notify->inodes)
    bgfs_inodes_forget(notify->inodes, node);
  lane_queue(&notify->lanes[LANE_NAMES], node);
}

/* At once: the next open of the file is the new node's. */
static void on_replaced(void *data, BgNode *from, BgNode *to)
{
  BgfsNotify *notify = data;
  if (notify->inodes)
    bgfs_inodes_replace(notify->inodes, from, to);
  lane_queue(&notify->lanes[LANE_ATTRIBUTES], to);
  lane_queue(&notify->lanes[LANE_NAMES], from);
}

const BgListener bgfs_notify_listener = {
    .state_changed = on_state,
    .content_changed = on_content,
    .node_added = on_name,
    .node_removed = on_removed,
    .node_replaced = on_replaced,
};

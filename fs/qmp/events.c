#include "fs/qmp/events.h"

#include "drivers/clock.h"
#include "fs/image-info.h"
#include "fs/qmp/job-info.h"
#include "fs/qmp/message.h"
#include "fs/qmp/throttle.h"

#include <errno.h>

typedef enum { ADDED, REMOVED, STATE, IO_ERROR, OTHER } Kind;

typedef struct News {
  Kind kind;
  BgNode *node;     /* NULL: OTHER */
  int64_t time;     /* µs since the epoch */
  bool reading;     /* IO_ERROR */
  int error;        /* IO_ERROR: an errno */
  const char *name; /* OTHER: the event as it is to be told */
  JsonObject *data; /* likewise */
} News;

struct BgfsQmpEvents {
  BgfsQmpServer *server;
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  GQueue queue;            /* (lock) News * */
  GHashTable *states;      /* (lock) nodes whose STATE is in the queue */
  BgfsQmpThrottle *errors; /* (lock) IO_ERROR that are held back */
  bool running;            /* (lock) */
  GHashTable *told;        /* BgNode * to char *: the state that was told last; the thread's */
};

/* ── taking note ── */

static void news_free(gpointer data)
{
  News *news = data;
  if (news->data)
    json_object_unref(news->data);
  g_free(news);
}

/* Takes `news`. */
static void queue(BgfsQmpEvents *events, News *news)
{
  pthread_mutex_lock(&events->lock);
  if (!events->running || (news->kind == STATE && !g_hash_table_add(events->states, news->node)))
    news_free(news);
  else if (news->kind != IO_ERROR || bgfs_qmp_throttle_pass(events->errors, news->node, news, g_get_monotonic_time()))
    g_queue_push_tail(&events->queue, news);
  pthread_cond_signal(&events->changed);
  pthread_mutex_unlock(&events->lock);
}

static void note(BgfsQmpEvents *events, Kind kind, BgNode *node)
{
  News *news = g_new0(News, 1);
  *news = (News){.kind = kind, .node = node, .time = g_get_real_time()};
  queue(events, news);
}

void bgfs_qmp_events_add(BgfsQmpEvents *events, const char *name, JsonObject *data)
{
  News *news = g_new0(News, 1);
  *news = (News){.kind = OTHER, .time = g_get_real_time(), .name = name, .data = data};
  queue(events, news);
}

static void on_added(void *data, BgNode *node)
{
  note(data, ADDED, node);
}

static void on_removed(void *data, BgNode *node)
{
  note(data, REMOVED, node);
}

static void on_state(void *data, BgNode *node)
{
  note(data, STATE, node);
}

static void on_io_error(void *data, BgNode *node, bool reading, int error)
{
  News *news = g_new0(News, 1);
  *news = (News){.kind = IO_ERROR, .node = node, .time = g_get_real_time(), .reading = reading, .error = error};
  queue(data, news);
}

static void on_corrupted(void *data, BgNode *node, const char *message, bool fatal)
{
  JsonObject *told = json_object_new();
  bgfs_json_set_text(told, "device", bg_node_name(node));
  bgfs_json_set_text(told, "node-name", bg_node_name(node));
  bgfs_json_set_text(told, "msg", message);
  json_object_set_boolean_member(told, "fatal", fatal);
  bgfs_qmp_events_add(data, "BLOCK_IMAGE_CORRUPTED", told);
}

static void on_job(void *data, const BgJobEvent *event)
{
  bgfs_qmp_events_add(data, bgfs_qmp_job_event_name(event), bgfs_qmp_job_event_data(event));
}

const BgListener bgfs_qmp_events_listener = {
    .state_changed = on_state,
    .node_added = on_added,
    .node_removed = on_removed,
    .io_error = on_io_error,
    .image_corrupted = on_corrupted,
    .job_event = on_job,
};

/* ── telling ── */

static char *fingerprint(const BgNodeState *state)
{
  return g_strdup_printf("%d %d %d %s", state->write_state, state->error, state->read_write, state->reason);
}

/* True if the state is another than the one that was told last. */
static bool remember_state(BgfsQmpEvents *events, BgNode *node, const BgNodeState *state)
{
  char *now = fingerprint(state);
  const char *before = g_hash_table_lookup(events->told, node);
  bool changed = g_strcmp0(before, now) != 0;
  g_hash_table_replace(events->told, node, now);
  return changed;
}

static void set_state(JsonObject *data, const BgNodeState *state)
{
  json_object_set_string_member(data, "write-state", bg_write_state_name(state->write_state));
  bgfs_json_set_text(data, "reason", state->reason);
  json_object_set_boolean_member(data, "read-write", state->read_write);
}

/* False: nothing is new. */
static bool describe_node(BgfsQmpEvents *events, const News *news, JsonObject *data)
{
  BgNodeState state;
  bgfs_json_set_text(data, "node-name", bg_node_name(news->node));
  if (news->kind == REMOVED) {
    g_hash_table_remove(events->told, news->node);
    return true;
  }
  if (news->kind == ADDED)
    bgfs_json_set_text(data, "driver", bg_node_driver(news->node)->name);
  bg_node_state(news->node, &state);
  bool changed = remember_state(events, news->node, &state);
  set_state(data, &state);
  bg_node_state_clear(&state);
  return changed || news->kind == ADDED;
}

static void describe_error(const News *news, JsonObject *data)
{
  bgfs_json_set_text(data, "device", bg_node_name(news->node));
  bgfs_json_set_text(data, "node-name", bg_node_name(news->node));
  json_object_set_string_member(data, "operation", news->reading ? "read" : "write");
  json_object_set_string_member(data, "action", "report");
  json_object_set_boolean_member(data, "nospace", news->error == ENOSPC);
  json_object_set_string_member(data, "reason", g_strerror(news->error));
}

/* False: nothing is new. */
static bool describe(BgfsQmpEvents *events, const News *news, JsonObject *data)
{
  if (news->kind == IO_ERROR)
    describe_error(news, data);
  return news->kind == IO_ERROR || describe_node(events, news, data);
}

static void tell(BgfsQmpEvents *events, const News *news)
{
  static const char *const names[] = {[ADDED] = "BLOCKGRAPH_NODE_ADDED",
                                      [REMOVED] = "BLOCKGRAPH_NODE_REMOVED",
                                      [STATE] = "BLOCKGRAPH_WRITE_STATE_CHANGED",
                                      [IO_ERROR] = "BLOCK_IO_ERROR"};
  g_autoptr(JsonObject) data = news->data ? json_object_ref(news->data) : json_object_new();
  if (news->kind != OTHER && !describe(events, news, data))
    return;
  g_autofree char *event = bgfs_qmp_event(news->kind == OTHER ? news->name : names[news->kind], data, news->time);
  bgfs_qmp_server_tell(events->server, event);
}

/* Under the lock. */
static void wait_for_news(BgfsQmpEvents *events)
{
  int64_t due = bgfs_qmp_throttle_due(events->errors);
  struct timespec until = bg_clock_at(due);
  if (due == INT64_MAX)
    pthread_cond_wait(&events->changed, &events->lock);
  else
    pthread_cond_timedwait(&events->changed, &events->lock, &until);
}

/* The next; NULL when the thread shall end. What was queued before that is told. */
static News *next(BgfsQmpEvents *events)
{
  News *news;
  pthread_mutex_lock(&events->lock);
  while (!(news = g_queue_pop_head(&events->queue)) &&
         !(news = bgfs_qmp_throttle_take(events->errors, g_get_monotonic_time())) && events->running)
    wait_for_news(events);
  if (news && news->kind == STATE)
    g_hash_table_remove(events->states, news->node);
  pthread_mutex_unlock(&events->lock);
  return news;
}

static void *tell_all(void *data)
{
  BgfsQmpEvents *events = data;
  for (News *news; (news = next(events)); news_free(news))
    tell(events, news);
  return NULL;
}

/* ── the whole ── */

BgfsQmpEvents *bgfs_qmp_events_new(void)
{
  BgfsQmpEvents *events = g_new0(BgfsQmpEvents, 1);
  pthread_mutex_init(&events->lock, NULL);
  bg_clock_cond_init(&events->changed);
  events->states = g_hash_table_new(NULL, NULL);
  events->errors = bgfs_qmp_throttle_new(news_free);
  events->told = g_hash_table_new_full(NULL, NULL, NULL, g_free);
  return events;
}

void bgfs_qmp_events_free(BgfsQmpEvents *events)
{
  if (!events)
    return;
  g_queue_clear_full(&events->queue, news_free);
  g_hash_table_unref(events->states);
  bgfs_qmp_throttle_free(events->errors);
  g_hash_table_unref(events->told);
  pthread_cond_destroy(&events->changed);
  pthread_mutex_destroy(&events->lock);
  g_free(events);
}

static void remember_all(BgfsQmpEvents *events, BgGraph *graph)
{
  g_autoptr(GPtrArray) nodes = bg_graph_nodes(graph);
  for (guint i = 0; i < nodes->len; i++) {
    BgNodeState state;
    bg_node_state(nodes->pdata[i], &state);
    remember_state(events, nodes->pdata[i], &state);
    bg_node_state_clear(&state);
  }
}

bool bgfs_qmp_events_start(BgfsQmpEvents *events, BgfsQmpServer *server, BgGraph *graph)
{
  events->server = server;
  remember_all(events, graph);
  pthread_mutex_lock(&events->lock);
  int result = pthread_create(&events->thread, NULL, tell_all, events);
  events->running = result == 0;
  pthread_mutex_unlock(&events->lock);
  errno = result;
  return result == 0;
}

void bgfs_qmp_events_stop(BgfsQmpEvents *events)
{
  if (!events)
    return;
  pthread_mutex_lock(&events->lock);
  bool running = events->running;
  events->running = false;
  pthread_cond_signal(&events->changed);
  pthread_mutex_unlock(&events->lock);
  if (running)
    pthread_join(events->thread, NULL);
}

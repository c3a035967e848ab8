#include "fs/fan-out.h"

#define TELL_ALL(data, what, ...)                                                                                      \
  do {                                                                                                                 \
    const BgfsFanOut *fan_out = (data);                                                                                \
    for (int i = 0; i < BGFS_FAN_OUT_MAX; i++)                                                                         \
      if (fan_out->listeners[i] && fan_out->listeners[i]->what)                                                        \
        fan_out->listeners[i]->what(fan_out->data[i], __VA_ARGS__);                                                    \
  } while (0)

static void on_state(void *data, BgNode *node)
{
  TELL_ALL(data, state_changed, node);
}

static void on_content(void *data, BgNode *node)
{
  TELL_ALL(data, content_changed, node);
}

static void on_added(void *data, BgNode *node)
{
  TELL_ALL(data, node_added, node);
}

static void on_removed(void *data, BgNode *node)
{
  TELL_ALL(data, node_removed, node);
}

static void on_replaced(void *data, BgNode *from, BgNode *to)
{
  TELL_ALL(data, node_replaced, from, to);
}

static void on_io_error(void *data, BgNode *node, bool reading, int error)
{
  TELL_ALL(data, io_error, node, reading, error);
}

static void on_corrupted(void *data, BgNode *node, const char *message, bool fatal)
{
  TELL_ALL(data, image_corrupted, node, message, fatal);
}

static void on_job(void *data, const struct BgJobEvent *event)
{
  TELL_ALL(data, job_event, event);
}

const BgListener bgfs_fan_out_listener = {
    .state_changed = on_state,
    .content_changed = on_content,
    .node_added = on_added,
    .node_removed = on_removed,
    .node_replaced = on_replaced,
    .io_error = on_io_error,
    .image_corrupted = on_corrupted,
    .job_event = on_job,
};

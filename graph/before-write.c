#include "graph/before-write.h"

#include "graph/io.h"

void bg_before_write_add(BgNode *node, BgBeforeWrite *watcher)
{
  watcher->next = node->before_write;
  node->before_write = watcher;
}

void bg_before_write_remove(BgNode *node, BgBeforeWrite *watcher)
{
  BgBeforeWrite **link = &node->before_write;
  while (*link && *link != watcher)
    link = &(*link)->next;
  if (*link)
    *link = watcher->next;
}

void bg_io_before_write(BgNode *node, uint64_t offset, uint64_t length)
{
  for (BgBeforeWrite *watcher = node->before_write; watcher; watcher = watcher->next)
    watcher->before(watcher, offset, length);
}

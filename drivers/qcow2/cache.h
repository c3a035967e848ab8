/* A bounded cache of metadata clusters (L2 tables or refcount blocks) by their offset in the file, with clock eviction. A
 * table that is dirty, being written, or pinned stays, whatever the bound.
 *
 * The owner's lock guards it: shared for qcow2_cache_find(), exclusive for all else. */
#ifndef BG_QCOW2_CACHE_H
#define BG_QCOW2_CACHE_H

#include <glib.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Qcow2Table {
  uint64_t offset; /* in the file */
  uint8_t *data;   /* one cluster, as on disk */
  unsigned pins;
  uint32_t dirty_from, dirty_to; /* bytes to be written; equal: none */
  bool fresh;                    /* nothing durable names it yet */
  bool writing;                  /* a copy is on its way to the disk */
  bool modified;                 /* changed since it was loaded */
  atomic_bool used;              /* since the clock's hand passed */
} Qcow2Table;

typedef struct Qcow2Cache {
  GHashTable *tables; /* by &table->offset */
  GPtrArray *ring;
  size_t hand;
  size_t table_size;   /* bytes */
  size_t limit;        /* tables */
  size_t dirty;        /* tables that are */
  uint64_t generation; /* raised when what is on disk may differ from what a load in flight has read */
} Qcow2Cache;

void qcow2_cache_init(Qcow2Cache *cache, size_t table_size, uint64_t limit_bytes);
void qcow2_cache_destroy(Qcow2Cache *cache);
/* At least four tables are allowed at any rate. Takes effect with the next insertion. */
void qcow2_cache_set_limit(Qcow2Cache *cache, uint64_t limit_bytes);

/* NULL if it is not there. */
Qcow2Table *qcow2_cache_find(Qcow2Cache *cache, uint64_t offset);
/* Takes `data` (a g_malloc()ed table), clean; replaces what is cached at that offset; evicts others. */
Qcow2Table *qcow2_cache_insert(Qcow2Cache *cache, uint64_t offset, uint8_t *data);
/* Forgets the table and what it has unwritten, if it is there. It must be neither pinned nor being written. */
void qcow2_cache_remove(Qcow2Cache *cache, uint64_t offset);
/* Forgets all tables; none may be pinned or being written. */
void qcow2_cache_clear(Qcow2Cache *cache);

void qcow2_table_mark(Qcow2Cache *cache, Qcow2Table *table, size_t from, size_t length);
void qcow2_table_clean(Qcow2Cache *cache, Qcow2Table *table);
static inline bool qcow2_table_is_dirty(const Qcow2Table *table)
{
  return table->dirty_from != table->dirty_to;
}

/* So much is dirty that it should be written back soon. */
static inline bool qcow2_cache_pressed(const Qcow2Cache *cache)
{
  return cache->dirty * 2 >= cache->limit;
}

#endif

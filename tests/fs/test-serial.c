#include "fs/serial.h"

#include <criterion/criterion.h>
#include <stdatomic.h>

typedef struct Note {
  BgfsTask task;
  GArray *order; /* touched by tasks of one serial only */
  int number;
} Note;

static void write_down(BgfsTask *task)
{
  Note *note = (Note *)task;
  if (note->number % 7 == 0)
    g_usleep(1000);
  g_array_append_val(note->order, note->number);
  g_free(note);
}

Test(serial, tasks_of_one_file_run_in_order, .timeout = 20)
{
  enum { FILES = 4, TASKS = 100 };
  BgfsPool pool;
  BgfsSerial serials[FILES];
  bgfs_pool_init(&pool, 16);
  GArray *orders[FILES];
  for (int i = 0; i < FILES; i++) {
    bgfs_serial_init(&serials[i]);
    orders[i] = g_array_new(FALSE, FALSE, sizeof(int));
  }
  for (int n = 0; n < TASKS; n++) {
    for (int i = 0; i < FILES; i++) {
      Note *note = g_new0(Note, 1);
      *note = (Note){{write_down}, orders[i], n};
      bgfs_serial_submit(&serials[i], &pool, &note->task);
    }
  }
  bgfs_pool_clear(&pool);
  for (int i = 0; i < FILES; i++) {
    cr_assert_eq(orders[i]->len, TASKS);
    for (int n = 0; n < TASKS; n++)
      cr_assert_eq(g_array_index(orders[i], int, n), n);
    g_array_unref(orders[i]);
    bgfs_serial_clear(&serials[i]);
  }
}

typedef struct Meeting {
  BgfsTask task;
  pthread_barrier_t *barrier;
} Meeting;

static void meet(BgfsTask *task)
{
  Meeting *meeting = (Meeting *)task;
  pthread_barrier_wait(meeting->barrier);
  g_free(meeting);
}

/* Each task waits for all others: with fewer threads than files they would wait for ever. */
Test(serial, files_do_not_wait_for_each_other, .timeout = 20)
{
  enum { FILES = 40 };
  BgfsPool pool;
  BgfsSerial serials[FILES];
  pthread_barrier_t barrier;
  bgfs_pool_init(&pool, UINT_MAX);
  pthread_barrier_init(&barrier, NULL, FILES);
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < FILES; i++) {
      if (round == 0)
        bgfs_serial_init(&serials[i]);
      Meeting *meeting = g_new0(Meeting, 1);
      *meeting = (Meeting){{meet}, &barrier};
      bgfs_serial_submit(&serials[i], &pool, &meeting->task);
    }
  }
  bgfs_pool_clear(&pool);
  for (int i = 0; i < FILES; i++)
    bgfs_serial_clear(&serials[i]);
  pthread_barrier_destroy(&barrier);
}

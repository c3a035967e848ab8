#include "graph/user.h"

#include "tests/graph/fake-drivers.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

/*   top (compress)
 *   │ file
 *   disk (cow)            200 KiB and a bit
 *   │ file     │ backing
 *   disk.file  base (mem)  100 KiB */
#define SIZE      (200u * 1024 + 300)
#define BASE_SIZE (100u * 1024)

static BgGraph *graph;
static BgUser *user;
static uint8_t shadow[SIZE];

static void set_up(void)
{
  memset(shadow, 0, sizeof shadow);
  mem_disk("b")->size = BASE_SIZE;
  mem_disk("d")->size = SIZE;
  for (unsigned i = 0; i < BASE_SIZE; i++)
    shadow[i] = mem_disk("b")->data[i] = (uint8_t)(i / 5 + i / 700);
  graph = bg_graph_new(NULL, NULL, NULL);
  add_node(graph, "node-name=base,driver=mem,disk=b,auto-read-only=on");
  add_node(graph, "node-name=disk,driver=cow,auto-read-only=on,file.driver=mem,file.disk=d,backing=base");
  BgNode *top = add_node(graph, "node-name=top,driver=compress,auto-read-only=on,file=disk");
  g_autoptr(GError) error = NULL;
  user = bg_user_new(top, "test", BG_PERM_CONSISTENT_READ | bg_user_write_perm(top), BG_USER_WRITE_SHARED, &error);
  cr_assert_not_null(user, "%s", error ? error->message : "");
}

static void tear_down(void)
{
  bg_user_free(user);
  cr_assert(bg_graph_close(graph, NULL));
  fake_drivers_reset();
}

TestSuite(special, .init = set_up, .fini = tear_down, .timeout = 60);

static void put(uint64_t offset, const void *data, size_t length)
{
  struct iovec iov[2] = {{(void *)data, length / 2}, {(char *)data + length / 2, length - length / 2}};
  cr_assert_eq(bg_user_pwritev(user, iov, 2, offset), (ssize_t)length);
  memcpy(shadow + offset, data, length);
}

static void check_content(void)
{
  assert_holds(user, shadow, SIZE);
}

Test(special, parts_are_completed)
{
  put(5000, "x", 1);
  cr_assert_eq(cow_special_writes(), 1);
  check_content();
  put(2 * COW_SPECIAL - 3, "across", 6);
  cr_assert_eq(cow_special_writes(), 3);
  check_content();
  put(SIZE - 1, "z", 1);
  put(BASE_SIZE - 2, "over", 4);
  cr_assert_eq(cow_special_writes(), 5);
  check_content();
}

Test(special, whole_granules)
{
  g_autofree uint8_t *data = g_malloc(SIZE);
  memset(data, 0x77, SIZE);
  put(0, data, 5 * COW_SPECIAL);
  cr_assert_eq(cow_special_writes(), 5);
  put(COW_SPECIAL, data, SIZE - COW_SPECIAL);
  check_content();
}

/* What the driver does not take is written plainly, and no more of it than was asked. */
Test(special, what_the_driver_refuses)
{
  put(COW_SPECIAL, "!", 1);
  put(COW_SPECIAL + 100, "abc", 3);
  cr_assert_eq(cow_special_writes(), 0);
  check_content();
  put(COW_SPECIAL - 1, "a!b", 3);
  cr_assert_eq(cow_special_writes(), 1);
  check_content();
}

Test(special, past_the_end)
{
  struct iovec iov = {"abcd", 4};
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, SIZE - 2), 2);
  memcpy(shadow + SIZE - 2, "ab", 2);
  check_content();
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, SIZE), -ENOSPC);
}

Test(special, errors)
{
  struct iovec iov = {"abcd", 4};
  mem_disk("b")->fail_read = EIO;
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, 10), -EIO);
  mem_disk("b")->fail_read = 0;
  mem_disk("d")->fail_write = ENOSPC;
  cr_assert_eq(bg_user_pwritev(user, &iov, 1, 10), -ENOSPC);
  mem_disk("d")->fail_write = 0;
  check_content();
}

/* Parts of one granule by several at once: none takes another's away. */
static void *work(void *data)
{
  unsigned number = GPOINTER_TO_UINT(data);
  for (unsigned i = number; i < 12000; i += 4) {
    uint8_t byte = (uint8_t)(i * 7 + 1);
    struct iovec iov = {&byte, 1};
    if (bg_user_pwritev(user, &iov, 1, i) != 1)
      return "cannot write";
    shadow[i] = byte;
  }
  return NULL;
}

Test(special, neighbours)
{
  pthread_t threads[4];
  for (unsigned i = 0; i < 4; i++)
    cr_assert_eq(pthread_create(&threads[i], NULL, work, GUINT_TO_POINTER(i)), 0);
  for (unsigned i = 0; i < 4; i++) {
    void *result;
    pthread_join(threads[i], &result);
    cr_assert_null(result);
  }
  check_content();
}

Test(special, a_node_that_cannot)
{
  g_autoptr(GError) error = add_fails(graph, "node-name=no,driver=compress,file=base");
  cr_assert_eq(error->code, ENOTSUP);
  cr_assert_not_null(strstr(error->message, "compressed"), "%s", error->message);
}

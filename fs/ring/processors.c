#include "fs/ring/processors.h"

#include "drivers/error.h"

#include <errno.h>
#include <stdlib.h>

/* A number that the text begins with; the text moves on. False: it does not, or there are not so many. */
static bool take_number(const char **text, unsigned *number)
{
  char *end;
  if (!g_ascii_isdigit(**text))
    return false;
  guint64 value = g_ascii_strtoull(*text, &end, 10);
  if (value >= BGFS_PROCESSORS_MOST)
    return false;
  *number = value;
  *text = end;
  return true;
}

static bool take_range(const char **text, GArray *processors)
{
  unsigned first, last;
  if (!take_number(text, &first))
    return false;
  last = first;
  if (**text == '-') {
    (*text)++;
    if (!take_number(text, &last) || last < first)
      return false;
  }
  if (processors->len > 0 && g_array_index(processors, unsigned, processors->len - 1) >= first)
    return false;
  for (unsigned i = first; i <= last; i++)
    g_array_append_val(processors, i);
  return true;
}

GArray *bgfs_processors_parse(const char *list)
{
  g_autoptr(GArray) processors = g_array_new(FALSE, FALSE, sizeof(unsigned));
  while (take_range(&list, processors)) {
    if (*list == '\n')
      list++;
    if (!*list)
      return g_steal_pointer(&processors);
    if (*list++ != ',')
      return NULL;
  }
  return NULL;
}

GArray *bgfs_processors(const char *which, GError **error)
{
  g_autofree char *path = g_strdup_printf("/sys/devices/system/cpu/%s", which);
  g_autofree char *text = NULL;
  if (!g_file_get_contents(path, &text, NULL, error))
    return NULL;
  GArray *processors = bgfs_processors_parse(text);
  if (!processors)
    bg_set_error(error, EINVAL, "'%s' is no list of processors", path);
  return processors;
}

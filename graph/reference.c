#include "graph/reference.h"

#include "drivers/registry.h"
#include "graph/escape.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* One reference on its way through the policy. */
typedef struct {
  const BgPolicy *policy;
  const char *image;     /* as named; NULL: none */
  const char *reference; /* as found in the image */
  char *shown_image;     /* both fit for a message */
  char *shown_reference;
} Query;

static void query_clear(Query *query)
{
  g_free(query->shown_image);
  g_free(query->shown_reference);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Query, query_clear)

static void G_GNUC_PRINTF(4, 5) fail(const Query *query, GError **error, int err, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  g_autofree char *why = g_strdup_vprintf(format, args);
  va_end(args);
  bg_set_error(error, err, "Image '%s' refers to '%s', %s", query->shown_image, query->shown_reference, why);
}

bool bg_reference_has_protocol(const char *name)
{
  return name[strcspn(name, ":/")] == ':';
}

/* True if `path` is `above` or below it, by whole components. */
static bool path_is_within(const char *path, const char *above)
{
  size_t length = strlen(above);
  while (length > 0 && above[length - 1] == '/')
    length--;
  return strncmp(path, above, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

/* "nbd://host" must not allow "nbd://host.example" nor "nbd://host@elsewhere". */
static bool uri_is_within(const char *uri, const char *prefix)
{
  size_t length = strlen(prefix);
  if (strncmp(uri, prefix, length) != 0)
    return false;
  return uri[length] == '\0' || strchr("/:", prefix[length - 1]) || strchr("/?#", uri[length]);
}

static bool policy_allows_uri(const BgPolicy *policy, const char *uri)
{
  for (const char *const *entry = policy->allowed; entry && *entry; entry++)
    if (bg_reference_has_protocol(*entry) && uri_is_within(uri, *entry))
      return true;
  return policy->trust_images;
}

static bool policy_allows_path(const BgPolicy *policy, const char *resolved)
{
  for (const char *const *entry = policy->allowed; entry && *entry; entry++) {
    const char *path = g_str_has_prefix(*entry, "file:") ? *entry + strlen("file:") : *entry;
    char *real = bg_reference_has_protocol(path) ? NULL : realpath(path, NULL);
    bool within = real && path_is_within(resolved, real);
    free(real);
    if (within)
      return true;
  }
  return policy->trust_images;
}

/* The URI as it is, where it may be used. */
static char *resolve_uri(const Query *query, GError **error)
{
  if (policy_allows_uri(query->policy, query->reference) && bg_driver_of_uri(query->reference))
    return g_strdup(query->reference);
  if (policy_allows_uri(query->policy, query->reference))
    fail(query, error, EPROTONOSUPPORT, "for whose protocol there is no driver");
  else
    fail(query, error, EPERM,
         "and images may not name anything but files by themselves; allow it with: --allow-reference '%s'",
         query->shown_reference);
  return NULL;
}

/* The directory of the image itself, not of a link to it: who made a link to a stranger's image did not put his own
 * directory at its disposal. NULL if it cannot be found. */
static char *real_directory(const char *image)
{
  char *real = image ? realpath(image, NULL) : NULL;
  if (!real)
    return NULL;
  char *directory = g_path_get_dirname(real);
  free(real);
  return directory;
}

/* Below "/" is everything, so an image there may name only what is in that directory itself. */
static bool is_in_tree_of(const char *resolved, const char *directory)
{
  if (strcmp(directory, "/") == 0)
    return strrchr(resolved, '/') == resolved;
  return path_is_within(resolved, directory);
}

static bool check_allowed_kind(const Query *query, const struct stat *st, GError **error)
{
  if (S_ISREG(st->st_mode) || S_ISBLK(st->st_mode))
    return true;
  fail(query, error, EINVAL, "which is neither a regular file nor a block device");
  return false;
}

static bool check_place(const Query *query, const char *resolved, GError **error)
{
  struct stat st;
  if (stat(resolved, &st) < 0) {
    int err = errno;
    fail(query, error, err, "which cannot be examined: %s", g_strerror(err));
    return false;
  }
  if (policy_allows_path(query->policy, resolved))
    return check_allowed_kind(query, &st, error);
  g_autofree char *directory = real_directory(query->image);
  bool within = directory && is_in_tree_of(resolved, directory);
  if (within && S_ISREG(st.st_mode))
    return true;
  if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
    fail(query, error, EPERM, "which is not a regular file");
    return false;
  }
  g_autofree char *shown = bg_escape(resolved);
  fail(query, error, EPERM, "%s; allow it with: --allow-reference '%s'",
       within ? "which is not a regular file" : "outside the image's directory", shown);
  return false;
}

/* The name that the reference means, links not yet followed; NULL and error where it means none. */
static char *combine(const Query *query, const char *name, GError **error)
{
  if (!*name) {
    bg_set_error(error, EINVAL, "Image '%s' refers to a file with an empty name", query->shown_image);
    return NULL;
  }
  if (g_path_is_absolute(name))
    return g_strdup(name);
  if (!query->image) {
    fail(query, error, EINVAL, "a relative name, but the image is not a file in a directory");
    return NULL;
  }
  g_autofree char *directory = g_path_get_dirname(query->image);
  return g_build_filename(directory, name, NULL);
}

char *bg_reference_resolve(const BgPolicy *policy, const char *image_filename, const char *reference, GError **error)
{
  g_auto(Query) query = {.policy = policy,
                         .image = image_filename,
                         .reference = reference,
                         .shown_image = bg_escape(image_filename ? image_filename : "(no file)"),
                         .shown_reference = bg_escape(reference)};
  const char *name = g_str_has_prefix(reference, "file:") ? reference + strlen("file:") : reference;
  if (name == reference && bg_reference_has_protocol(reference))
    return resolve_uri(&query, error);
  g_autofree char *combined = combine(&query, name, error);
  if (!combined)
    return NULL;
  g_autofree char *resolved = g_malloc(PATH_MAX);
  if (!realpath(combined, resolved)) {
    int err = errno;
    fail(&query, error, err, "which cannot be found: %s", g_strerror(err));
    return NULL;
  }
  return check_place(&query, resolved, error) ? g_steal_pointer(&resolved) : NULL;
}

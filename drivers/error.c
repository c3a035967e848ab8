#include "drivers/error.h"

#include <errno.h>
#include <string.h>

GQuark bg_error_quark(void)
{
  return g_quark_from_static_string("bg-error-quark");
}

static void set_error(GError **error, int err, const char *suffix, const char *format, va_list args)
{
  if (!error)
    return;
  g_autofree char *message = g_strdup_vprintf(format, args);
  g_set_error(error, BG_ERROR, err, "%s%s%s", message, suffix ? ": " : "", suffix ? suffix : "");
}

void bg_set_error(GError **error, int err, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  set_error(error, err, NULL, format, args);
  va_end(args);
}

void bg_set_error_errno(GError **error, int err, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  set_error(error, err, g_strerror(err), format, args);
  va_end(args);
}

static int file_error_errno(int code)
{
  static const struct {
    GFileError code;
    int err;
  } map[] = {
      {G_FILE_ERROR_EXIST, EEXIST}, {G_FILE_ERROR_ISDIR, EISDIR},   {G_FILE_ERROR_ACCES, EACCES},
      {G_FILE_ERROR_NOENT, ENOENT}, {G_FILE_ERROR_NOTDIR, ENOTDIR}, {G_FILE_ERROR_ROFS, EROFS},
      {G_FILE_ERROR_NOSPC, ENOSPC}, {G_FILE_ERROR_NOMEM, ENOMEM},   {G_FILE_ERROR_PERM, EPERM},
      {G_FILE_ERROR_INVAL, EINVAL}, {G_FILE_ERROR_LOOP, ELOOP},     {G_FILE_ERROR_NAMETOOLONG, ENAMETOOLONG},
  };
  for (size_t i = 0; i < G_N_ELEMENTS(map); i++)
    if ((int)map[i].code == code)
      return map[i].err;
  return EIO;
}

int bg_error_errno(const GError *error)
{
  if (!error)
    return EIO;
  if (error->domain == BG_ERROR)
    return error->code;
  if (error->domain == G_FILE_ERROR)
    return file_error_errno(error->code);
  if (error->domain == G_OPTION_ERROR)
    return EINVAL;
  return EIO;
}

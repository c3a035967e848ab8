#include "fs/qmp/error.h"

#include <stdarg.h>

G_DEFINE_QUARK(bgfs - qmp - error - quark, bgfs_qmp_error)

void bgfs_qmp_set_error(GError **error, BgfsQmpErrorClass class, const char *format, ...)
{
  va_list arguments;
  if (!error)
    return;
  va_start(arguments, format);
  *error = g_error_new_valist(BGFS_QMP_ERROR, class, format, arguments);
  va_end(arguments);
}

const char *bgfs_qmp_error_class(const GError *error)
{
  static const char *const names[] = {[BGFS_QMP_GENERIC_ERROR] = "GenericError",
                                      [BGFS_QMP_COMMAND_NOT_FOUND] = "CommandNotFound",
                                      [BGFS_QMP_DEVICE_NOT_ACTIVE] = "DeviceNotActive",
                                      [BGFS_QMP_DEVICE_NOT_FOUND] = "DeviceNotFound"};
  return names[error->domain == BGFS_QMP_ERROR ? error->code : BGFS_QMP_GENERIC_ERROR];
}

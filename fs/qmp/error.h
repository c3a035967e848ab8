/* Errors as QMP tells them: a class, which programs look at, and a description for people. */
#ifndef BGFS_QMP_ERROR_H
#define BGFS_QMP_ERROR_H

#include <glib.h>

#define BGFS_QMP_ERROR (bgfs_qmp_error_quark())
GQuark bgfs_qmp_error_quark(void);

/* The codes of BGFS_QMP_ERROR. */
typedef enum {
  BGFS_QMP_GENERIC_ERROR, /* what errors of every other domain are, too */
  BGFS_QMP_COMMAND_NOT_FOUND,
  BGFS_QMP_DEVICE_NOT_ACTIVE, /* there is no such job */
  BGFS_QMP_DEVICE_NOT_FOUND
} BgfsQmpErrorClass;

/* Sets *error (may be NULL). */
void bgfs_qmp_set_error(GError **error, BgfsQmpErrorClass class, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* "GenericError" and so on. */
const char *bgfs_qmp_error_class(const GError *error);

#endif

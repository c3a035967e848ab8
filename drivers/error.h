/* Errors of the control path: GErrors whose code is an errno. */
#ifndef BG_ERROR_H
#define BG_ERROR_H

#include <glib.h>

#define BG_ERROR (bg_error_quark())
GQuark bg_error_quark(void);

/* Sets *error (error may be NULL) to a BG_ERROR with code `err`, a positive errno. The message is one
 * line, without the errno's own text unless the format holds it. */
void bg_set_error(GError **error, int err, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* The same with ": " and strerror(err) appended. */
void bg_set_error_errno(GError **error, int err, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* The positive errno of an error: its code for BG_ERROR, the nearest errno for G_FILE_ERROR and
 * G_OPTION_ERROR, EIO for any other domain and for NULL. */
int bg_error_errno(const GError *error);

#endif

/* Text from outside (file names, names in images) made fit for one line of a message or report. */
#ifndef BG_ESCAPE_H
#define BG_ESCAPE_H

/* A copy in which every character that is not printable (control characters, invisible format characters, bytes that are not
 * UTF-8) and the backslash are backslash escapes: \n, \t, \\, else \xHH for each byte. Caller frees. */
char *bg_escape(const char *text);

#endif

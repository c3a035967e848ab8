/* Has qemu-img work on an image in memory. */
#ifndef CRASH_QEMU_IMG_H
#define CRASH_QEMU_IMG_H

#include "tests/crash/format.h"

typedef struct QemuImg {
  char *folder, *image, *data, *output; /* names; `data` NULL: none; `output` is for a command that writes a file */
  char *node;                           /* how qemu-img opens the image */
} QemuImg;

/* The files on disk, until qemu_img_clear(). ENOPKG: qemu-img is not installed. */
bool qemu_img_begin(QemuImg *qemu, const CrashFiles *files, GError **error);
void qemu_img_clear(QemuImg *qemu);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(QemuImg, qemu_img_clear)

/* Runs `qemu-img VERB --object …SECRET… ARGUMENTS…` (until NULL). Its exit status; -1 and error where it did not end by itself. What it
 * printed goes to *printed (the caller's; may be NULL), what it complained of to *said (the caller's). */
int qemu_img_run(const char *verb, const char *const *arguments, char **printed, char **said, GError **error);

/* Takes over into `files` what the files on disk hold now. */
bool qemu_img_take_back(const QemuImg *qemu, CrashFiles *files, GError **error);

#endif

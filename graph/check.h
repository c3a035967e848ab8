/* Checking and mending images. */
#ifndef BG_CHECK_H
#define BG_CHECK_H

#include "graph/graph.h"

/* Checks the image in the file `filename`, alone, without what it stands on. `format`: NULL: by content; *driver (may be NULL) is set
 * to the driver as soon as that is known. While it runs nobody else may write the image, and with `fix` nobody else may have it open
 * for writing (EBUSY, naming the holder). ENOTSUP: the format has no check. See BgDriver.check. */
bool bg_check_image(const char *filename, const char *format, BgFix fix, BgCheckWatcher *watcher, BgCheckResult *result,
                    const BgDriver **driver, GError **error);

#endif

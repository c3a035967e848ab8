#include "drivers/qcow2/check-pass.h"

#include <errno.h>

/* So many findings of a pass are told, the rest is counted: a hostile image has billions. */
enum { FINDINGS_TOLD = 1000 };

void qcow2_check_tell(Qcow2Check *check, const char *format, ...)
{
  va_list args;
  va_start(args, format);
  g_autofree char *text = g_strdup_vprintf(format, args);
  va_end(args);
  check->watcher->finding(check->watcher, text);
}

void qcow2_check_found(Qcow2Check *check, Qcow2Finding finding, uint64_t times, const char *format, ...)
{
  check->found[finding] += times;
  bool structure = finding == QCOW2_STRUCTURE && !check->damage;
  if (check->told >= FINDINGS_TOLD && !structure)
    return;
  va_list args;
  va_start(args, format);
  g_autofree char *text = g_strdup_vprintf(format, args);
  va_end(args);
  if (structure)
    check->damage = g_strdup(text);
  qcow2_check_tell(check, "%s%s", check->again ? "Left: " : "", text);
  if (++check->told == FINDINGS_TOLD)
    qcow2_check_tell(check, "There is more, which is only counted.");
}

int qcow2_check_progress(Qcow2Check *check, uint64_t more)
{
  check->worked = MIN(check->worked + more, check->work);
  return check->watcher->progress(check->watcher, check->worked, check->work) ? 0 : -ECANCELED;
}

#include "fs/mode.h"

#include <sys/stat.h>

mode_t bgfs_mode(mode_t host, bool writable)
{
  mode_t mode = host & (S_IRUSR | S_IRGRP | S_IROTH);
  if (writable)
    mode |= S_IWUSR | (host & (S_IWGRP | S_IWOTH));
  return mode;
}

BgfsPin bgfs_mode_pin(mode_t mode)
{
  if (!(mode & (S_IWUSR | S_IWGRP | S_IWOTH)))
    return BGFS_PIN_SET;
  return mode & S_IWUSR ? BGFS_PIN_CLEAR : BGFS_PIN_KEEP;
}

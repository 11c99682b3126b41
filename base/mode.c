#include "base/mode.h"

bool
mode_key_is_open(const struct stat *st)
{
    return (st->st_mode & (st->st_uid == 0 ? 0027 : 0077)) != 0;
}

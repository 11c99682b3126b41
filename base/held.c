#include "base/held.h"

_Thread_local struct held held_here = {.bytes_max = INT64_MAX};

#include "base/version.h"

const char turnpike_version[] = TURNPIKE_VERSION;

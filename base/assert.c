#include "base/base.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/str.h"

/* The log has no buffers and allocates nothing: the process may be in any state when it gets here. */
void
assert_failed(const char *expr, const char *file, int line)
{
    log_error("assert.failed", "what=%s at=%s:%d", log_quote(str_from(expr)), file, line);
    abort();
}

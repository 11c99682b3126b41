#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* No stdio buffers and no allocation: the process may be in any state when it gets here. */
void
assert_failed(const char *expr, const char *file, int line)
{
    char text[512];
    int len = snprintf(text, sizeof(text), "assertion failed: %s (%s:%d)\n", expr, file, line);

    if (len > 0) {
        size_t text_len = MIN((size_t)len, sizeof(text) - 1);
        ssize_t written;

        text[text_len - 1] = '\n';
        written = write(STDERR_FILENO, text, text_len);
        (void)written; /* nobody left to tell */
    }
    abort();
}

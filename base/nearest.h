/* Which of several names somebody may have meant by one that is none of them: for "did you mean". */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include "base/base.h"

/* Feed it the names one by one; it starts zeroed. best is STR_NONE while none was near enough. */
struct nearest {
    struct str best;
    unsigned distance;
};
void nearest_try(struct nearest *nearest, struct str s, struct str candidate);
/* `; did you mean "x"?` or "": the text is in one of four static buffers. */
const char *nearest_hint(const struct nearest *nearest);

#endif

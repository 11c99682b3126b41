/* What the check of JSON text and that of the strings in it share. For js_check.c and js_string.c only. */
#ifndef BASE_JS_CHECKER_H
#define BASE_JS_CHECKER_H

#include "base/js.h"

struct checker {
    const char *end;
    struct js_index *index; /* NULL: none is wanted */
    size_t slots[JS_DEPTH_MAX]; /* of the containers we are in; NO_SLOT */
    struct js_error err; /* what is set on the first fault */
    const char *err_at;
    bool escaped; /* the string read last has a backslash */
    bool lenient; /* lone surrogates are let pass */
};

/* The functions below give the place behind what they read, or NULL at a fault. */

static inline const char *
fault(struct checker *c, const char *what, const char *at)
{
    c->err.what = what;
    c->err_at = at;
    return NULL;
}

/* At a fault of what stands at `at`: the same, or the text's end when there is nothing. */
static inline const char *
fault_or_end(struct checker *c, const char *what, const char *at)
{
    return fault(c, at >= c->end ? "unexpected end" : what, at);
}

/* Inside a string that is long, or has more in it than plain ASCII: behind its closing quote. */
const char *js_check_string_rest(struct checker *c, const char *p);

#endif

/*
 * The cheap look at a chunk that passes: which of the few members that matter might it have.
 * A search over bytes, not a parse: a mark may be set for a name nested deep in the chunk, and
 * whoever finds one looks closer. A member of the top level written in the usual way (no
 * escapes in its name) is never missed. Private to this room.
 */
#ifndef PROTO_MARKS_H
#define PROTO_MARKS_H

#include "base/base.h"
#include "base/js.h"

enum {
    MARK_USAGE = 1u << 0,      /* "usage" with a value other than null */
    MARK_ERROR = 1u << 1,      /* "error" with a value other than null */
    MARK_FINISH = 1u << 2,     /* "finish_reason" with a value other than null */
    MARK_NO_CHOICES = 1u << 3, /* "choices" with an empty list */
};

unsigned marks_find(struct str json);

/*
 * A name or id as an upstream reported it, fit for a header and a record: printable ASCII
 * without escapes, 1 to len_max bytes. Anything else gives STR_NONE.
 */
struct str marks_reported(struct js_value value, size_t len_max);

/* The usage object of a chat or completions answer, given its members of these names: the one at
 * the top, or that inside the first choice, where some servers put it. */
struct js_value marks_openai_usage(struct js_value usage, struct js_value choices);

#endif

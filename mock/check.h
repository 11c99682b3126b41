/* What the checks of requests share. They are for what a translator gets wrong. */
#ifndef MOCK_CHECK_H
#define MOCK_CHECK_H

#include "mock/sim.h"

#define OPEN_CALLS_MAX 1024

/* Calls of tools that wait for their results, by their ids as they came. */
struct open_calls {
    uint32_t count;
    bool full; /* more than are kept: no more is said about them */
    struct str ids[OPEN_CALLS_MAX];
    bool answered[OPEN_CALLS_MAX];
};

static inline void
open_calls_clear(struct open_calls *calls)
{
    calls->count = 0;
    calls->full = false;
}
void open_calls_add(struct open_calls *calls, struct str id);
/* False: no such call was made. */
bool MUST_CHECK open_calls_answer(struct open_calls *calls, struct str id);
/* The first that has no result yet; STR_NONE: none. */
struct str open_calls_missing(const struct open_calls *calls);

/* [A-Za-z0-9_-], from 1 to max of them. */
bool name_good(struct js_value name, size_t max);
/* A member of another protocol's; fmt has one %.*s for its name. */
bool MUST_CHECK foreign_check(struct js_value body, const char *const *names, const char *fmt,
                              struct refusal *no);
/* The number's value above max, or below 0? A number that is no plain one is not. */
bool number_above(struct js_value number, double max);

bool MUST_CHECK chat_check(struct js_value body, struct refusal *no);
bool MUST_CHECK messages_check(enum endpoint ep, struct js_value body, struct refusal *no);
bool MUST_CHECK responses_check(struct js_value body, struct refusal *no);

#endif

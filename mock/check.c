/* What the real services refuse beyond what is needed for an answer; `lenient` leaves it out. */
#include "mock/check.h"

#include "base/str.h"

#include <stdlib.h>
#include <string.h>

void
open_calls_add(struct open_calls *calls, struct str id)
{
    if (calls->count == OPEN_CALLS_MAX) {
        calls->full = true;
        return;
    }
    calls->answered[calls->count] = false;
    calls->ids[calls->count++] = id;
}

bool
open_calls_answer(struct open_calls *calls, struct str id)
{
    for (uint32_t i = 0; i < calls->count; i++)
        if (!calls->answered[i] && str_eq(calls->ids[i], id)) {
            calls->answered[i] = true;
            return true;
        }
    return calls->full;
}

struct str
open_calls_missing(const struct open_calls *calls)
{
    for (uint32_t i = 0; i < calls->count; i++)
        if (!calls->answered[i])
            return calls->ids[i];
    return STR_NONE;
}

bool
name_good(struct js_value name, size_t max)
{
    if (!js_is(name, JS_STRING) || name.raw.len == 0 || name.raw.len > max)
        return false;
    for (size_t i = 0; i < name.raw.len; i++) {
        char c = name.raw.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-'))
            return false;
    }
    return true;
}

bool
foreign_check(struct js_value body, const char *const *names, const char *fmt,
              struct refusal *no)
{
    struct js_value key, value;
    struct js_iter it;

    for (js_iter_init(&it, body); js_next(&it, &key, &value);)
        for (size_t i = 0; names[i] != NULL; i++)
            if (js_str_eq(key, str_from(names[i]))) {
                int len = (int)MIN(key.raw.len, (size_t)60);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
                return refuse(no, 400, names[i], fmt, len, key.raw.ptr);
#pragma GCC diagnostic pop
            }
    return true;
}

bool
number_above(struct js_value number, double max)
{
    char text[32];

    if (!js_is(number, JS_NUMBER))
        return false;
    str_copy(number.raw, text, sizeof(text));
    double n = strtod(text, NULL);
    return n > max || n < 0;
}

bool
strict_check(const struct ask *ask, enum endpoint ep, struct js_value body, struct refusal *no)
{
    if (fault_on(&ask->faults, F_LENIENT))
        return true;
    switch (ep) {
    case EP_CHAT: return chat_check(body, no);
    case EP_MESSAGES:
    case EP_COUNT_TOKENS: return messages_check(ep, body, no);
    case EP_RESPONSES: return responses_check(body, no);
    default: return true;
    }
}

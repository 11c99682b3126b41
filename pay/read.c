#include "pay/read.h"

#include "base/str.h"
#include "base/ucr.h"

struct str
pay_text(struct js_value object, const char *name, struct arena *arena)
{
    struct js_value value = js_get(object, str_from(name));
    char *room = NULL;
    struct str text;

    if (!js_is(value, JS_STRING))
        return STR("");
    if (value.escaped) {
        room = arena_alloc(arena, value.raw.len + 1);
        if (room == NULL)
            return STR("");
    }
    text = js_unescape(value, room, room != NULL ? value.raw.len + 1 : 0);
    return text.ptr != NULL ? text : STR("");
}

struct str
pay_upper(struct str text, struct arena *arena)
{
    char *copy = arena_alloc(arena, text.len + 1);

    if (copy == NULL)
        return STR("");
    for (size_t i = 0; i < text.len; i++)
        copy[i] = text.ptr[i] >= 'a' && text.ptr[i] <= 'z' ? (char)(text.ptr[i] - 'a' + 'A') : text.ptr[i];
    return (struct str){copy, text.len};
}

bool
pay_is_fresh(struct str seconds, int64_t now_s)
{
    uint64_t at_s;

    if (!str_to_u64(seconds, &at_s) || at_s > (uint64_t)INT64_MAX)
        return false;
    return at_s >= (uint64_t)now_s ? at_s - (uint64_t)now_s <= PAY_FRESH_S
                                   : (uint64_t)now_s - at_s <= PAY_FRESH_S;
}

bool
pay_cents(struct str text, int64_t *out)
{
    return decimal_parse(text, 2, out);
}

/* Several members of an object in one walk. Private to this room. */
#ifndef PROTO_PICK_H
#define PROTO_PICK_H

#include <string.h>

#include "base/base.h"
#include "base/js.h"

/* Where the member called key goes, the first one of its name. */
static inline void
pick_one(struct js_value key, struct js_value value, const struct str *names, size_t count,
         struct js_value *values)
{
    for (size_t i = 0; i < count; i++) {
        bool same = key.escaped ? js_str_eq(key, names[i])
                                : key.raw.len == names[i].len &&
                                      memcmp(key.raw.ptr, names[i].ptr, names[i].len) == 0;

        if (same && values[i].type == JS_NONE) {
            values[i] = value;
            return;
        }
    }
}

/* values[i] becomes the member called names[i], the first one of that name; JS_NONE when absent or
 * when object is none. As js_get() for each, at the price of one. */
static inline void
pick_members(struct js_value object, const struct str *names, size_t count, struct js_value *values)
{
    struct js_value key, value;
    struct js_iter it;

    for (size_t i = 0; i < count; i++)
        values[i] = (struct js_value){.type = JS_NONE};
    if (object.type != JS_OBJECT)
        return;
    for (js_iter_init(&it, object); js_next(&it, &key, &value);)
        pick_one(key, value, names, count, values);
}

/* The same of members that a check noted on its way. */
static inline void
pick_noted(struct js_members *members, const struct str *names, size_t count, struct js_value *values)
{
    struct js_value key, value;

    for (size_t i = 0; i < count; i++)
        values[i] = (struct js_value){.type = JS_NONE};
    for (size_t i = 0; i < members->count; i++)
        pick_one(members->list[i].key, members->list[i].value, names, count, values);
    while (js_next(&members->rest, &key, &value))
        pick_one(key, value, names, count, values);
}

/* The object that a checked body is, white space around it or not. */
static inline struct js_value
pick_document(struct str body)
{
    size_t start = 0, end = body.len;

    while (start < end && body.ptr[start] != '{')
        start++;
    while (end > start && body.ptr[end - 1] != '}')
        end--;
    return (struct js_value){.type = JS_OBJECT, .raw = {body.ptr + start, end - start}};
}

#define PICK_NAME(literal)                                                                         \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

#endif

#include "manage/route.h"

#include <string.h>

#include "base/str.h"

#define SEGMENTS_MAX 12u

static const struct {
    const char *name;
    unsigned bit;
} methods[] = {{"GET", ROUTE_GET}, {"HEAD", ROUTE_GET}, {"POST", ROUTE_POST},
               {"PUT", ROUTE_PUT}, {"PATCH", ROUTE_PATCH}, {"DELETE", ROUTE_DELETE}};

static unsigned
method_bit(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(methods); i++)
        if (str_eq(name, str_from(methods[i].name)))
            return methods[i].bit;
    return 0;
}

/* Without the first '/'. False: more than any pattern has. */
static bool
split(struct str path, struct str *segments, unsigned *count)
{
    struct str rest = path;

    *count = 0;
    if (path.len == 0 || path.ptr[0] != '/')
        return false;
    rest = (struct str){path.ptr + 1, path.len - 1};
    while (rest.ptr != NULL) {
        if (*count == SEGMENTS_MAX)
            return false;
        segments[(*count)++] = str_split(rest, '/', &rest);
    }
    return true;
}

static bool
is_placeholder(struct str segment)
{
    return segment.len > 2 && segment.ptr[0] == '{';
}

/* Bit i of *words: segment i was matched by a word, the first one highest. */
static bool
matches(struct str pattern, const struct str *segments, unsigned count, unsigned *words)
{
    struct str parts[SEGMENTS_MAX];
    unsigned part_count;

    *words = 0;
    if (!split(pattern, parts, &part_count) || part_count != count)
        return false;
    for (unsigned i = 0; i < count; i++) {
        if (is_placeholder(parts[i])) {
            if (segments[i].len == 0)
                return false;
        } else if (!str_eq(parts[i], segments[i])) {
            return false;
        } else {
            *words |= 1u << (SEGMENTS_MAX - i);
        }
    }
    return true;
}

/* False: no name looks like this. */
static bool
decode(struct arena *arena, const struct op *op, const struct str *segments, struct route *route)
{
    struct str parts[SEGMENTS_MAX];
    unsigned count, used = 0;

    (void)split(str_from(op->path), parts, &count);
    for (unsigned i = 0; i < count; i++) {
        struct str text;

        if (!is_placeholder(parts[i]))
            continue;
        ASSERT(used < PATH_PARAMS_MAX);
        text = percent_decode(arena, segments[i], false);
        if (text.len == 0 || str_find(text, '/', 0) < text.len || str_eq(text, STR(".")) || str_eq(text, STR("..")))
            return false;
        for (size_t b = 0; b < text.len; b++)
            if ((uint8_t)text.ptr[b] < ' ' || text.ptr[b] == 0x7f)
                return false;
        route->params[used++] = text;
    }
    return true;
}

void
route_find(struct arena *arena, const struct op *const *tables, struct str method, struct str path,
           struct route *route)
{
    struct str segments[SEGMENTS_MAX];
    unsigned count, wanted = method_bit(method), best = 0;

    *route = (struct route){.op = NULL};
    if (!split(path, segments, &count))
        return;
    for (; *tables != NULL; tables++) {
        for (const struct op *op = *tables; op->id != NULL; op++) {
            unsigned words, bit = method_bit(str_from(op->method));

            if (!matches(str_from(op->path), segments, count, &words) || words < best)
                continue;
            /* A path of words hides those with placeholders that it would match, too, for all methods. */
            if (words > best)
                *route = (struct route){.op = NULL};
            best = words;
            route->methods |= bit;
            if (bit == wanted)
                route->op = op;
        }
    }
    if (route->op != NULL && !decode(arena, route->op, segments, route))
        *route = (struct route){.op = NULL};
}

void
route_allow(unsigned bits, char out[ROUTE_ALLOW_MAX])
{
    size_t len = 0;

    for (size_t i = 0; i < COUNT_OF(methods); i++)
        if (bits & methods[i].bit) {
            len += str_copy(str_from(methods[i].name), out + len, ROUTE_ALLOW_MAX - len);
            len += str_copy(STR(", "), out + len, ROUTE_ALLOW_MAX - len);
        }
    (void)str_copy(STR("OPTIONS"), out + len, ROUTE_ALLOW_MAX - len);
}

#include "base/nearest.h"

#include <stdio.h>

#include "base/str.h"

void
nearest_try(struct nearest *nearest, struct str s, struct str candidate)
{
    /* A third of the letters may be wrong, and two letters that changed places are two. */
    unsigned most = (unsigned)MIN((s.len + 2) / 3, (size_t)3);
    unsigned distance = str_distance(s, candidate, most);

    if (distance > most || distance >= s.len ||
        (nearest->best.ptr != NULL && distance >= nearest->distance))
        return;
    nearest->best = candidate;
    nearest->distance = distance;
}

const char *
nearest_hint(const struct nearest *nearest)
{
    static char texts[4][192];
    static unsigned turn;
    char *text;

    if (nearest->best.ptr == NULL)
        return "";
    text = texts[turn++ % COUNT_OF(texts)];
    snprintf(text, sizeof(texts[0]), "; did you mean \"%.*s\"?", STR_ARGS(nearest->best));
    return text;
}

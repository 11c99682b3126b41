#include "cli/quantity.h"

#include <stdio.h>

/* n / 1000 with as many decimals as three figures leave. */
static int
three_figures(uint64_t milli, const char *unit, char *out, size_t cap)
{
    unsigned long long whole = milli / 1000, rest = milli % 1000;

    if (whole >= 100 || rest == 0)
        return snprintf(out, cap, "%llu%s", whole, unit);
    if (whole >= 10)
        return snprintf(out, cap, "%llu.%llu%s", whole, rest / 100, unit);
    return snprintf(out, cap, "%llu.%02llu%s", whole, rest / 10, unit);
}

void
quantity_milli(uint64_t milli, char *out, size_t cap)
{
    static const char *const units[] = {"", "k", "M", "G", "T"};
    size_t unit = 0;

    /* From a thousand on in the next unit; the last one takes all the rest. */
    while (milli >= 1000000 && unit + 1 < COUNT_OF(units)) {
        milli /= 1000;
        unit++;
    }
    (void)three_figures(milli, units[unit], out, cap);
}

void
quantity_us(uint64_t us, char *out, size_t cap)
{
    if (us < 1000)
        (void)snprintf(out, cap, "%lluus", (unsigned long long)us);
    else if (us < 1000000)
        (void)three_figures(us, "ms", out, cap);
    else if (us < 60000000)
        (void)three_figures(us / 1000, "s", out, cap);
    else
        quantity_span(us / 1000000, out, cap);
}

void
quantity_span(uint64_t seconds, char *out, size_t cap)
{
    static const struct {
        uint64_t s, small_s;
        const char *unit, *small;
    } units[] = {{86400, 3600, "d", "h"}, {3600, 60, "h", "m"}, {60, 1, "m", "s"}};

    for (size_t i = 0; i < COUNT_OF(units); i++) {
        unsigned long long whole = seconds / units[i].s;
        unsigned long long rest = seconds % units[i].s / units[i].small_s;

        if (whole == 0)
            continue;
        if (rest == 0)
            (void)snprintf(out, cap, "%llu%s", whole, units[i].unit);
        else
            (void)snprintf(out, cap, "%llu%s%llu%s", whole, units[i].unit, rest, units[i].small);
        return;
    }
    (void)snprintf(out, cap, "%llus", (unsigned long long)seconds);
}

/* The time zones that a file names: each is read once, however many sections name it. */
#include <string.h>

#include "base/str.h"
#include "conf/build.h"

static const struct zone *
zone_known(const struct load *load, struct str name)
{
    for (const struct load_zone *known = load->zones; known != NULL; known = known->next)
        if (str_eq(known->name, name))
            return &known->zone;
    return NULL;
}

static void
zone_keep(struct load *load, struct str name, const struct zone *zone)
{
    struct load_zone *known = load_alloc(load, sizeof(*known));

    if (known == NULL)
        return;
    *known = (struct load_zone){.next = load->zones, .name = name, .zone = *zone};
    load->zones = known;
}

void
zone_of(struct load *load, const struct raw_section *section, struct str name, struct zone *out)
{
    static struct zone_change changes[ZONE_CHANGES_MAX];
    const struct zone *known = zone_known(load, name);
    struct zone_change *kept;
    int count;

    *out = known != NULL ? *known : zone_utc;
    if (known != NULL || load->from_text)
        return;
    count = zone_load(name, changes);
    if (count < 0) {
        load_fault(load, raw_place(section, "zone"),
                   "zone: no time zone \"%.*s\"; write a name such as Asia/Shanghai, from the tz "
                   "database (package tzdata)",
                   STR_ARGS(name));
        return;
    }
    kept = load_alloc(load, (size_t)count * sizeof(*kept));
    if (kept == NULL)
        return;
    memcpy(kept, changes, (size_t)count * sizeof(*kept));
    *out = (struct zone){kept, (size_t)count};
    zone_keep(load, name, out);
}

#include "ledger/zones.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* More are not kept: whoever asks for them has made them up. The world has some 600. */
#define ZONES_MAX 1024u

static struct zones_kept {
    char name[ZONE_NAME_LEN_MAX + 1];
    struct zone zone;
    struct zones_kept *next;
} *kept;
static unsigned kept_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* reading a file changes TZ for a moment */

static const struct zone *
read_zone(struct str name)
{
    struct zone_change changes[ZONE_CHANGES_MAX], *copy;
    struct zones_kept *zone;
    int count = kept_count < ZONES_MAX ? zone_load(name, changes) : -1;

    if (count <= 0)
        return NULL;
    copy = malloc((size_t)count * sizeof(*copy));
    zone = calloc(1, sizeof(*zone));
    if (copy == NULL || zone == NULL) {
        free(copy);
        free(zone);
        return NULL;
    }
    memcpy(copy, changes, (size_t)count * sizeof(*copy));
    str_copy(name, zone->name, sizeof(zone->name));
    zone->zone = (struct zone){copy, (size_t)count};
    zone->next = kept;
    kept = zone;
    kept_count++;
    return &zone->zone;
}

const struct zone *
zones_find(struct str name)
{
    const struct zone *found = NULL;

    if (name.len == 0 || str_eq(name, STR("UTC")))
        return &zone_utc;
    pthread_mutex_lock(&lock);
    for (const struct zones_kept *zone = kept; zone != NULL && found == NULL; zone = zone->next)
        if (str_eq(name, str_from(zone->name)))
            found = &zone->zone;
    if (found == NULL)
        found = read_zone(name);
    pthread_mutex_unlock(&lock);
    return found;
}

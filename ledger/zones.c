#include "ledger/zones.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"

/* More are not read. The world has some 600, and a machine a name or four for each. */
#define ZONES_MAX 4096u

static struct zones_kept {
    char name[ZONE_NAME_LEN_MAX + 1];
    struct zone zone;
    struct zones_kept *next;
} *kept;
static unsigned kept_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* reading a file changes TZ for a moment */

static int
read_zone(struct str name, const struct zone **out)
{
    struct zone_change changes[ZONE_CHANGES_MAX], *copy;
    struct zones_kept *zone;
    int count = kept_count < ZONES_MAX ? zone_load(name, changes) : -ENOMEM;

    if (count < 0)
        return count;
    copy = malloc((size_t)count * sizeof(*copy));
    zone = calloc(1, sizeof(*zone));
    if (copy == NULL || zone == NULL) {
        free(copy);
        free(zone);
        return -ENOMEM;
    }
    memcpy(copy, changes, (size_t)count * sizeof(*copy));
    str_copy(name, zone->name, sizeof(zone->name));
    zone->zone = (struct zone){copy, (size_t)count};
    zone->next = kept;
    kept = zone;
    kept_count++;
    *out = &zone->zone;
    return 0;
}

int
zones_find(struct str name, const struct zone **out)
{
    const struct zones_kept *zone;
    int rc = 0;

    *out = &zone_utc;
    if (name.len == 0 || str_eq(name, STR("UTC")))
        return 0;
    pthread_mutex_lock(&lock);
    for (zone = kept; zone != NULL && !str_eq(name, str_from(zone->name));)
        zone = zone->next;
    if (zone != NULL)
        *out = &zone->zone;
    else
        rc = read_zone(name, out);
    pthread_mutex_unlock(&lock);
    return rc;
}

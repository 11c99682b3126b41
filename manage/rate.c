#include "manage/rate.h"

#include "base/hash.h"
#include "base/rng.h"

#define WAYS 4u
_Static_assert((RATE_PLACES & (RATE_PLACES - 1)) == 0 && RATE_PLACES % WAYS == 0, "sets are found by a mask");

void
rate_init(struct rate *rate, uint64_t interval_us, uint64_t burst)
{
    ASSERT(burst > 0);
    rate->interval_us = interval_us;
    rate->burst = burst;
    rate->key = rng_u64();
}

static uint64_t
hash_of(const struct rate *rate, struct str name)
{
    uint64_t hash = (hash_u64(name.ptr, name.len) ^ rate->key) * UINT64_C(0x9e3779b97f4a7c15);

    hash ^= hash >> 29;
    return hash != 0 ? hash : 1;
}

/* The name's place, or the one of its set that is longest quiet. */
static struct rate_place *
place_of(struct rate *rate, uint64_t hash)
{
    struct rate_place *set = &rate->places[(hash & (RATE_PLACES - 1)) / WAYS * WAYS], *oldest = set;

    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].hash == hash)
            return &set[i];
        if (set[i].tat_us < oldest->tat_us)
            oldest = &set[i];
    }
    return oldest;
}

static bool
ask(struct rate *rate, struct str name, uint64_t now_us, bool take, uint64_t *wait_us)
{
    uint64_t hash = hash_of(rate, name);
    struct rate_place *place = place_of(rate, hash);
    uint64_t tat_us = place->hash == hash && place->tat_us > now_us ? place->tat_us : now_us;
    uint64_t room_us = (rate->burst - 1) * rate->interval_us;

    *wait_us = 0;
    if (tat_us - now_us > room_us) {
        *wait_us = tat_us - now_us - room_us;
        return false;
    }
    if (take)
        *place = (struct rate_place){hash, tat_us + rate->interval_us};
    return true;
}

bool
rate_take(struct rate *rate, struct str name, uint64_t now_us, uint64_t *wait_us)
{
    return ask(rate, name, now_us, true, wait_us);
}

bool
rate_look(struct rate *rate, struct str name, uint64_t now_us, uint64_t *wait_us)
{
    return ask(rate, name, now_us, false, wait_us);
}

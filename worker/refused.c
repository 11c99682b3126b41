#include "worker/refused.h"

#include <string.h>

/* The ledger process looks by itself while somebody watches. When nobody does it may sleep for long: by
 * then half a ring has come. */
#define RING_EACH (REFUSALS_MAX / 2)

static void
put(struct worker *w, const struct refusal *refusal)
{
    if (w->refusals == NULL)
        return;
    if ((refusal_put(w->refusals, refusal) + 1) % RING_EACH == 0 &&
        atomic_load_explicit(&w->region->header->ledger_sleeping, memory_order_relaxed) != 0)
        worker_wake_ledger(w);
}

void
refused_call(const struct call *call, unsigned status)
{
    struct worker *w = call->worker;
    bool known = call_has_key(call);
    struct refusal refusal = {
        .wall_us = call->start_wall_us,
        .tenant_id = known ? call->key->tenant_id : 0,
        .key_id = known ? call->key->key_id : 0,
        .took_us = (uint32_t)MIN(worker_mono_us(w) - call->start_us, (uint64_t)UINT32_MAX),
        .model = call->plan != NULL && call->plan->candidate_count > 0
                     ? w->model_name[call->plan->model_idx]
                     : 0,
        .status = (uint16_t)status,
        .endpoint = call->endpoint,
        .protocol = call->protocol,
    };

    memcpy(refusal.call_id, call->id, sizeof refusal.call_id);
    put(w, &refusal);
}

void
refused_request(struct worker *w, const struct refused *refused)
{
    const struct key_slot *key = refused->key;
    struct refusal refusal = {
        .wall_us = worker_wall_us(w),
        .status = (uint16_t)refused->status,
        .endpoint = (uint8_t)refused->endpoint,
        .protocol = (uint8_t)refused->protocol,
    };

    /* Of a key that was removed meanwhile the slot may be another's. */
    if (key != NULL && (atomic_load_explicit(&key->flags, memory_order_acquire) & KEY_OPEN) != 0) {
        refusal.tenant_id = key->tenant_id;
        refusal.key_id = key->key_id;
    }
    memcpy(refusal.call_id, refused->call_id, sizeof refusal.call_id);
    put(w, &refusal);
}

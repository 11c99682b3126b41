#include "ledger/quota.h"

#include "base/str.h"
#include "ledger/deal.h"
#include "shm/names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(QUOTA_CHANNELS_MAX == KEY_CHANNELS_MAX, "one list's length");

/* ---- from the store ---- */

int
quota_channels(struct ledger *ledger, const struct entity_allow *allow,
               _Atomic uint16_t out[KEY_CHANNELS_MAX])
{
    for (unsigned i = 0; i < KEY_CHANNELS_MAX; i++) {
        uint16_t name = 0;

        if (i < allow->channel_count) {
            name = name_intern(ledger->region, str_from(allow->channels[i]));
            if (name == 0)
                return -ENOSPC;
        }
        atomic_store_explicit(&out[i], name, memory_order_relaxed);
    }
    return 0;
}

static bool
has_deals(const struct quota_owner *owner)
{
    return owner->deals != NULL && owner->deals->count > 0;
}

static int
quota_extra(struct ledger *ledger, uint32_t idx, const struct quota_owner *owner)
{
    const struct entity_allow *allow = owner->allow;
    const struct quota *quota = quota_at(ledger->region, idx);
    const struct key_extra *now = key_extra_at(
        ledger->region, atomic_load_explicit(&quota->extra_idx, memory_order_relaxed));
    struct key_extra extra;

    if (allow->model_count == 0 && !has_deals(owner))
        return now == NULL ? 0 : key_extra_set_quota(ledger->region, idx, NULL);
    memset(&extra, 0, sizeof(extra));
    extra.model_count = (uint16_t)allow->model_count;
    memcpy(extra.models, allow->models, sizeof(extra.models));
    if (has_deals(owner)) {
        int rc = deals_publish(owner->deals, ledger->region, &extra);

        if (rc < 0)
            return rc;
    }
    if (now != NULL && memcmp(now, &extra, sizeof(extra)) == 0)
        return 0;
    return key_extra_set_quota(ledger->region, idx, &extra);
}

static int
quota_fill(struct ledger *ledger, uint32_t idx, const struct quota_owner *owner)
{
    struct quota *quota = quota_at(ledger->region, idx);
    int rc = quota_extra(ledger, idx, owner);

    if (rc == 0)
        rc = quota_channels(ledger, owner->allow, quota->channel);
    if (rc < 0)
        return rc;
    atomic_store_explicit(&quota->shadow, owner->limits->shadow, memory_order_relaxed);
    atomic_store_explicit(&quota->rpm, owner->limits->rpm, memory_order_relaxed);
    atomic_store_explicit(&quota->tpm, owner->limits->tpm, memory_order_relaxed);
    atomic_store_explicit(&quota->concurrency, owner->limits->concurrency, memory_order_relaxed);
    return 0;
}

static int
quota_new(struct ledger *ledger, const struct quota_owner *owner, uint32_t *idx)
{
    int rc = quota_add(ledger->region, owner->kind, owner->id, idx);

    if (rc == 0)
        rc = id_map_set(&ledger->quota_of[owner->kind], owner->id, *idx);
    return rc < 0 ? rc : quota_fill(ledger, *idx, owner);
}

int
quota_publish(struct ledger *ledger, const struct quota_owner *owner, uint32_t *idx)
{
    bool any = entity_limits_any(owner->limits, owner->allow) || has_deals(owner);
    int rc = 0;

    *idx = id_map_get(&ledger->quota_of[owner->kind], owner->id);
    if (*idx != 0)
        rc = quota_fill(ledger, *idx, owner);
    else if (any)
        rc = quota_new(ledger, owner, idx);
    if (!any)
        *idx = 0;
    return rc;
}

int
quota_find(struct ledger *ledger, const struct quota_owner *owner, uint32_t *idx)
{
    *idx = 0;
    if (!entity_limits_any(owner->limits, owner->allow))
        return 0;
    *idx = id_map_get(&ledger->quota_of[owner->kind], owner->id);
    return *idx != 0 ? 0 : quota_new(ledger, owner, idx);
}

static uint32_t
quota_count(const struct ledger *ledger)
{
    return atomic_load_explicit(&ledger->region->header->quota_count, memory_order_acquire);
}

int
quota_find_published(struct ledger *ledger)
{
    const uint32_t last[BUDGET_KIND_COUNT] = {
        [BUDGET_MEMBER] = ledger->tail.member_last,
        [BUDGET_PROJECT] = ledger->tail.project_last,
        [BUDGET_TENANT] = ledger->tail.tenant_last,
    };
    int rc = 0;

    for (uint32_t i = 1; rc == 0 && i <= quota_count(ledger); i++) {
        const struct quota *quota = quota_at(ledger->region, i);

        if (quota->kind < BUDGET_KIND_COUNT && quota->id != 0 && quota->id <= last[quota->kind])
            rc = id_map_set(&ledger->quota_of[quota->kind], quota->id, i);
    }
    return rc;
}

static int
publish_member_quota(struct ledger *ledger, struct db_txn *txn, uint32_t id, uint32_t *idx)
{
    struct entity_member member;
    int rc = entity_member_get(txn, id, &member);

    return rc < 0 ? rc
                  : quota_publish(ledger, &(struct quota_owner){BUDGET_MEMBER, id, &member.limits,
                                                                &member.allow, NULL}, idx);
}

static int
publish_project_quota(struct ledger *ledger, struct db_txn *txn, uint32_t id, uint32_t *idx)
{
    struct entity_project project;
    int rc = entity_project_get(txn, id, &project);

    return rc < 0 ? rc
                  : quota_publish(ledger, &(struct quota_owner){BUDGET_PROJECT, id, &project.limits,
                                                                &project.allow, NULL}, idx);
}

/* Tenants' are published with the tenants. */
int
quota_publish_found(struct ledger *ledger, struct db_txn *txn)
{
    int rc = 0;

    for (uint32_t i = 1; rc == 0 && i <= quota_count(ledger); i++) {
        const struct quota *quota = quota_at(ledger->region, i);
        uint32_t idx;

        if (quota->kind == BUDGET_MEMBER)
            rc = publish_member_quota(ledger, txn, quota->id, &idx);
        else if (quota->kind == BUDGET_PROJECT)
            rc = publish_project_quota(ledger, txn, quota->id, &idx);
        if (rc == -ENOENT) /* made for a transaction that never came */
            rc = 0;
    }
    return rc;
}

/* ---- calls in flight ---- */

/* The quota that a call is counted in, by its record; NULL when it is not. */
static struct quota *
counted_in(const struct ledger *ledger, const struct record *record, enum budget_kind kind)
{
    const uint32_t id[BUDGET_KIND_COUNT] = {
        [BUDGET_MEMBER] = record->member_id,
        [BUDGET_PROJECT] = record->project_id,
        [BUDGET_TENANT] = record->tenant_id,
    };

    if ((record->flags & record_inflight_of(kind)) == 0)
        return NULL;
    return quota_at(ledger->region, id_map_get(&ledger->quota_of[kind], id[kind]));
}

void
quota_swept(struct ledger *ledger, const struct record *record)
{
    struct key_slot *key = key_at(ledger->region, record->key_idx);

    if ((record->flags & RECORD_INFLIGHT) != 0 && key != NULL &&
        atomic_load_explicit(&key->generation, memory_order_relaxed) == record->key_generation)
        key_leave(key);
    for (int kind = BUDGET_MEMBER; kind < BUDGET_KIND_COUNT; kind++) {
        struct quota *quota = counted_in(ledger, record, (enum budget_kind)kind);

        if (quota != NULL)
            inflight_leave(&quota->inflight);
    }
}

/* The counts of a range of keys or of quotas, at two looks. */
struct sample {
    uint32_t from, count;
    int32_t *excess; /* how far each is above what the holds say */
};

typedef _Atomic int32_t *(*count_fn)(const struct ledger *ledger, uint32_t idx);

static _Atomic int32_t *
key_count_at(const struct ledger *ledger, uint32_t idx)
{
    return &key_at(ledger->region, idx)->inflight;
}

static _Atomic int32_t *
quota_count_at(const struct ledger *ledger, uint32_t idx)
{
    return &quota_at(ledger->region, idx)->inflight;
}

static void
less_one(const struct sample *sample, uint32_t idx)
{
    if (idx >= sample->from && idx - sample->from < sample->count)
        sample->excess[idx - sample->from]--;
}

static void
record_counts(const struct ledger *ledger, const struct record *record, const struct sample *keys,
              const struct sample *quotas)
{
    if ((record->flags & RECORD_INFLIGHT) != 0)
        less_one(keys, record->key_idx);
    for (int kind = BUDGET_MEMBER; quotas->count > 0 && kind < BUDGET_KIND_COUNT; kind++) {
        const struct quota *quota = counted_in(ledger, record, (enum budget_kind)kind);

        if (quota != NULL)
            less_one(quotas, (uint32_t)(quota - (const struct quota *)region_part(
                                                    ledger->region, REGION_QUOTAS)));
    }
}

static void
measure(struct ledger *ledger, const struct sample *keys, const struct sample *quotas)
{
    for (uint32_t i = 0; i < keys->count; i++)
        keys->excess[i] =
            atomic_load_explicit(key_count_at(ledger, keys->from + i), memory_order_relaxed);
    for (uint32_t i = 0; i < quotas->count; i++)
        quotas->excess[i] =
            atomic_load_explicit(quota_count_at(ledger, quotas->from + i), memory_order_relaxed);
    for (uint32_t t = 0; t < LEDGER_TABLES_MAX; t++) {
        const struct hold_view *view = &ledger->view[t];

        if (!ledger->view_open[t])
            continue;
        for (uint32_t s = 0, used = slots_used(view); s < used; s++)
            if (hold_word_state(atomic_load_explicit(&view->slots[s].state,
                                                     memory_order_acquire)) == HOLD_HELD)
                record_counts(ledger, &view->records[s], keys, quotas);
    }
}

/*
 * A counter that was off by the same at two looks ten seconds apart leaked that much: a call enters and
 * leaves within a turn of its worker, so that honest differences do not last.
 */
static void
correct(const struct ledger *ledger, const struct sample *now, const int32_t *before, count_fn at)
{
    for (uint32_t i = 0; i < now->count; i++) {
        int32_t was = before[i], is = now->excess[i], leaked = 0;

        if (was > 0 && is > 0)
            leaked = MIN(was, is);
        else if (was < 0 && is < 0)
            leaked = MAX(was, is);
        if (leaked != 0)
            atomic_fetch_sub_explicit(at(ledger, now->from + i), leaked, memory_order_relaxed);
    }
}

static int
sample_start(struct sample *sample, uint32_t from, uint32_t last, int32_t **before)
{
    sample->from = from <= last ? from : 1;
    sample->count = MIN(last + 1 - sample->from, LEDGER_KEYS_SAMPLED);
    if (sample->count == 0)
        return 0;
    if (*before == NULL)
        *before = calloc(LEDGER_KEYS_SAMPLED, sizeof(**before));
    sample->excess = calloc(LEDGER_KEYS_SAMPLED, sizeof(*sample->excess));
    return *before != NULL && sample->excess != NULL ? 0 : -ENOMEM;
}

/* The next ones follow when these were looked at twice. */
static void
sample_end(struct sample *sample, uint32_t *from, int32_t *before, bool second)
{
    if (sample->excess != NULL && before != NULL)
        memcpy(before, sample->excess, LEDGER_KEYS_SAMPLED * sizeof(*before));
    free(sample->excess);
    *from = second ? sample->from + sample->count : sample->from;
}

int
quota_sample(struct ledger *ledger)
{
    uint32_t key_count =
        atomic_load_explicit(&ledger->region->header->key_count, memory_order_acquire);
    struct sample keys = {0}, quotas = {0};
    bool second = ledger->key_second;
    int rc = sample_start(&keys, ledger->key_from, key_count, &ledger->key_excess);

    if (rc == 0)
        rc = sample_start(&quotas, ledger->quota_from, quota_count(ledger), &ledger->quota_excess);
    if (rc == 0 && keys.count > 0)
        measure(ledger, &keys, &quotas);
    if (rc == 0 && second) {
        correct(ledger, &keys, ledger->key_excess, key_count_at);
        correct(ledger, &quotas, ledger->quota_excess, quota_count_at);
    }
    sample_end(&keys, &ledger->key_from, ledger->key_excess, second);
    sample_end(&quotas, &ledger->quota_from, ledger->quota_excess, second);
    ledger->key_second = !second;
    return rc;
}

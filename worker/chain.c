#include "worker/chain.h"

#include <stdlib.h>

#include "shm/account.h"
#include "shm/rate.h"

_Static_assert((unsigned)KEY_SHADOW_RPM == (unsigned)QUOTA_SHADOW_RPM << KEY_SHADOW_SHIFT &&
                   (unsigned)KEY_SHADOW_CONCURRENCY ==
                       (unsigned)QUOTA_SHADOW_CONCURRENCY << KEY_SHADOW_SHIFT,
               "the same bits");

enum which { WHICH_RPM = 0, WHICH_TPM, WHICH_CONCURRENCY, WHICH_COUNT };

/* Each says what it allows. */
static const struct {
    const char *name, *text;
    enum error_kind kind;
    enum stat_counter shadowed;
} which_of[] = {
    [WHICH_RPM] = {"rpm", "turnpike: this %s may use %u requests a minute", ERROR_LIMIT_REQUESTS,
                   STAT_SHADOWED_REQUESTS},
    [WHICH_TPM] = {"tpm", "turnpike: this %s may use %u tokens a minute", ERROR_LIMIT_TOKENS,
                   STAT_SHADOWED_TOKENS},
    [WHICH_CONCURRENCY] = {"concurrency", "turnpike: this %s may have %u calls at a time",
                           ERROR_LIMIT_REQUESTS, STAT_SHADOWED_CONCURRENCY},
};
_Static_assert(COUNT_OF(which_of) == WHICH_COUNT, "a new limit needs its words");

/* A key's or a quota's, as of now. */
struct level {
    uint32_t at_most[WHICH_COUNT]; /* 0: no limit */
    uint32_t shadow;               /* enum quota_shadow: 1 << which */
    _Atomic uint64_t *rpm_tat, *tpm_tat;
    _Atomic int32_t *inflight;
};

static void
level_of_key(struct key_slot *key, struct level *out)
{
    out->at_most[WHICH_RPM] = atomic_load_explicit(&key->rpm, memory_order_relaxed);
    out->at_most[WHICH_TPM] = atomic_load_explicit(&key->tpm, memory_order_relaxed);
    out->at_most[WHICH_CONCURRENCY] =
        atomic_load_explicit(&key->concurrency, memory_order_relaxed);
    out->shadow = atomic_load_explicit(&key->flags, memory_order_relaxed) >> KEY_SHADOW_SHIFT;
    out->rpm_tat = &key->rpm_tat;
    out->tpm_tat = &key->tpm_tat;
    out->inflight = &key->inflight;
}

static void
level_of_quota(struct quota *quota, struct level *out)
{
    out->at_most[WHICH_RPM] = atomic_load_explicit(&quota->rpm, memory_order_relaxed);
    out->at_most[WHICH_TPM] = atomic_load_explicit(&quota->tpm, memory_order_relaxed);
    out->at_most[WHICH_CONCURRENCY] =
        atomic_load_explicit(&quota->concurrency, memory_order_relaxed);
    out->shadow = atomic_load_explicit(&quota->shadow, memory_order_relaxed);
    out->rpm_tat = &quota->rpm_tat;
    out->tpm_tat = &quota->tpm_tat;
    out->inflight = &quota->inflight;
}

/* False when there is none of that kind beside the key, or it is the key's and that is gone. */
static bool
level_of(const struct call *call, enum budget_kind kind, struct level *out)
{
    struct quota *quota;

    if (kind == BUDGET_KEY) {
        if (!call_has_key(call))
            return false;
        level_of_key(call->key, out);
        return true;
    }
    quota = call->chain != NULL ? call->chain->quota[kind] : NULL;
    if (quota != NULL)
        level_of_quota(quota, out);
    return quota != NULL;
}

static uint64_t *
tpm_taken(struct call *call, enum budget_kind kind)
{
    return kind == BUDGET_KEY ? &call->tpm_taken_ns : &call->chain->tpm_taken_ns[kind];
}

static uint64_t
now_ns(const struct call *call)
{
    return worker_mono_us(call->worker) * 1000;
}

/* ---- entering ---- */

/* What the call has taken on its way in, and what stopped it. */
struct entering {
    struct call *call;
    uint64_t rpm_taken_ns[BUDGET_KIND_COUNT];
    bool refused;
    enum budget_kind kind;
    enum which which;
    uint32_t at_most;
    uint64_t wait_ns;
};

void
chain_shadowed(struct call *call, enum stat_counter stat)
{
    call->shadowed = true;
    stat_add(call->worker->stats, stat, 1);
}

/* One limit of a level. False: it is full, *wait_ns says for how long, as far as that is known. */
static bool
take_one(struct entering *in, enum budget_kind kind, const struct level *level, enum which which,
         uint64_t *wait_ns)
{
    struct call *call = in->call;
    uint32_t at_most = level->at_most[which];

    switch (which) {
    case WHICH_RPM:
        return rate_admit_guess(level->rpm_tat, rate_per_minute(at_most), 1, now_ns(call), wait_ns,
                                &in->rpm_taken_ns[kind]);
    case WHICH_TPM:
        return rate_admit_guess(level->tpm_tat, rate_per_minute(at_most), call->input_estimate,
                                now_ns(call), wait_ns, tpm_taken(call, kind));
    case WHICH_CONCURRENCY:
        *wait_ns = 0;
        if (!inflight_enter(level->inflight, at_most))
            return false;
        call->inflight |= (uint8_t)(1u << kind);
        return true;
    case WHICH_COUNT:
        break;
    }
    return true;
}

/* One that is in shadow mode and full has not counted the call, and its tokens will not be, either. */
static bool
level_take(struct entering *in, enum budget_kind kind, const struct level *level)
{
    for (unsigned which = 0; which < WHICH_COUNT; which++) {
        uint64_t wait_ns;

        if (level->at_most[which] == 0 || take_one(in, kind, level, (enum which)which, &wait_ns))
            continue;
        if ((level->shadow >> which & 1) == 0) {
            in->refused = true;
            in->kind = kind;
            in->which = (enum which)which;
            in->at_most = level->at_most[which];
            in->wait_ns = wait_ns;
            return false;
        }
        if (which == WHICH_TPM)
            in->call->uncounted |= (uint8_t)(1u << kind);
        chain_shadowed(in->call, which_of[which].shadowed);
    }
    return true;
}

static void
level_leave(struct call *call, enum budget_kind kind, const struct level *level)
{
    if ((call->inflight >> kind & 1) == 0)
        return;
    inflight_leave(level->inflight);
    call->inflight &= (uint8_t)~(1u << kind);
}

/* In reverse: what was taken at the levels up to this one. */
static void
give_back(struct entering *in, enum budget_kind last)
{
    struct call *call = in->call;

    for (int kind = (int)last; kind >= 0; kind--) {
        struct level level;

        if (!level_of(call, (enum budget_kind)kind, &level))
            continue;
        level_leave(call, (enum budget_kind)kind, &level);
        rate_correct(level.tpm_tat, rate_per_minute(level.at_most[WHICH_TPM]),
                     *tpm_taken(call, (enum budget_kind)kind), 0, now_ns(call));
        *tpm_taken(call, (enum budget_kind)kind) = 0;
        rate_correct(level.rpm_tat, rate_per_minute(level.at_most[WHICH_RPM]),
                     in->rpm_taken_ns[kind], 0, now_ns(call));
    }
}

/* Of several that would refuse now, the one that is named is the one that does so for longest: who
 * comes again when it says so is not refused by another. */
static void
find_strictest(struct entering *in)
{
    const unsigned from = in->kind, after = in->which; /* what was before it has let the call in */

    for (unsigned kind = from; kind < BUDGET_KIND_COUNT; kind++) {
        struct level level;

        if (!level_of(in->call, (enum budget_kind)kind, &level))
            continue;
        for (unsigned which = kind == from ? after + 1 : 0; which < WHICH_CONCURRENCY; which++) {
            const _Atomic uint64_t *tat = which == WHICH_RPM ? level.rpm_tat : level.tpm_tat;
            uint64_t wait_ns = rate_wait_ns(tat, rate_per_minute(level.at_most[which]),
                                            now_ns(in->call));

            if ((level.shadow >> which & 1) != 0 || wait_ns <= in->wait_ns)
                continue;
            in->kind = (enum budget_kind)kind;
            in->which = (enum which)which;
            in->at_most = level.at_most[which];
            in->wait_ns = wait_ns;
        }
    }
}

static void
refuse(const struct entering *in, struct proto_error *error)
{
    const char *whose = budget_kind_name[in->kind];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    error_set(error, which_of[in->which].kind, NULL, NULL, which_of[in->which].text, whose,
              in->at_most);
#pragma GCC diagnostic pop
    error_set_limit(error, whose, which_of[in->which].name);
    error->retry_after_s = (uint32_t)MIN(in->wait_ns / 1000000000u + 1, UINT64_C(86400));
}

/* As most are. */
static bool
is_free(const struct key_slot *key, const struct account *account)
{
    return (atomic_load_explicit(&key->rpm, memory_order_relaxed) |
            atomic_load_explicit(&key->tpm, memory_order_relaxed) |
            atomic_load_explicit(&key->concurrency, memory_order_relaxed) |
            atomic_load_explicit(&key->quota_idx[0], memory_order_relaxed) |
            atomic_load_explicit(&key->quota_idx[1], memory_order_relaxed) |
            atomic_load_explicit(&account->quota_idx, memory_order_relaxed)) == 0;
}

/* The quotas of the call, when there are any. False: out of memory. */
static bool
chain_make(struct call *call, const struct account *account)
{
    const struct key_slot *key = call->key;
    const uint32_t idx[BUDGET_KIND_COUNT] = {
        [BUDGET_MEMBER] = atomic_load_explicit(&key->quota_idx[0], memory_order_relaxed),
        [BUDGET_PROJECT] = atomic_load_explicit(&key->quota_idx[1], memory_order_relaxed),
        [BUDGET_TENANT] = atomic_load_explicit(&account->quota_idx, memory_order_relaxed),
    };

    if ((idx[BUDGET_MEMBER] | idx[BUDGET_PROJECT] | idx[BUDGET_TENANT]) == 0)
        return true;
    call->chain = calloc(1, sizeof(*call->chain));
    if (call->chain == NULL)
        return false;
    for (unsigned kind = BUDGET_MEMBER; kind < BUDGET_KIND_COUNT; kind++)
        call->chain->quota[kind] = quota_at(call->worker->region, idx[kind]);
    return true;
}

bool
chain_admit(struct call *call, const struct account *account, struct proto_error *error)
{
    struct entering in = {.call = call};

    if (is_free(call->key, account))
        return true;
    if (!chain_make(call, account)) {
        error_set(error, ERROR_UNAVAILABLE, NULL, NULL, "turnpike: out of memory");
        error->retry_after_s = 1;
        return false;
    }
    for (unsigned kind = BUDGET_KEY; kind < BUDGET_KIND_COUNT; kind++) {
        struct level level;

        if (!level_of(call, (enum budget_kind)kind, &level)) {
            if (call->chain == NULL)
                break;
            continue;
        }
        if (level_take(&in, (enum budget_kind)kind, &level))
            continue;
        find_strictest(&in);
        give_back(&in, (enum budget_kind)kind);
        refuse(&in, error);
        return false;
    }
    return true;
}

/* ---- while it is served, and after ---- */

void
chain_tokens(struct call *call, uint64_t tokens)
{
    for (unsigned kind = BUDGET_KEY; kind < BUDGET_KIND_COUNT; kind++) {
        struct level level;

        if (!level_of(call, (enum budget_kind)kind, &level)) {
            if (call->chain == NULL)
                return;
            continue;
        }
        if (level.at_most[WHICH_TPM] == 0 || (call->uncounted >> kind & 1) != 0)
            continue;
        rate_correct(level.tpm_tat, rate_per_minute(level.at_most[WHICH_TPM]),
                     *tpm_taken(call, (enum budget_kind)kind), tokens, now_ns(call));
    }
}

void
chain_keep_guess(struct call *call)
{
    call->tpm_taken_ns = 0;
    for (unsigned kind = BUDGET_MEMBER; call->chain != NULL && kind < BUDGET_KIND_COUNT; kind++)
        call->chain->tpm_taken_ns[kind] = 0;
}

void
chain_leave(struct call *call)
{
    for (unsigned kind = BUDGET_KEY; call->inflight != 0 && kind < BUDGET_KIND_COUNT; kind++) {
        struct level level;

        if ((call->inflight >> kind & 1) != 0 && level_of(call, (enum budget_kind)kind, &level))
            level_leave(call, (enum budget_kind)kind, &level);
    }
}

static bool
has_guess(const struct call *call)
{
    bool any = call->tpm_taken_ns > 0;

    for (unsigned kind = BUDGET_MEMBER; call->chain != NULL && kind < BUDGET_KIND_COUNT; kind++)
        any = any || call->chain->tpm_taken_ns[kind] > 0;
    return any;
}

void
chain_end(struct call *call)
{
    chain_leave(call);
    if (has_guess(call))
        chain_tokens(call, 0);
    chain_keep_guess(call);
    free(call->chain);
    call->chain = NULL;
}

uint32_t
chain_record_flags(const struct call *call)
{
    uint32_t flags = call->shadowed ? RECORD_SHADOWED : 0;

    for (unsigned kind = BUDGET_KEY; call->inflight != 0 && kind < BUDGET_KIND_COUNT; kind++)
        if (call->inflight >> kind & 1)
            flags |= record_inflight_of(kind);
    return flags;
}

/* Queries: what workers know of upstreams, from the region. On any thread. */
#include "base/clock.h"
#include "ledger/core.h"
#include "ledger/query.h"
#include "shm/health.h"
#include "shm/names.h"

static uint32_t
load_u32(const _Atomic uint32_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

/* A moment of the monotonic clock as one of the wall's, by what both say now. */
struct clocks {
    uint64_t mono_ms;
    int64_t wall_us;
};

static void
write_moment(struct jw *jw, const char *key, uint64_t then_ms, const struct clocks *now)
{
    if (then_ms == 0) {
        jw_key(jw, key);
        jw_null(jw);
        return;
    }
    jw_key_time(jw, key,
                now->wall_us + ((int64_t)then_ms - (int64_t)now->mono_ms) * 1000);
}

static void
write_name(struct jw *jw, const struct region *region, const char *key, uint16_t id)
{
    struct str name = name_text(region, id);

    jw_key(jw, key);
    if (name.len > 0)
        jw_str(jw, name);
    else
        jw_null(jw);
}

static void
write_circuit(struct jw *jw, const struct health *health, const struct clocks *now)
{
    bool disabled = load_u32(&health->disabled) != 0;
    struct health_view view;
    const char *why = NULL;

    health_look(health, now->mono_ms, &view);
    if (disabled)
        why = "its secret cannot be read";
    else if (view.state != HEALTH_STATE_CLOSED)
        why = health_class_name[view.why];
    jw_key_cstr(jw, "state", disabled ? "disabled" : health_state_name[view.state]);
    jw_key_cstr(jw, "why", why);
    write_moment(jw, "until", view.state == HEALTH_STATE_OPEN ? view.until_ms : 0, now);
    jw_key_bool(jw, "trial", view.trial);
    write_moment(jw, "changed",
                 atomic_load_explicit(&health->changed_ms, memory_order_relaxed), now);
}

static void
write_line(struct jw *jw, const struct region *region, const struct health *health,
           const struct clocks *now)
{
    uint64_t failed = 0;

    jw_object(jw);
    write_name(jw, region, "upstream", health_name_id(health));
    write_name(jw, region, "credential", (uint16_t)load_u32(&health->credential_name));
    write_circuit(jw, health, now);
    jw_key_u64(jw, "in_flight", health_load(region, health));
    jw_key_u64(jw, "first_byte_us", load_u32(&health->first_byte_us));
    jw_key_u64(jw, "token_us", load_u32(&health->us_per_token));
    jw_key_u64(jw, "error_ppm", load_u32(&health->error_ppm));
    jw_key_u64(jw, "attempts", atomic_load_explicit(&health->calls, memory_order_relaxed));
    for (unsigned why = 0; why < HEALTH_CLASS_COUNT; why++)
        failed += load_u32(&health->failed[why]);
    jw_key_u64(jw, "failed", failed);
    jw_key(jw, "failed_by");
    jw_object(jw);
    for (unsigned why = 0; why < HEALTH_CLASS_COUNT; why++)
        if (load_u32(&health->failed[why]) > 0)
            jw_key_u64(jw, health_class_name[why], load_u32(&health->failed[why]));
    jw_object_end(jw);
    write_moment(jw, "last_failed",
                 atomic_load_explicit(&health->failed_ms, memory_order_relaxed), now);
    jw_key_u64(jw, "probes", load_u32(&health->probes));
    jw_object_end(jw);
}

void
query_write_upstreams(struct command *command)
{
    const struct region *region = command->ledger->region;
    struct clocks now = {clock_mono_us() / 1000, ledger_wall_us(command->ledger)};
    struct jw *jw = &command->jw;

    jw_key(jw, "upstreams");
    jw_array(jw);
    for (uint32_t i = 0; i < region->header->geometry.health_max; i++) {
        const struct health *health = health_line(region, i);

        if (health != NULL && health_is_named(region, health))
            write_line(jw, region, health, &now);
    }
    jw_array_end(jw);
}

static int
upstreams_list(struct command *command)
{
    query_write_upstreams(command);
    return 0;
}

const struct command_def command_upstreams_defs[] = {
    {.name = "upstreams", .kind = COMMAND_READ, .run = upstreams_list},
    {.name = NULL},
};

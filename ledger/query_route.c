/*
 * What becomes of a call: which rule decides, which candidates there are in what order, and who is out
 * and why. The question is put to the same function that workers ask (route/route.h), with the key
 * as they see it and a fresh look at what all of them know of upstreams; nothing is sent.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/str.h"
#include "ledger/core.h"
#include "ledger/explain.h"
#include "ledger/query.h"
#include "route/key.h"
#include "route/look.h"
#include "shm/call_id.h"
#include "shm/names.h"

/* The key as it is at a moment: what its extra is may be another's once workers have passed it. */
struct key_now {
    bool found;
    struct key_slot slot;
    bool has_extra, has_quotas;
    struct key_extra extra;
    struct route_quotas quotas; /* point into the next two */
    struct quota quota[ROUTE_QUOTAS_MAX];
    struct key_extra quota_extra[ROUTE_QUOTAS_MAX];
};

/* ---- arguments ---- */

static bool
read_protocol(struct command *command, enum conf_protocol *out)
{
    struct str name;

    *out = CONF_OPENAI;
    if (!command_str(command, "protocol", false, &name))
        return false;
    for (unsigned i = 0; i < CONF_PROTOCOL_COUNT; i++)
        if (str_eq(name, str_from(conf_protocol_name[i]))) {
            *out = (enum conf_protocol)i;
            return true;
        }
    if (name.len == 0)
        return true;
    command_refuse(command, COMMAND_USAGE, "there is no protocol \"%.*s\"",
                   (int)MIN(name.len, 40u), name.ptr);
    command_hint(command, "one of openai, responses, anthropic, gemini");
    return false;
}

static bool
read_needs(struct command *command, struct route_needs *out)
{
    struct js_value list = js_get(command->args, STR("needs")), key, value;
    uint32_t input, output;
    struct js_iter it;

    for (js_iter_init(&it, list); js_next(&it, &key, &value);)
        for (unsigned i = 0; i < CONF_CAN_COUNT; i++)
            if (js_str_eq(value, str_from(conf_can_name[i])))
                out->can |= 1u << i;
    if (!command_u32(command, "input_tokens", &input) ||
        !command_u32(command, "output_tokens", &output))
        return false;
    out->input_tokens = input;
    out->output_tokens = output;
    return true;
}

/* By chance, or as a call had it. */
static bool
read_seed(struct command *command, uint64_t *seed)
{
    uint8_t id[CALL_ID_BYTES];
    struct str text;

    if (!command_str(command, "call", false, &text))
        return false;
    *seed = rng_u64();
    if (text.len == 0)
        return true;
    if (!call_id_parse(text, id)) {
        command_refuse(command, COMMAND_USAGE, "call: \"%.*s\" is not the ID of a call",
                       (int)MIN(text.len, 40u), text.ptr);
        return false;
    }
    *seed = call_id_seed(id);
    return true;
}

/* ---- candidates ---- */

static void
write_prices(struct jw *jw, const struct price *price)
{
    const struct conf_rates *rates = &price->model->rates;
    static const struct {
        const char *name;
        enum conf_class class;
    } parts[] = {{"input", CONF_INPUT}, {"output", CONF_OUTPUT}};

    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        unsigned __int128 u = (unsigned __int128)(uint64_t)rates->u_per_mtok[parts[i].class] *
                              (uint64_t)price->multiplier_u;

        u = (u + CONF_MICRO - 1) / CONF_MICRO;
        explain_price(jw, parts[i].name, u > INT64_MAX ? INT64_MAX : (uint64_t)u);
    }
}

static void
write_circuit(const struct explain *e, struct jw *jw, size_t credential_idx)
{
    const struct health *line = e->lines[credential_idx];
    struct health_view view = {.state = HEALTH_STATE_CLOSED};
    const char *why = NULL;

    if (line != NULL)
        health_look(line, e->mono_us / 1000, &view);
    if (view.state != HEALTH_STATE_CLOSED)
        why = health_class_name[view.why];
    jw_key_cstr(jw, "state", health_state_name[view.state]);
    jw_key_cstr(jw, "why", why);
    jw_key(jw, "until");
    if (view.state == HEALTH_STATE_OPEN)
        jw_time(jw, e->wall_us + ((int64_t)view.until_ms - (int64_t)(e->mono_us / 1000)) * 1000);
    else
        jw_null(jw);
}

static void
write_candidate(const struct explain *e, struct jw *jw, size_t i)
{
    const struct route_candidate *c = &e->plan.candidates[i];
    const struct conf_upstream *upstream = &e->conf->upstreams[c->upstream_idx];
    size_t credential_idx = upstream->credential_first + c->credential;
    const struct route_health *health = &e->health[credential_idx];
    struct str credential = upstream->credentials[c->credential].name;

    jw_object(jw);
    jw_key_u64(jw, "n", i + 1);
    jw_key_str(jw, "channel", e->conf->channels[c->channel_idx].name);
    jw_key_str(jw, "upstream", upstream->name);
    jw_key(jw, "credential");
    if (credential.len > 0)
        jw_str(jw, credential);
    else
        jw_null(jw);
    jw_key_str(jw, "model", e->conf->models[c->model_idx].name);
    jw_key_str(jw, "sent", c->model_sent);
    jw_key(jw, "price");
    jw_object(jw);
    write_prices(jw, &c->price);
    jw_object_end(jw);
    jw_key_ucr(jw, "cost", upstream->cost_u);
    jw_key_u64(jw, "score", c->score);
    jw_key_bool(jw, "down", c->down);
    jw_key_bool(jw, "full", health->used_ppm >= 1000000 || health->load_ppm >= 1000000);
    write_circuit(e, jw, credential_idx);
    jw_key_u64(jw, "first_byte_us", health->latency_us);
    jw_key_u64(jw, "token_us", health->us_per_token);
    jw_key_u64(jw, "error_ppm", health->error_ppm);
    jw_key_u64(jw, "load_ppm", health->load_ppm);
    jw_key_u64(jw, "used_ppm", health->used_ppm);
    jw_object_end(jw);
}

/* ---- the whole ---- */

static void
write_weights(const struct explain *e, struct jw *jw)
{
    const struct conf_auto *chooser;
    struct route_weights weights;

    jw_key(jw, "weights");
    if (e->plan.auto_idx == CONF_NONE) {
        jw_null(jw);
        return;
    }
    chooser = &e->conf->autos[e->plan.auto_idx];
    weights = (struct route_weights){chooser->latency_u, chooser->cost_u, chooser->quality_u};
    if (e->ask.weights != NULL)
        weights = *e->ask.weights;
    jw_object(jw);
    jw_key_cstr(jw, "of", e->ask.weights != NULL ? "project" : "auto");
    jw_key_ucr(jw, "latency", weights.latency_u);
    jw_key_ucr(jw, "cost", weights.cost_u);
    jw_key_ucr(jw, "quality", weights.quality_u);
    jw_object_end(jw);
}

static void
write_question(const struct explain *e, struct jw *jw)
{
    jw_key_str(jw, "asked", e->ask.model);
    jw_key_cstr(jw, "protocol", conf_protocol_name[e->ask.protocol]);
    jw_key(jw, "needs");
    jw_array(jw);
    for (unsigned i = 0; i < CONF_CAN_COUNT; i++)
        if (e->ask.needs.can >> i & 1)
            jw_cstr(jw, conf_can_name[i]);
    jw_array_end(jw);
    jw_key_u64(jw, "input_tokens", e->ask.needs.input_tokens);
    jw_key_u64(jw, "output_tokens", e->ask.needs.output_tokens);
}

static void
write_near(const struct explain *e, const struct route_table *table, struct jw *jw,
           enum route_result result)
{
    struct str close[ROUTE_CLOSE_MAX];
    size_t count = result == ROUTE_NO_MODEL ? route_close(table, &e->ask, close) : 0;

    jw_key(jw, "near");
    jw_array(jw);
    for (size_t i = 0; i < count; i++)
        jw_str(jw, close[i]);
    jw_array_end(jw);
}

static void
write_answer(struct explain *e, const struct route_table *table, enum route_result result)
{
    bool made = result == ROUTE_OK || result == ROUTE_ALL_DOWN;
    const struct route_plan *plan = &e->plan;
    struct jw *jw = &e->command->jw;

    write_question(e, jw);
    jw_key_cstr(jw, "result", route_result_name[result]);
    explain_named(jw, "model", made ? plan->model_idx : CONF_NONE,
                made ? e->conf->models[plan->model_idx].name : STR_NONE);
    explain_named(jw, "auto", plan->auto_idx,
                plan->auto_idx == CONF_NONE ? STR_NONE : e->conf->autos[plan->auto_idx].name);
    explain_named(jw, "rule", plan->rule_idx,
                plan->rule_idx == CONF_NONE ? STR_NONE : e->conf->rules[plan->rule_idx].name);
    write_weights(e, jw);
    write_near(e, table, jw, result);
    part_end(&e->rules, jw, "rules");
    part_end(&e->models, jw, "models");
    jw_key(jw, "candidates");
    jw_array(jw);
    for (size_t i = 0; made && i < plan->candidate_count; i++)
        write_candidate(e, jw, i);
    jw_array_end(jw);
    if (!made && result == ROUTE_NO_UPSTREAM)
        explain_channels(e, table);
    if (made || (result == ROUTE_NO_UPSTREAM && plan->auto_idx == CONF_NONE))
        explain_elsewhere(e, made);
    part_end(&e->out, jw, "out");
}

static void
look_at_all(struct explain *e)
{
    for (size_t i = 0; i < e->conf->upstream_count; i++) {
        const struct conf_upstream *upstream = &e->conf->upstreams[i];
        uint16_t id = name_find(e->region, upstream->name);

        for (size_t k = 0; k < upstream->credential_count; k++) {
            size_t at = upstream->credential_first + k;

            e->lines[at] = id == 0 ? NULL : health_at(e->region, id, (uint8_t)k);
            route_look(e->region, upstream, &upstream->credentials[k], e->lines[at], e->mono_us,
                       &e->health[at]);
        }
    }
}

static int
explain(struct explain *e, const struct key_now *key)
{
    const struct route_trace trace = {explain_event, e};
    struct route_table *table = route_table_make(e->conf);
    enum route_result result = ROUTE_CHANNEL_NOT_ALLOWED;

    if (table == NULL || !route_names_make(e->conf, e->region, &e->names)) {
        route_table_free(&table);
        return -ENOMEM;
    }
    look_at_all(e);
    e->ask.health = e->health;
    e->ask.trace = &trace;
    e->ask.wall_us = e->wall_us;
    e->plan.auto_idx = e->plan.rule_idx = CONF_NONE;
    part_begin(&e->rules);
    part_begin(&e->models);
    part_begin(&e->out);
    if (route_key_read(&key->slot, key->has_extra ? &key->extra : NULL,
                       key->has_quotas ? &key->quotas : NULL, &e->names, &e->key, &e->ask))
        result = route_choose(table, &e->ask, &e->plan);
    write_answer(e, table, result);
    route_names_free(&e->names);
    route_table_free(&table);
    return 0;
}

/* On the main thread, which alone changes keys. */
static int
route_prepare(struct command *command)
{
    struct ledger *ledger = command->ledger;
    char *room = arena_zalloc(&command->arena, sizeof(struct key_now) + CACHE_LINE);
    struct key_now *key;
    const struct key_extra *extra;
    const struct key_slot *slot;
    uint32_t key_id;

    if (room == NULL) {
        command_refuse(command, COMMAND_FAILED, "out of memory");
        return 0;
    }
    /* A slot's place is at the beginning of a cache line, wherever it is. */
    key = (struct key_now *)(((uintptr_t)room + CACHE_LINE - 1) & ~(uintptr_t)(CACHE_LINE - 1));
    command->state = key;
    if (!command_id(command, "key", true, &key_id))
        return 0;
    slot = key_at(ledger->region, id_map_get(&ledger->key_of_id, key_id));
    if (slot == NULL)
        return 0;
    key->found = true;
    memcpy(&key->slot, (const void *)slot, sizeof(*slot));
    extra = key_extra_at(ledger->region,
                         atomic_load_explicit(&slot->extra_idx, memory_order_relaxed));
    key->has_extra = extra != NULL;
    if (extra != NULL)
        key->extra = *extra;
    key->has_quotas = route_quotas_of(ledger->region, slot, &key->quotas);
    for (size_t i = 0; key->has_quotas && i < ROUTE_QUOTAS_MAX; i++) {
        if (key->quotas.quota[i] != NULL) {
            memcpy(&key->quota[i], (const void *)key->quotas.quota[i], sizeof(key->quota[i]));
            key->quotas.quota[i] = &key->quota[i];
        }
        if (key->quotas.extra[i] != NULL) {
            key->quota_extra[i] = *key->quotas.extra[i];
            key->quotas.extra[i] = &key->quota_extra[i];
        }
    }
    return 0;
}

static int
explain_now(struct command *command)
{
    const struct key_now *key = command->state;
    struct ledger *ledger = command->ledger;
    size_t upstreams = ledger->conf != NULL ? MAX(ledger->conf->upstream_count, (size_t)1) : 1;
    size_t credentials = ledger->conf != NULL ? MAX(ledger->conf->credential_count, (size_t)1) : 1;
    struct explain *e = arena_zalloc(&command->arena, sizeof(*e));
    uint32_t key_id;
    uint64_t seed;

    if (e == NULL || key == NULL)
        return -ENOMEM;
    e->command = command;
    e->conf = ledger->conf;
    e->region = ledger->region;
    e->health = arena_zalloc(&command->arena, credentials * sizeof(*e->health));
    e->lines = arena_zalloc(&command->arena, credentials * sizeof(struct health *));
    e->told = arena_zalloc(&command->arena, upstreams * sizeof(*e->told));
    e->mono_us = clock_mono_us();
    e->wall_us = ledger_wall_us(ledger);
    e->ask.rng_state = &seed;
    if (e->health == NULL || e->lines == NULL || e->told == NULL)
        return -ENOMEM;
    if (command->exit != COMMAND_DONE || !command_str(command, "model", true, &e->ask.model) ||
        !command_id(command, "key", true, &key_id) ||
        !command_str(command, "channel", false, &e->ask.channel_named) ||
        !read_protocol(command, &e->ask.protocol) || !read_needs(command, &e->ask.needs) ||
        !read_seed(command, &seed))
        return 0;
    e->ask.service = e->ask.needs.can >> CONF_CAN_EMBEDDINGS & 1 ? ROUTE_EMBED : ROUTE_CHAT;
    if (e->conf == NULL) {
        command_refuse(command, COMMAND_FAILED, "no server runs here");
        return 0;
    }
    if (!key->found) {
        command_refuse(command, COMMAND_FAILED, "there is no key %u", key_id);
        command_hint(command, "turnpike key list TENANT shows a tenant's keys");
        return 0;
    }
    return explain(e, key);
}

static int
route_explain(struct command *command)
{
    int rc;

    pthread_rwlock_rdlock(&command->ledger->conf_lock);
    rc = explain_now(command);
    pthread_rwlock_unlock(&command->ledger->conf_lock);
    return rc;
}

const struct command_def command_route_defs[] = {
    {.name = "route", .kind = COMMAND_READ, .run = route_explain, .prepare = route_prepare},
    {.name = NULL},
};

/*
 * What becomes of a call: which rule decides, which candidates there are in what order, and who is out
 * and why. The question is put to the same function that workers ask (route/route.h), with the key
 * as they see it and a fresh look at what all of them know of upstreams; nothing is sent.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/str.h"
#include "ledger/core.h"
#include "ledger/query.h"
#include "route/key.h"
#include "route/look.h"
#include "shm/call_id.h"
#include "shm/names.h"

#define PART_BYTES_MAX (8u << 20)

/* A list of the answer that grows while the choice is made. */
struct part {
    struct buf buf;
    struct jw jw;
};

struct explain {
    struct command *command;
    const struct conf *conf;
    struct region *region;
    uint64_t mono_us;
    int64_t wall_us;
    struct route_ask ask;
    struct route_key key;
    struct route_names names;
    struct route_health *health; /* by credentials' numbers */
    struct health **lines;
    bool *told; /* by upstream: it is in the plan, or why not was said */
    struct route_plan plan;
    struct part rules, models, out;
};

/* The key as it is at a moment: what its extra is may be another's once workers have passed it. */
struct key_now {
    bool found;
    struct key_slot slot;
    bool has_extra;
    struct key_extra extra;
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

/* ---- what is told ---- */

static void
part_begin(struct part *part)
{
    buf_init(&part->buf, PART_BYTES_MAX);
    jw_init(&part->jw, &part->buf);
    jw_array(&part->jw);
}

/* Into the answer, which takes over the text. */
static void
part_end(struct part *part, struct jw *jw, const char *name)
{
    jw_array_end(&part->jw);
    jw_key(jw, name);
    jw_raw(jw, buf_str(&part->buf));
    buf_free(&part->buf);
}

static void
cans_text(unsigned can, char *out, size_t cap)
{
    size_t len = 0;

    out[0] = '\0';
    for (unsigned i = 0; i < CONF_CAN_COUNT && len < cap; i++)
        if (can >> i & 1)
            len += (size_t)snprintf(out + len, cap - len, "%s%s", len > 0 ? ", " : "",
                                    conf_can_name[i]);
}

static void
write_why(const struct explain *e, struct jw *jw, const struct route_event *event)
{
    const struct conf_model *model =
        event->model_idx == CONF_NONE ? NULL : &e->conf->models[event->model_idx];
    char text[160] = "", cans[96];

    jw_key_cstr(jw, "reason", route_out_name[event->out]);
    switch (event->out) {
    case ROUTE_IN: break;
    case ROUTE_OUT_CONDITION:
        snprintf(text, sizeof(text), "its condition %s does not hold", event->condition);
        break;
    case ROUTE_OUT_NOT_ALLOWED:
        snprintf(text, sizeof(text), "the key may not use it");
        break;
    case ROUTE_OUT_NEEDS:
        cans_text(event->missing, cans, sizeof(cans));
        snprintf(text, sizeof(text), "it lacks %s", cans);
        break;
    case ROUTE_OUT_CONTEXT:
        snprintf(text, sizeof(text), "its context of %llu is too small",
                 (unsigned long long)model->context_tokens);
        break;
    case ROUTE_OUT_OUTPUT:
        snprintf(text, sizeof(text), "it gives %llu tokens at most",
                 (unsigned long long)model->output_tokens_max);
        break;
    case ROUTE_OUT_EMBEDDINGS:
        snprintf(text, sizeof(text), "it makes embeddings");
        break;
    case ROUTE_OUT_NOT_SERVED:
        snprintf(text, sizeof(text), "it does not serve the model");
        if (event->upstream_idx == CONF_NONE)
            snprintf(text, sizeof(text), "no channel of the key serves it");
        break;
    case ROUTE_OUT_SCORE: break;
    case ROUTE_OUT_DEARER:
        snprintf(text, sizeof(text), "the channel is dearer than the key's first");
        break;
    case ROUTE_OUT_SIBLING:
        snprintf(text, sizeof(text), "the key allows no sibling");
        break;
    case ROUTE_OUT_FAMILY:
        snprintf(text, sizeof(text), "it is of another family");
        break;
    case ROUTE_OUT_DISABLED:
        snprintf(text, sizeof(text), "its secret cannot be read");
        break;
    case ROUTE_OUT_PROTOCOL:
        snprintf(text, sizeof(text), "it does not speak %s",
                 conf_protocol_name[e->ask.protocol]);
        break;
    case ROUTE_OUT_REPEATED:
        snprintf(text, sizeof(text), "it is tried in an earlier channel");
        break;
    case ROUTE_OUT_TOO_MANY:
        snprintf(text, sizeof(text), "enough others come first");
        break;
    case ROUTE_OUT_COUNT: break;
    }
    jw_key_cstr(jw, "why", text[0] != '\0' ? text : NULL);
}

static void
write_named(struct jw *jw, const char *key, int idx, struct str name)
{
    jw_key(jw, key);
    if (idx == CONF_NONE)
        jw_null(jw);
    else
        jw_str(jw, name);
}

/* Credits of 10^-12 as a decimal. */
static void
write_price(struct jw *jw, const char *key, uint64_t per_million_u)
{
    jw_key_ucr(jw, key, (int64_t)MIN(per_million_u, (uint64_t)INT64_MAX));
}

static void
tell_model(const struct explain *e, struct jw *jw, const struct route_event *event)
{
    jw_key_str(jw, "model", e->conf->models[event->model_idx].name);
    jw_key_bool(jw, "in", event->out == ROUTE_IN);
    write_named(jw, "rule", event->rule_idx,
                event->rule_idx == CONF_NONE ? STR_NONE : e->conf->rules[event->rule_idx].name);
    write_why(e, jw, event);
    if (event->out != ROUTE_IN || event->rule_idx != CONF_NONE)
        return;
    /* Parts are millionths of a millionth; to be read, millionths do. */
    jw_key_ucr(jw, "score", (int64_t)(event->score / CONF_MICRO));
    jw_key_ucr(jw, "latency", (int64_t)(event->latency_part / CONF_MICRO));
    jw_key_ucr(jw, "cost", (int64_t)(event->cost_part / CONF_MICRO));
    jw_key_ucr(jw, "quality", (int64_t)(event->quality_part / CONF_MICRO));
    write_price(jw, "price", event->price / 4);
    jw_key_u64(jw, "time_us", event->time_us);
}

static void
on_event(void *arg, const struct route_event *event)
{
    struct explain *e = arg;
    struct part *part = event->step == ROUTE_STEP_RULE    ? &e->rules
                        : event->step == ROUTE_STEP_MODEL ? &e->models
                                                          : &e->out;
    struct jw *jw = &part->jw;

    jw_object(jw);
    if (event->step == ROUTE_STEP_RULE) {
        jw_key_str(jw, "rule", e->conf->rules[event->rule_idx].name);
        jw_key_bool(jw, "decides", event->out == ROUTE_IN);
        write_why(e, jw, event);
    } else if (event->step == ROUTE_STEP_MODEL) {
        tell_model(e, jw, event);
    } else {
        jw_key_str(jw, "model", e->conf->models[event->model_idx].name);
        jw_key_str(jw, "channel", e->conf->channels[event->channel_idx].name);
        write_named(jw, "upstream", event->upstream_idx,
                    event->upstream_idx == CONF_NONE
                        ? STR_NONE
                        : e->conf->upstreams[event->upstream_idx].name);
        write_why(e, jw, event);
    }
    jw_object_end(jw);
    if (event->upstream_idx != CONF_NONE)
        e->told[event->upstream_idx] = true;
}

/* Those that serve the model, but in no channel that this call may go to. */
static void
tell_elsewhere(struct explain *e, bool made)
{
    struct jw *jw = &e->out.jw;

    for (size_t i = 0; made && i < e->plan.candidate_count; i++)
        e->told[e->plan.candidates[i].upstream_idx] = true;
    for (size_t i = 0; i < e->conf->upstream_count; i++) {
        if (e->told[i] ||
            !conf_upstream_serves(&e->conf->upstreams[i], &e->conf->models[e->plan.model_idx]))
            continue;
        jw_object(jw);
        jw_key_str(jw, "model", e->conf->models[e->plan.model_idx].name);
        jw_key(jw, "channel");
        jw_null(jw);
        jw_key_str(jw, "upstream", e->conf->upstreams[i].name);
        jw_key_cstr(jw, "reason", "no-channel");
        jw_key_cstr(jw, "why", "it is in no channel that this call may go to");
        jw_object_end(jw);
    }
}

/* Why an upstream serves none of what the call could be for: of several models what is nearest to
 * serving it. Already told: ROUTE_IN. */
static enum route_out
nearest_out(const struct explain *e, size_t upstream_idx, size_t *model_idx)
{
    enum route_out nearest = ROUTE_IN;

    for (size_t i = 0; i < e->conf->model_count; i++) {
        enum route_out out;

        if (e->plan.auto_idx != CONF_NONE
                ? !route_auto_has(e->conf, (size_t)e->plan.auto_idx, i)
                : i != e->plan.model_idx)
            continue;
        out = route_upstream_out(e->conf, upstream_idx, i, e->ask.protocol, e->ask.service);
        if (out == ROUTE_IN || (nearest != ROUTE_IN && out == ROUTE_OUT_NOT_SERVED))
            continue;
        nearest = out;
        *model_idx = i;
    }
    return nearest;
}

/* Where nothing serves the call: all upstreams of the channels that it may go to. */
static void
tell_channels(struct explain *e, const struct route_table *table)
{
    uint16_t channels[CONF_CHANNEL_COUNT_MAX];
    size_t count = route_channels(table, &e->ask, channels);

    for (size_t i = 0; i < count; i++) {
        const struct conf_channel *channel = &e->conf->channels[channels[i]];

        for (size_t k = 0; k < channel->use_count; k++) {
            size_t model_idx = 0;
            struct route_event event = {.step = ROUTE_STEP_UPSTREAM,
                                        .rule_idx = CONF_NONE,
                                        .channel_idx = channels[i],
                                        .upstream_idx = channel->uses[k].upstream_idx};

            event.out = nearest_out(e, channel->uses[k].upstream_idx, &model_idx);
            event.model_idx = (int)model_idx;
            if (event.out != ROUTE_IN)
                on_event(e, &event);
        }
    }
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
        write_price(jw, parts[i].name, u > INT64_MAX ? INT64_MAX : (uint64_t)u);
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
    write_named(jw, "model", made ? plan->model_idx : CONF_NONE,
                made ? e->conf->models[plan->model_idx].name : STR_NONE);
    write_named(jw, "auto", plan->auto_idx,
                plan->auto_idx == CONF_NONE ? STR_NONE : e->conf->autos[plan->auto_idx].name);
    write_named(jw, "rule", plan->rule_idx,
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
        tell_channels(e, table);
    if (made || (result == ROUTE_NO_UPSTREAM && plan->auto_idx == CONF_NONE))
        tell_elsewhere(e, made);
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
    const struct route_trace trace = {on_event, e};
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
    if (route_key_read(&key->slot, key->has_extra ? &key->extra : NULL, &e->names, &e->key,
                       &e->ask))
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

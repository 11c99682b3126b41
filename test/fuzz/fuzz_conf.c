/*
 * routes.conf from memory: whatever the text, it is refused with faults or gives a snapshot that
 * keeps to its bounds, can be routed by and priced by, and that the same text gives again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/js.h"
#include "base/str.h"
#include "conf/conf.h"
#include "route/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_str(struct str s)
{
    ASSERT(s.ptr != NULL && s.ptr[s.len] == '\0' && strlen(s.ptr) == s.len);
}

static void
check_faults(const struct conf_faults *faults, const struct conf *conf)
{
    ASSERT((conf == NULL) == (faults->fault_count > 0));
    ASSERT(faults->count <= faults->fault_count + faults->warning_count);
    for (size_t i = 0; i < faults->count; i++) {
        const struct conf_fault *fault = &faults->at[i];

        ASSERT(strcmp(fault->file, "fuzz") == 0);
        ASSERT(fault->line >= 1 && fault->message[0] != '\0');
        ASSERT(strchr(fault->message, '\n') == NULL);
        ASSERT(i == 0 || faults->at[i - 1].line <= fault->line);
    }
}

static void
check_upstreams(const struct conf *conf)
{
    for (size_t i = 0; i < conf->upstream_count; i++) {
        const struct conf_upstream *u = &conf->upstreams[i];

        check_str(u->name);
        check_str(u->host);
        check_str(u->authority);
        check_str(u->base_path);
        ASSERT(u->protocols != 0 && u->protocols < CONF_PROTOCOL_BIT(CONF_PROTOCOL_COUNT));
        ASSERT(u->tls || u->local);
        ASSERT(u->host.len > 0 && u->host.len <= 253 && u->port > 0);
        ASSERT(u->base_path.len == 0 || u->base_path.ptr[0] == '/');
        ASSERT(!str_ends_with(u->base_path, STR("/")));
        ASSERT(u->disabled_reason == NULL && u->credential_count > 0);
        ASSERT(u->credential_first + u->credential_count <= conf->credential_count);
        for (size_t k = 0; k < u->credential_count; k++)
            ASSERT(u->credentials[k].secret.ptr == NULL &&
                   u->credentials[k].disabled_reason == NULL);
        ASSERT(u->connect_ms > 0 && u->connections_max > 0 && u->models.count > 0);
        for (const char *c = u->authority.ptr; *c != '\0'; c++)
            ASSERT((unsigned char)*c > ' ' && *c != 0x7f && *c != '/' && *c != '@');
        ASSERT(conf_upstream_index(conf, u->name) == (int)i);
    }
}

static void
check_models(const struct conf *conf)
{
    for (size_t i = 0; i < conf->model_count; i++) {
        const struct conf_model *m = &conf->models[i];

        check_str(m->name);
        check_str(m->family);
        ASSERT(m->name.len > 0 && m->name.len <= CONF_MODEL_NAME_LEN_MAX && m->quality <= 100);
        ASSERT(conf_model_index(conf, m->name) == (int)i);
        for (size_t k = 0; k < m->aliases.count; k++)
            ASSERT(conf_model_index(conf, m->aliases.at[k]) == (int)i);
        for (size_t k = 1; k < m->tier_count; k++)
            ASSERT(m->tiers[k - 1].above_tokens <= m->tiers[k].above_tokens);
        for (int class = 0; class < CONF_CLASS_COUNT; class++)
            ASSERT(m->rates.u_per_mtok[class] >= 0 &&
                   m->rates.u_per_mtok[class] <= CONF_PRICE_MAX_U_PER_MUNIT);
    }
}

static void
check_rules(const struct conf *conf)
{
    for (size_t i = 0; i < conf->rule_count; i++) {
        const struct conf_rule *r = &conf->rules[i];

        ASSERT(r->to_model_idx == CONF_NONE || (size_t)r->to_model_idx < conf->model_count);
        ASSERT(r->to_auto_idx == CONF_NONE || (size_t)r->to_auto_idx < conf->auto_count);
        ASSERT(r->exhausted_idx == CONF_NONE || (size_t)r->exhausted_idx < conf->channel_count);
        for (size_t k = 0; k < r->to_channel_count; k++)
            ASSERT(r->to_channels[k] < conf->channel_count);
        for (size_t k = 0; k < r->fallback_count; k++)
            ASSERT(r->fallbacks[k] < conf->model_count);
        ASSERT(!r->has_hours || (r->hours.from_min < 1440 && r->hours.to_min < 1440));
    }
}

static void
on_event(void *arg, const struct route_event *event)
{
    const struct conf *conf = arg;

    ASSERT(event->out < ROUTE_OUT_COUNT && event->step < ROUTE_STEP_COUNT);
    ASSERT(event->model_idx == CONF_NONE || (size_t)event->model_idx < conf->model_count);
    ASSERT(event->rule_idx == CONF_NONE || (size_t)event->rule_idx < conf->rule_count);
}

/* The plan of the same question told to somebody is the same. */
static void
check_told(const struct route_table *table, struct route_ask ask, const struct route_plan *plan,
           uint64_t state)
{
    const struct route_trace trace = {on_event,
                                      (void *)(uintptr_t)route_table_conf(table)};
    struct route_plan again;

    *ask.rng_state = state;
    ask.trace = &trace;
    ASSERT(route_choose(table, &ask, &again) == ROUTE_OK);
    ASSERT(again.candidate_count == plan->candidate_count && again.model_idx == plan->model_idx);
    for (size_t i = 0; i < plan->candidate_count; i++)
        ASSERT(again.candidates[i].upstream_idx == plan->candidates[i].upstream_idx &&
               again.candidates[i].channel_idx == plan->candidates[i].channel_idx);
}

static void
check_plan(const struct route_table *table, const struct route_ask *ask)
{
    struct price_count count = {
        .n = {[CONF_INPUT] = 1000, [CONF_CACHE_WRITE_1H] = 7, [CONF_OUTPUT] = 100}};
    struct price_bounds bounds = {.input = 1007, .output = 100};
    struct str close[ROUTE_CLOSE_MAX];
    uint64_t state = *ask->rng_state;
    struct route_plan plan;
    int64_t cost, worst;

    ASSERT(route_close(table, ask, close) <= ROUTE_CLOSE_MAX);
    if (route_choose(table, ask, &plan) != ROUTE_OK)
        return;
    check_told(table, *ask, &plan, state);
    ASSERT(plan.candidate_count > 0);
    for (size_t i = 0; i < plan.candidate_count; i++)
        ASSERT(plan.candidates[i].model_json.len >= plan.candidates[i].model_sent.len + 2);
    /* What was loaded can be paid for. */
    ASSERT(price_cost(&plan.candidates[0].price, &count, &cost));
    ASSERT(price_worst(&plan.candidates[0].price, &bounds, &worst));
    ASSERT(cost <= worst);
}

static void
check_routes(const struct conf *conf)
{
    struct route_table *table = route_table_make(conf);
    uint64_t rng = 1;

    ASSERT(table != NULL);
    for (int protocol = 0; protocol < CONF_PROTOCOL_COUNT; protocol++) {
        struct route_ask ask = {.protocol = (enum conf_protocol)protocol,
                                .project = STR("p"),
                                .key_name = STR("k"),
                                .no_dearer = protocol % 2 != 0,
                                .sibling = true,
                                .needs = {.can = 1u << CONF_CAN_TOOLS, .input_tokens = 1000},
                                .rng_state = &rng};

        for (size_t i = 0; i < MIN(conf->model_count, (size_t)8); i++) {
            ask.model = conf->models[i].name;
            check_plan(table, &ask);
        }
        for (size_t i = 0; i < MIN(conf->auto_count, (size_t)8); i++) {
            ask.model = conf->autos[i].name;
            check_plan(table, &ask);
        }
    }
    route_table_free(&table);
}

static void
check_prices(const struct conf *conf)
{
    struct js_value json;
    struct js_error err;
    struct buf out;

    ASSERT(conf->price_version != 0);
    buf_init(&out, 1 << 24);
    conf_prices_json(conf, &out);
    ASSERT(out.failed || js_check(buf_str(&out), &json, &err));
    buf_free(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf_faults faults, again_faults;
    struct conf *conf, *again;
    char *copy = malloc(MAX(size, (size_t)1)); /* what lies behind it is poisoned */

    if (copy == NULL)
        return 0;
    if (size > 0)
        memcpy(copy, data, size);
    conf = conf_load_text((struct str){copy, size}, "fuzz", &faults);
    again = conf_load_text((struct str){copy, size}, "fuzz", &again_faults);
    free(copy); /* the snapshot keeps nothing of it */
    check_faults(&faults, conf);
    ASSERT(faults.count == again_faults.count);
    for (size_t i = 0; i < faults.count; i++)
        ASSERT(strcmp(faults.at[i].message, again_faults.at[i].message) == 0);
    if (conf != NULL) {
        check_upstreams(conf);
        check_models(conf);
        check_rules(conf);
        check_prices(conf);
        check_routes(conf);
        ASSERT(conf->price_version == again->price_version);
    }
    conf_faults_free(&faults);
    conf_faults_free(&again_faults);
    conf_free(&conf);
    conf_free(&again);
    return 0;
}

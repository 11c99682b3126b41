#include "worker/choose.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "shm/names.h"
#include "worker/call.h"
#include "worker/feed.h"
#include "worker/kept.h"
#include "worker/stay.h"

#define LIST_BYTES 320

_Static_assert((int)ASK_NEED_TOOLS == (int)CONF_CAN_TOOLS &&
                   (int)ASK_NEED_VISION == (int)CONF_CAN_VISION &&
                   (int)ASK_NEED_THINKING == (int)CONF_CAN_THINKING &&
                   (int)ASK_NEED_JSON == (int)CONF_CAN_JSON &&
                   (int)ASK_NEED_AUDIO == (int)CONF_CAN_AUDIO &&
                   (int)ASK_NEED_EMBEDDINGS == (int)CONF_CAN_EMBEDDINGS &&
                   (int)ASK_NEED_COUNT == (int)CONF_CAN_COUNT,
               "the rooms' words for the same");

/* ---- what the request needs ---- */

bool
choose_conf_needs(const struct conf *conf)
{
    for (size_t i = 0; i < conf->rule_count; i++) {
        const struct conf_rule *rule = &conf->rules[i];

        if (rule->needs != 0 || rule->context_above != 0 || rule->context_below != 0 ||
            rule->to_auto_idx != CONF_NONE || rule->fallback_count > 0)
            return true;
    }
    return false;
}

/* Only for those who decide by it: the body is looked at once more for that. */
static void
find_needs(const struct call *call, struct route_ask *ask)
{
    const struct conf *conf = call->worker->conf;
    struct ask_needs found;
    struct str channel;

    if (!call->worker->routes_need &&
        conf_auto_index(conf, route_split(conf, ask->model, &channel)) == CONF_NONE)
        return;
    ask_needs(&call->ask, &found);
    ask->needs = (struct route_needs){found.needs, found.input_tokens, found.output_tokens};
}

/* ---- refusals ---- */

/* "; did you mean 'a', 'b'?" of what the key may use, or "". */
static void
close_names(const struct str *close, size_t count, char text[LIST_BYTES])
{
    size_t len = 0;

    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        int more = snprintf(text + len, LIST_BYTES - len, "%s'%.*s'",
                            i == 0 ? "; did you mean " : ", ", STR_ARGS(close[i]));

        if (more < 0 || (size_t)more + 2 > LIST_BYTES - len)
            break;
        len += (size_t)more;
    }
    if (len > 0)
        memcpy(text + len, "?", 2);
}

static void
no_model(const struct worker *w, const struct route_ask *ask, struct proto_error *error)
{
    struct str names[ROUTE_CLOSE_MAX];
    char close[LIST_BYTES];

    close_names(names, route_close(w->routes, ask, names), close);
    error_set(error, ERROR_NO_MODEL, "model", NULL, "The model '%.*s' does not exist%s",
              (int)MIN(ask->model.len, (size_t)CONF_MODEL_NAME_LEN_MAX), ask->model.ptr, close);
}

static void
no_channel(const struct worker *w, const struct route_ask *ask, struct str channel, bool by_suffix,
           struct proto_error *error)
{
    struct str names[ROUTE_CLOSE_MAX];
    char close[LIST_BYTES];

    close_names(names, route_close_channels(w->routes, ask, channel, names), close);
    if (by_suffix)
        error_set(error, ERROR_NO_MODEL, "model", NULL,
                  "The model '%.*s' does not exist: turnpike: there is no channel '%.*s'%s",
                  (int)MIN(ask->model.len, (size_t)CONF_MODEL_NAME_LEN_MAX), ask->model.ptr,
                  STR_ARGS(channel), close);
    else
        error_set(error, ERROR_BAD_REQUEST, "x-turnpike-channel", NULL,
                  "turnpike: there is no channel '%.*s'%s", STR_ARGS(channel), close);
}

static bool
asks_for(const struct conf *conf, struct str name, const struct conf_model *model)
{
    for (size_t i = 0; i < conf->auto_count; i++)
        if (str_eq(conf->autos[i].name, name))
            return true;
    if (str_eq(model->name, name))
        return true;
    for (size_t i = 0; i < model->aliases.count; i++)
        if (str_eq(model->aliases.at[i], name))
            return true;
    return false;
}

static bool
may_use_channel(const struct conf *conf, const struct route_ask *ask, struct str named, size_t idx)
{
    bool among = ask->channel_count == 0 && conf->channels[idx].is_public;

    for (size_t i = 0; i < ask->channel_count; i++)
        among |= ask->channels[i] == idx;
    for (size_t i = 0; i < ask->also_count; i++) {
        bool has = ask->also[i].any_channel;

        for (size_t k = 0; k < ask->also[i].channel_count; k++)
            has |= ask->also[i].channels[k] == idx;
        among = among && has;
    }
    return among && (named.len == 0 || str_eq(named, conf->channels[idx].name));
}

/* An upstream that would serve it, had it its key: that is the operator's to mend, who is told. */
static bool
is_keyless(const struct conf *conf, const struct route_ask *ask, struct str name, struct str channel)
{
    for (size_t c = 0; c < conf->channel_count; c++) {
        const struct conf_channel *of = &conf->channels[c];

        for (size_t u = 0; may_use_channel(conf, ask, channel, c) && u < of->use_count; u++) {
            size_t idx = of->uses[u].upstream_idx;

            for (size_t m = 0; m < conf->model_count; m++) {
                if (!asks_for(conf, name, &conf->models[m]) ||
                    route_upstream_out(conf, idx, m, ask->protocol, ask->service) !=
                        ROUTE_OUT_DISABLED)
                    continue;
                log_warn("route.no-key", "model=%s upstream=%.*s why=%s", log_quote(name),
                         STR_ARGS(conf->upstreams[idx].name),
                         log_quote(str_from(conf->upstreams[idx].disabled_reason)));
                return true;
            }
        }
    }
    return false;
}

static void
route_error(const struct worker *w, enum route_result result, const struct route_ask *ask,
            struct proto_error *error)
{
    struct str behind, model = route_split(w->conf, ask->model, &behind);
    struct str channel = behind.ptr != NULL ? behind : ask->channel_named;

    switch (result) {
    case ROUTE_MODEL_NOT_ALLOWED:
        error_set(error, ERROR_FORBIDDEN, "model", NULL,
                  "turnpike: this %s may not use the model '%.*s'",
                  route_whose_models(w->conf, ask), STR_ARGS(model));
        return;
    case ROUTE_NO_SUCH_CHANNEL:
        no_channel(w, ask, channel, behind.ptr != NULL, error);
        return;
    case ROUTE_TWO_CHANNELS:
        error_set(error, ERROR_BAD_REQUEST, "model", NULL,
                  "turnpike: the model names the channel '%.*s' and the header x-turnpike-channel "
                  "another",
                  STR_ARGS(behind));
        return;
    case ROUTE_CHANNEL_NOT_ALLOWED:
        if (channel.len == 0)
            channel = STR("(none)");
        error_set(error, ERROR_FORBIDDEN,
                  behind.ptr != NULL ? "model" : "x-turnpike-channel", NULL,
                  "turnpike: this %s may not use the channel '%.*s'",
                  route_whose_channels(w->routes, ask), STR_ARGS(channel));
        return;
    case ROUTE_NO_UPSTREAM:
        if (is_keyless(w->conf, ask, model, channel)) {
            error_set(error, ERROR_UNAVAILABLE, "model", NULL,
                      "turnpike: no upstream of the model '%.*s' has its provider's key",
                      STR_ARGS(model));
            return;
        }
        error_set(error, ERROR_NO_MODEL, "model", NULL,
                  "turnpike: the model '%.*s' is not offered through this API on this key's channels",
                  STR_ARGS(model));
        return;
    case ROUTE_NO_FIT:
        error_set(error, ERROR_BAD_REQUEST, "model", NULL,
                  "turnpike: no model that '%.*s' may choose can do what this request needs",
                  STR_ARGS(model));
        return;
    case ROUTE_OK:
    case ROUTE_ALL_DOWN:
    case ROUTE_NO_MODEL:
    case ROUTE_RESULT_COUNT:
        break;
    }
    no_model(w, ask, error);
}

/* ---- the question ---- */

/*
 * What the caller wrote, for the record, where it is not the model's name. Names are never taken out
 * of the region: what callers made up themselves goes in only while there is room enough.
 */
static uint16_t
asked_name(const struct worker *w, const struct route_ask *ask, const struct route_plan *plan)
{
    const struct region_header *header = w->region->header;
    uint32_t used = atomic_load_explicit(&header->name_count, memory_order_relaxed);

    if (str_eq(ask->model, w->conf->models[plan->model_idx].name))
        return 0;
    return used < header->geometry.name_max / 2 ? name_intern(w->region, ask->model)
                                                : name_find(w->region, ask->model);
}

/* Conversations are translated where an upstream does not speak the caller's protocol. */
static enum route_service
service_of(enum proto_endpoint endpoint)
{
    if (proto_is_conversation(endpoint))
        return ROUTE_CHAT;
    return endpoint == ENDPOINT_EMBEDDINGS ? ROUTE_EMBED : ROUTE_NATIVE;
}

/* Room for one, with nobody in it. */
static bool
plan_make(struct call *call)
{
    struct route_plan *plan = arena_alloc(&call->arena, sizeof(*plan));

    if (plan == NULL)
        return false;
    plan->auto_idx = plan->rule_idx = CONF_NONE;
    plan->model_idx = 0;
    plan->candidate_count = 0;
    call->plan = plan;
    return true;
}

/* What the call's key may use, and those beside it let it. */
static bool
rights_read(const struct call *call, const struct key_extra *extra, struct route_key *key,
            struct route_ask *ask)
{
    const struct worker *w = call->worker;
    struct route_quotas quotas;
    bool any = route_quotas_of(w->region, call->key, &quotas);

    return route_key_read(call->key, extra, any ? &quotas : NULL, &w->channel_names, key, ask);
}

bool
choose_route(struct call *call, const struct key_extra *extra, struct str channel,
             struct proto_error *error)
{
    struct worker *w = call->worker;
    uint64_t seed = call_id_seed(call->id);
    struct route_key key;
    struct route_affinity affinity;
    struct route_ask ask = {
        .model = call->ask.model,
        .protocol = (enum conf_protocol)call->protocol,
        .service = service_of((enum proto_endpoint)call->endpoint),
        .channel_named = channel,
        .wall_us = call->start_wall_us,
        .health = feed_look(w),
        .rng_state = &seed,
        .only = kept_only(call),
    };
    enum route_result result = ROUTE_CHANNEL_NOT_ALLOWED;

    if (!plan_make(call)) {
        error_set(error, ERROR_UNAVAILABLE, NULL, NULL, "turnpike: out of memory");
        error->retry_after_s = 1;
        return false;
    }
    if (rights_read(call, extra, &key, &ask)) {
        find_needs(call, &ask);
        if (stay_find(call, &affinity))
            ask.affinity = &affinity;
        result = route_choose(w->routes, &ask, call->plan);
    }
    if (result == ROUTE_NO_UPSTREAM && proto_is_count((enum proto_endpoint)call->endpoint)) {
        ask.service = ROUTE_CHAT;
        result = route_choose(w->routes, &ask, call->plan);
        call->estimates = true;
    }
    if (result != ROUTE_OK && result != ROUTE_ALL_DOWN) {
        if (proto_is_file((enum proto_endpoint)call->endpoint) && result != ROUTE_NO_SUCH_CHANNEL &&
            result != ROUTE_CHANNEL_NOT_ALLOWED) {
            kept_not_offered(call, error);
            return false;
        }
        route_error(w, result, &ask, error);
        return false;
    }
    call->at = &call->plan->candidates[0];
    call->asked_name = asked_name(w, &ask, call->plan);
    return true;
}

enum route_result
choose_at(const struct call *call, const struct key_extra *extra, const struct choose_at *at,
          struct route_plan *plan)
{
    struct worker *w = call->worker;
    uint64_t seed = call_id_seed(call->id);
    struct route_key key;
    struct route_ask ask = {
        .model = at->model,
        .protocol = at->protocol,
        .service = ROUTE_NATIVE,
        .channel_named = at->channel,
        .wall_us = call->start_wall_us,
        .health = feed_look(w),
        .rng_state = &seed,
        .only = at->only,
    };

    if (!rights_read(call, extra, &key, &ask))
        return ROUTE_CHANNEL_NOT_ALLOWED;
    return route_choose(w->routes, &ask, plan);
}

void
choose_head_lines(const struct call *call, struct h1_out *out)
{
    const struct conf *conf = call->worker->conf;
    char text[2 * CONF_MODEL_NAME_LEN_MAX + 2];

    if (call->plan == NULL || call->plan->auto_idx == CONF_NONE)
        return;
    snprintf(text, sizeof text, "%.*s=%.*s", STR_ARGS(conf->autos[call->plan->auto_idx].name),
             STR_ARGS(conf->models[call->plan->model_idx].name));
    h1_out_own(out, "x-turnpike-auto: ", str_from(text));
}

#include "ledger/explain.h"

#include <stdio.h>

#include "base/str.h"

#define PART_BYTES_MAX (8u << 20)

void
part_begin(struct part *part)
{
    buf_init(&part->buf, PART_BYTES_MAX);
    jw_init(&part->jw, &part->buf);
    jw_array(&part->jw);
}

void
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

void
explain_named(struct jw *jw, const char *key, int idx, struct str name)
{
    jw_key(jw, key);
    if (idx == CONF_NONE)
        jw_null(jw);
    else
        jw_str(jw, name);
}

void
explain_price(struct jw *jw, const char *key, uint64_t per_million_u)
{
    jw_key_ucr(jw, key, (int64_t)MIN(per_million_u, (uint64_t)INT64_MAX));
}

static void
tell_model(const struct explain *e, struct jw *jw, const struct route_event *event)
{
    jw_key_str(jw, "model", e->conf->models[event->model_idx].name);
    jw_key_bool(jw, "in", event->out == ROUTE_IN);
    explain_named(jw, "rule", event->rule_idx,
                event->rule_idx == CONF_NONE ? STR_NONE : e->conf->rules[event->rule_idx].name);
    write_why(e, jw, event);
    if (event->out != ROUTE_IN || event->rule_idx != CONF_NONE)
        return;
    /* Parts are millionths of a millionth; to be read, millionths do. */
    jw_key_ucr(jw, "score", (int64_t)(event->score / CONF_MICRO));
    jw_key_ucr(jw, "latency", (int64_t)(event->latency_part / CONF_MICRO));
    jw_key_ucr(jw, "cost", (int64_t)(event->cost_part / CONF_MICRO));
    jw_key_ucr(jw, "quality", (int64_t)(event->quality_part / CONF_MICRO));
    explain_price(jw, "price", event->price / 4);
    jw_key_u64(jw, "time_us", event->time_us);
}

void
explain_event(void *arg, const struct route_event *event)
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
        explain_named(jw, "upstream", event->upstream_idx,
                    event->upstream_idx == CONF_NONE
                        ? STR_NONE
                        : e->conf->upstreams[event->upstream_idx].name);
        write_why(e, jw, event);
    }
    jw_object_end(jw);
    if (event->upstream_idx != CONF_NONE)
        e->told[event->upstream_idx] = true;
}

void
explain_elsewhere(struct explain *e, bool made)
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

void
explain_channels(struct explain *e, const struct route_table *table)
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
                explain_event(e, &event);
        }
    }
}

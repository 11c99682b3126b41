#include "worker/batched.h"

#include "base/str.h"
#include "worker/choose.h"

/* How far a model of that name gets; a file's line may name several, where upstreams rename. */
enum chance {
    CHANCE_GOOD = 0,
    CHANCE_UNPRICED,
    CHANCE_NOT_OFFERED,
    CHANCE_FORBIDDEN,
    CHANCE_UNKNOWN,
};

/* One candidate, of the model itself: not of what a rule would have in its place. */
static bool
keep_own(struct route_plan *plan, uint16_t model_idx, struct str model)
{
    for (size_t i = 0; i < plan->candidate_count; i++) {
        if (plan->candidates[i].model_idx != model_idx ||
            !str_eq(plan->candidates[i].model_sent, model))
            continue;
        plan->candidates[0] = plan->candidates[i];
        plan->candidate_count = 1;
        return plan->model_idx == model_idx;
    }
    return false;
}

static enum chance
try_model(const struct call *call, const struct key_extra *extra, const struct batched *batched,
          uint16_t model_idx, struct route_plan *plan)
{
    const struct choose_at at = {
        .model = call->worker->conf->models[model_idx].name,
        .protocol = (enum conf_protocol)proto_of(batched->endpoint),
        .channel = batched->channel,
        .only = &batched->at,
    };
    enum route_result result = choose_at(call, extra, &at, plan);

    if (result == ROUTE_MODEL_NOT_ALLOWED)
        return CHANCE_FORBIDDEN;
    if ((result != ROUTE_OK && result != ROUTE_ALL_DOWN) ||
        !keep_own(plan, model_idx, batched->model))
        return CHANCE_NOT_OFFERED;
    if (plan->candidates[0].price.model->batched_u == CONF_PRICE_ABSENT)
        return CHANCE_UNPRICED;
    plan->candidates[0].price.service = CONF_SERVICE_BATCHED;
    plan->candidates[0].price.discount = 0;
    return CHANCE_GOOD;
}

static void
say_why(const struct call *call, const struct batched *batched, enum chance chance,
        struct proto_error *error)
{
    const struct str upstream = call->worker->conf->upstreams[batched->at.upstream_idx].name;
    static const char *const why[] = {
        [CHANCE_UNPRICED] = "cannot be batched: its operator states no " CONF_KEY_BATCHED,
        [CHANCE_NOT_OFFERED] = "is not offered there for this endpoint on this key's channels",
        [CHANCE_FORBIDDEN] = "is none that this key may use",
        [CHANCE_UNKNOWN] = "is none that it is known to have under this name; lines are sent as "
                           "they are, so no alias will do",
    };

    error_set(error, ERROR_BAD_REQUEST, batched->is_upload ? "file" : "input_file_id",
              batched->is_upload ? "invalid_batch" : NULL,
              "turnpike: %s: body.model '%.*s' of upstream '%.*s' %s",
              batched->is_upload ? "line 1 of the file" : "the lines of the file",
              STR_ARGS(batched->model), STR_ARGS(upstream), why[chance]);
}

bool
batched_choose(const struct call *call, const struct key_extra *extra,
               const struct batched *batched, struct route_plan *plan, struct proto_error *error)
{
    const struct conf *conf = call->worker->conf;
    const struct conf_upstream *upstream = &conf->upstreams[batched->at.upstream_idx];
    enum chance best = CHANCE_UNKNOWN;

    for (size_t i = 0; i < conf->model_count && best != CHANCE_GOOD; i++) {
        const struct conf_model *model = &conf->models[i];
        enum chance chance;

        if (!conf_upstream_serves(upstream, model) ||
            !str_eq(conf_upstream_model_name(upstream, model), batched->model))
            continue;
        chance = try_model(call, extra, batched, (uint16_t)i, plan);
        best = MIN(best, chance);
    }
    if (best != CHANCE_GOOD)
        say_why(call, batched, best, error);
    return best == CHANCE_GOOD;
}

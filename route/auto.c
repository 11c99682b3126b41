/*
 * Choosing for an auto name: of the models that the key may use, that its channels serve in the
 * caller's protocol, and that can do what the request needs, the one with the highest
 *
 *     latency weight * (shortest / its time)
 *   + cost weight    * (cheapest / its price)
 *   + quality weight * (its quality / 100)
 *
 * where the price is what three tokens of input and one of output cost in the channel that the call
 * would go to, and the time that to the first byte and for 200 tokens of output at the quickest of
 * that channel's upstreams; cheapest and shortest are those of all these models. A time that is not
 * known counts as twice the shortest: neither a reason to choose a model nor one to avoid it for ever.
 * A tie goes to the model that stands first in the file. Models that are down come after all others.
 * Models for embeddings are chosen for embeddings and for nothing else.
 *
 * A conversation that a model has served stays with it, unless the best by score is expected to cost
 * less even though the other's provider has the conversation's beginning in its cache (affine.c).
 */
#include "base/str.h"
#include "route/room.h"

#define LOOKS_KEPT_MAX 128u /* models of an auto that are looked at once only */

bool
auto_has(const struct conf_auto *chooser, const struct conf_model *model)
{
    for (size_t i = 0; i < chooser->models.count; i++)
        if (str_glob(chooser->models.at[i], model->name))
            return true;
    return false;
}

bool
route_auto_has(const struct conf *conf, size_t auto_idx, size_t model_idx)
{
    return auto_has(&conf->autos[auto_idx], &conf->models[model_idx]);
}

enum route_out
fit_out(const struct route_ask *ask, const struct conf_model *model, unsigned *missing)
{
    const struct route_needs *needs = &ask->needs;
    unsigned embeddings = 1u << CONF_CAN_EMBEDDINGS, lacks = needs->can & ~model->can;

    if (missing != NULL)
        *missing = lacks;
    if (model->can & embeddings & ~needs->can)
        return ROUTE_OUT_EMBEDDINGS;
    if (lacks != 0)
        return ROUTE_OUT_NEEDS;
    if (model->context_tokens != 0 &&
        needs->input_tokens + needs->output_tokens > model->context_tokens)
        return ROUTE_OUT_CONTEXT;
    if (model->output_tokens_max != 0 && needs->output_tokens > model->output_tokens_max)
        return ROUTE_OUT_OUTPUT;
    return ROUTE_IN;
}

/* Of the quickest usable upstream of which it is known; 0 of none. */
static uint64_t
expected_us(const struct route_table *table, const struct route_ask *ask,
            const struct route_list *list)
{
    uint64_t best = 0;

    for (size_t i = 0; i < list->count && ask->health != NULL; i++) {
        const struct route_health *health =
            &ask->health[table->entries[list->start + i].credential_idx];
        uint64_t us = health->latency_us + (uint64_t)EXPECTED_TOKENS * health->us_per_token;

        if (!health->down && health->latency_us > 0 && (best == 0 || us < best))
            best = us;
    }
    return best;
}

/* A model, and what there is to say of it. */
struct contender {
    size_t model_idx;
    enum route_result result; /* ROUTE_OK, or ROUTE_ALL_DOWN */
    uint64_t price;
    uint64_t time_us; /* 0 unknown */
    uint16_t channel_idx;
};

/* The best of all that were looked at. */
struct contest {
    const struct route_table *table;
    const struct route_ask *ask;
    const struct channels *channels;
    const struct conf_auto *chooser;
    uint64_t cheapest, shortest_us; /* shortest_us 0: of none is it known */
    enum route_result result;       /* of the best; else why there is none */
    struct contender best;
    uint64_t best_score;
};

static uint64_t
part(int64_t weight_u, uint64_t best, uint64_t own)
{
    return (uint64_t)weight_u * (own <= best ? CONF_MICRO : best * CONF_MICRO / own);
}

static struct route_weights
weights_of(const struct contest *contest)
{
    const struct conf_auto *chooser = contest->chooser;

    if (contest->ask->weights != NULL)
        return *contest->ask->weights;
    return (struct route_weights){chooser->latency_u, chooser->cost_u, chooser->quality_u};
}

static uint64_t
score_of(const struct contest *contest, const struct contender *contender,
         struct route_event *event)
{
    const struct conf_model *model = &contest->table->conf->models[contender->model_idx];
    struct route_weights weights = weights_of(contest);
    /* At most some hours in microseconds: times a million fits. */
    uint64_t time_us = contender->time_us > 0 ? contender->time_us : 2 * contest->shortest_us;

    event->latency_part = part(weights.latency_u, contest->shortest_us, time_us);
    event->cost_part = part(weights.cost_u, contest->cheapest, contender->price);
    event->quality_part =
        (uint64_t)weights.quality_u * (uint64_t)model->quality * (CONF_MICRO / 100);
    event->score = event->latency_part + event->cost_part + event->quality_part;
    event->price = contender->price;
    event->time_us = contender->time_us;
    return event->score;
}

/* May it be chosen at all? */
static enum route_out
contender_look(const struct contest *contest, size_t model_idx, struct contender *out,
               unsigned *missing)
{
    const struct route_table *table = contest->table;
    const struct conf_model *model = &table->conf->models[model_idx];
    uint16_t channel_idx = 0;
    enum route_out why;

    if (!model_allowed(contest->ask, model))
        return ROUTE_OUT_NOT_ALLOWED;
    why = fit_out(contest->ask, model, missing);
    if (why != ROUTE_IN)
        return why;
    out->model_idx = model_idx;
    out->result = channel_choose(table, contest->ask, contest->channels, model_idx, &channel_idx);
    if (out->result == ROUTE_NO_UPSTREAM)
        return ROUTE_OUT_NOT_SERVED;
    out->channel_idx = channel_idx;
    out->price = place_blended(table, contest->ask,
                               &(struct place){(uint16_t)model_idx, channel_idx});
    out->time_us = expected_us(table, contest->ask,
                               list_of(table, channel_idx, model_idx, list_asked(contest->ask)));
    return ROUTE_IN;
}

static void
contend(struct contest *contest, const struct contender *contender, uint64_t score)
{
    bool better = contest->result != ROUTE_OK && contest->result != ROUTE_ALL_DOWN;

    if (!better && contender->result != contest->result)
        better = contender->result == ROUTE_OK;
    else if (!better)
        better = score > contest->best_score;
    if (!better)
        return;
    contest->result = contender->result;
    contest->best = *contender;
    contest->best_score = score;
}

/* Why there is none, when all are out: what is nearest to one. */
static void
nobody(struct contest *contest, enum route_out why)
{
    enum route_result result = ROUTE_MODEL_NOT_ALLOWED;

    if (contest->result == ROUTE_OK || contest->result == ROUTE_ALL_DOWN)
        return;
    if (why == ROUTE_OUT_NOT_SERVED)
        result = ROUTE_NO_UPSTREAM;
    else if (why != ROUTE_OUT_NOT_ALLOWED)
        result = ROUTE_NO_FIT;
    if (result == ROUTE_NO_FIT || contest->result == ROUTE_MODEL_NOT_ALLOWED)
        contest->result = result;
}

/* A model that was looked at. */
struct looked {
    struct contender contender; /* when out is ROUTE_IN */
    enum route_out out;
    unsigned missing;
};

/* What the first look, for the cheapest and the shortest, keeps for the second, which chooses. */
struct looks {
    size_t count;
    size_t rest_idx; /* models from here on were not kept */
    struct looked kept[LOOKS_KEPT_MAX];
};

static void
look(const struct contest *contest, size_t model_idx, struct looked *out)
{
    out->missing = 0;
    out->contender.model_idx = model_idx;
    out->out = contender_look(contest, model_idx, &out->contender, &out->missing);
}

static void
measure(struct contest *contest, const struct looked *looked)
{
    const struct contender *contender = &looked->contender;

    if (looked->out != ROUTE_IN)
        return;
    contest->cheapest = MIN(contest->cheapest, contender->price);
    if (contender->time_us > 0 &&
        (contest->shortest_us == 0 || contender->time_us < contest->shortest_us))
        contest->shortest_us = contender->time_us;
}

static void
look_at_all(struct contest *contest, struct looks *looks)
{
    const struct conf *conf = contest->table->conf;

    looks->count = 0;
    looks->rest_idx = conf->model_count;
    for (size_t i = 0; i < conf->model_count; i++) {
        struct looked other, *looked = &other;

        if (!auto_has(contest->chooser, &conf->models[i]))
            continue;
        if (looks->count < LOOKS_KEPT_MAX)
            looked = &looks->kept[looks->count++];
        else
            looks->rest_idx = MIN(looks->rest_idx, i);
        look(contest, i, looked);
        measure(contest, looked);
    }
}

static void
judge(struct contest *contest, const struct looked *looked)
{
    struct route_event event = {.step = ROUTE_STEP_MODEL,
                                .out = looked->out,
                                .missing = looked->missing,
                                .rule_idx = CONF_NONE,
                                .model_idx = (int)looked->contender.model_idx,
                                .channel_idx = CONF_NONE,
                                .upstream_idx = CONF_NONE};

    if (looked->out == ROUTE_IN)
        contend(contest, &looked->contender, score_of(contest, &looked->contender, &event));
    else
        nobody(contest, looked->out);
    tell(contest->ask, &event);
}

static void
judge_all(struct contest *contest, const struct looks *looks)
{
    const struct conf *conf = contest->table->conf;
    struct looked looked;

    for (size_t i = 0; i < looks->count; i++)
        judge(contest, &looks->kept[i]);
    for (size_t i = looks->rest_idx; i < conf->model_count; i++) {
        if (!auto_has(contest->chooser, &conf->models[i]))
            continue;
        look(contest, i, &looked);
        judge(contest, &looked);
    }
}

/* A conversation stays with its model unless another costs less even without what is in the cache. */
static void
stay(struct contest *contest)
{
    const struct route_affinity *affinity = contest->ask->affinity;
    const struct conf *conf = contest->table->conf;
    struct place best = {(uint16_t)contest->best.model_idx, contest->best.channel_idx}, place;
    struct contender old;
    int64_t cost_ucr;

    if (affinity == NULL || affinity->model_idx == CONF_NONE || contest->result != ROUTE_OK ||
        (size_t)affinity->model_idx == contest->best.model_idx)
        return;
    if (!auto_has(contest->chooser, &contest->table->conf->models[affinity->model_idx]) ||
        contender_look(contest, (size_t)affinity->model_idx, &old, NULL) != ROUTE_IN ||
        old.result != ROUTE_OK)
        return;
    place.model_idx = (uint16_t)affinity->model_idx;
    place.channel_idx = old.channel_idx;
    cost_ucr = affine_cost(conf, contest->ask, &place, false);
    if (affine_place(contest->table, contest->ask, contest->channels, old.model_idx, &place) !=
        CONF_NONE)
        cost_ucr = MIN(cost_ucr, affine_cost(conf, contest->ask, &place, true));
    if (cost_ucr <= affine_cost(conf, contest->ask, &best, false))
        contest->best = old;
}

/* ---- without a trace ---- */

/*
 * The same choice when nobody is told of it, and in a fraction of the time: models are known by the
 * table, a channel and its quickest upstream are found in one walk, and scores are made only of those
 * that may have the most. Floating point decides no more than who cannot.
 */
struct found {
    uint64_t price;
    uint64_t time_us;
    double about; /* its score */
    uint16_t model_idx, channel_idx;
    uint8_t quality;
};

struct quick {
    struct contest *contest;
    const struct route_members *members;
    size_t count;
    struct found found[LOOKS_KEPT_MAX]; /* those that are up */
};

/* False when it is down; else *time_us is the shortest of those that were looked at, as expected_us(). */
static bool
look_at_one(const struct route_health *health, uint64_t *time_us)
{
    uint64_t us = health->latency_us + (uint64_t)EXPECTED_TOKENS * health->us_per_token;

    if (health->down)
        return false;
    if (health->latency_us > 0 && (*time_us == 0 || us < *time_us))
        *time_us = us;
    return true;
}

/* Is any of the list's up? Most have one alone. */
static bool
look_at_list(const struct contest *contest, const struct route_list *list, uint64_t *time_us)
{
    const struct route_entry *entries = &contest->table->entries[list->start];
    const struct route_health *health = contest->ask->health;
    bool up = false;

    *time_us = 0;
    if (health == NULL)
        return true;
    if (list->count == 1)
        return look_at_one(&health[list->first_idx], time_us);
    for (size_t i = 0; i < list->count; i++)
        up |= look_at_one(&health[entries[i].credential_idx], time_us);
    return up;
}

/* Its first channel with an upstream that is up. The price of one that is down counts, too. */
static void
quick_look(struct quick *quick, const struct route_member *member)
{
    struct contest *contest = quick->contest;
    const struct route_table *table = contest->table;
    const struct channels *channels = contest->channels;
    uint16_t model_idx = member->model_idx;
    uint64_t first_price = UINT64_MAX;
    int64_t first_u = -1;

    for (size_t i = 0; i < channels->count; i++) {
        uint16_t channel_idx = channels->at[i];
        struct place place = {model_idx, channel_idx};
        const struct route_list *list;
        uint64_t time_us, price;

        if (channel_idx >= table->conf->channel_count)
            continue;
        list = list_of(table, channel_idx, model_idx, list_asked(contest->ask));
        if (list->count == 0)
            continue;
        if (contest->ask->no_dearer) {
            int64_t u = place_multiplier(table->conf, contest->ask, &place);

            if (first_u >= 0 && u > first_u)
                continue;
            first_u = first_u >= 0 ? first_u : u;
        }
        price = contest->ask->deal_count == 0 ? list->blended
                                              : place_blended(table, contest->ask, &place);
        if (look_at_list(contest, list, &time_us)) {
            struct found *found = &quick->found[quick->count++];

            found->price = price;
            found->time_us = time_us;
            found->model_idx = model_idx;
            found->channel_idx = channel_idx;
            found->quality = member->quality;
            contest->cheapest = MIN(contest->cheapest, price);
            if (time_us > 0 && (contest->shortest_us == 0 || time_us < contest->shortest_us))
                contest->shortest_us = time_us;
            return;
        }
        first_price = first_price != UINT64_MAX ? first_price : price;
    }
    contest->cheapest = MIN(contest->cheapest, first_price);
}

static void
quick_look_at_all(struct quick *quick)
{
    const struct contest *contest = quick->contest;
    const struct route_table *table = contest->table;
    const struct route_ask *ask = contest->ask;
    const struct route_member *members = &table->members[quick->members->start];
    unsigned can = ask->needs.can, never = ~can & 1u << CONF_CAN_EMBEDDINGS;
    uint64_t tokens = ask->needs.input_tokens + ask->needs.output_tokens;

    for (size_t i = 0; i < quick->members->count; i++) {
        const struct route_member *member = &members[i];

        if ((can & ~(unsigned)member->can) != 0 || (member->can & never) != 0 ||
            tokens > member->context || ask->needs.output_tokens > member->output_max ||
            (ask->model_glob_count > 0 &&
             !model_allowed(ask, &table->conf->models[member->model_idx])))
            continue;
        quick_look(quick, member);
    }
}

/* About what score_of() says: what its roundings take away is MARGIN at most. Signed numbers are made
 * floating ones in one step. */
#define MARGIN (2.0 * CONF_MICRO + 16)

static double
part_about(double weight_u, uint64_t best, uint64_t own)
{
    return own <= best ? weight_u * CONF_MICRO
                       : weight_u * CONF_MICRO * (double)(int64_t)best / (double)(int64_t)own;
}

static double
score_about(const struct contest *contest, const struct route_weights *w, const struct found *found)
{
    uint64_t time_us = found->time_us > 0 ? found->time_us : 2 * contest->shortest_us;

    return part_about((double)w->latency_u, contest->shortest_us, time_us) +
           part_about((double)w->cost_u, contest->cheapest, found->price) +
           (double)w->quality_u * found->quality * (CONF_MICRO / 100);
}

static bool
choose_quickly(struct contest *contest, int auto_idx)
{
    struct route_weights w = weights_of(contest);
    struct quick quick; /* not cleared: it is large */
    double most = 0;

    quick.contest = contest;
    quick.members = &contest->table->autos[auto_idx];
    quick.count = 0;
    if (contest->ask->trace != NULL || quick.members->count > LOOKS_KEPT_MAX)
        return false;
    quick_look_at_all(&quick);
    for (size_t i = 0; i < quick.count; i++) {
        quick.found[i].about = score_about(contest, &w, &quick.found[i]);
        most = MAX(most, quick.found[i].about);
    }
    for (size_t i = 0; i < quick.count; i++) {
        const struct found *found = &quick.found[i];
        struct contender contender;
        struct route_event event;

        if (found->about < most - MARGIN)
            continue;
        contender = (struct contender){.model_idx = found->model_idx,
                                       .result = ROUTE_OK,
                                       .price = found->price,
                                       .time_us = found->time_us,
                                       .channel_idx = found->channel_idx};
        contend(contest, &contender, score_of(contest, &contender, &event));
    }
    return quick.count > 0;
}

enum route_result
auto_choose(const struct route_table *table, const struct route_ask *ask,
            const struct channels *channels, int auto_idx, uint16_t *model_idx)
{
    struct contest contest = {
        .table = table,
        .ask = ask,
        .channels = channels,
        .chooser = &table->conf->autos[auto_idx],
        .cheapest = UINT64_MAX,
        .result = ROUTE_MODEL_NOT_ALLOWED,
    };
    struct looks looks;

    if (!choose_quickly(&contest, auto_idx)) {
        contest.cheapest = UINT64_MAX;
        contest.shortest_us = 0;
        look_at_all(&contest, &looks);
        judge_all(&contest, &looks);
    }
    stay(&contest);
    *model_idx = (uint16_t)contest.best.model_idx;
    return contest.result;
}

/*
 * Where a conversation was served last, its provider may have the beginning in a cache, and what is
 * read from there costs a part of what it costs anew. So the place it was served at comes first,
 * before all channels that the key names earlier, as long as it is up, has room, may be used, and the
 * turn is not expected to cost more there: with its context at the cache's price in that channel, than
 * anew in the channel that would serve it otherwise.
 */
#include "base/str.h"
#include "route/room.h"

int
affine_entry(const struct route_ask *ask, const struct route_entry *entries, size_t count)
{
    const struct route_affinity *affinity = ask->affinity;

    for (size_t i = 0; affinity != NULL && i < count; i++)
        if (entries[i].upstream_idx == affinity->upstream_idx &&
            entries[i].credential == affinity->credential)
            return is_full_or_down(ask, &entries[i]) ? CONF_NONE : (int)i;
    return CONF_NONE;
}

int
affine_place(const struct route_table *table, const struct route_ask *ask,
             const struct channels *channels, size_t model_idx, struct place *place)
{
    struct walk walk = {.channels = channels, .model_idx = (uint16_t)model_idx, .quiet = true};

    if (ask->affinity == NULL || ask->affinity->model_idx != (int)model_idx)
        return CONF_NONE;
    while (place_next(table, ask, &walk)) {
        const struct route_list *list =
            list_of(table, walk.place.channel_idx, model_idx, list_asked(ask));
        int entry = affine_entry(ask, &table->entries[list->start], list->count);

        if (entry == CONF_NONE)
            continue;
        *place = walk.place;
        return entry;
    }
    return CONF_NONE;
}

/* Its answer is taken to be as long as any. */
int64_t
affine_cost(const struct conf *conf, const struct route_ask *ask, const struct place *place,
            bool cached)
{
    const struct route_affinity *affinity = ask->affinity;
    struct price price = place_price(conf, ask, place);
    uint64_t input = MAX(ask->needs.input_tokens, affinity->input_tokens);
    uint64_t context = MIN(affinity->context_tokens, (uint64_t)CONF_COUNT_MAX);
    struct price_count count = {.n = {[CONF_OUTPUT] = EXPECTED_TOKENS}};
    int64_t cost_ucr;

    input = MIN(MAX(input, context), (uint64_t)CONF_COUNT_MAX);
    count.n[CONF_CACHE_READ] = cached ? (uint32_t)context : 0;
    count.n[CONF_INPUT] = (uint32_t)input - count.n[CONF_CACHE_READ];
    return price_cost(&price, &count, &cost_ucr) ? cost_ucr : INT64_MAX;
}

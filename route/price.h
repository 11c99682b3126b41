/*
 * What tokens cost, in whole micro-credits. Pure integer arithmetic, nothing here rounds but the
 * one division at the end of a call's price:
 *
 *     cost = ceil(sum over classes of tokens * list price * multiplier / 10^12)
 *
 * with the list price in micro-units of the currency per million tokens, the multiplier in
 * millionths of a credit per unit of currency, and the product in unsigned 128 bits. A result
 * that does not fit, on the way or at the end, is refused and never wraps.
 *
 * The rates are those of the model's highest tier that the call's context reaches, where the
 * context is all that went in: input, cache read and both cache writes. The whole call is priced
 * at that tier.
 */
#ifndef ROUTE_PRICE_H
#define ROUTE_PRICE_H

#include "base/base.h"
#include "conf/conf.h"

/* A model in a channel. Valid as long as the struct conf it was made from. */
struct price {
    const struct conf_model *model;
    int64_t multiplier_u; /* of the channel, for the model's currency */
};

/* Tokens of one call, disjoint. Reasoning is within output. */
struct price_count {
    uint64_t input;
    uint64_t cache_read;
    uint64_t cache_write_5m;
    uint64_t cache_write_1h;
    uint64_t output;
};

struct price price_of(const struct conf_model *model, const struct conf_channel *channel);

/* False when the price does not fit in 63 bits of micro-credits; *cost_ucr is then untouched. */
bool price_cost(const struct price *price, const struct price_count *count,
                int64_t *cost_ucr) MUST_CHECK;

/*
 * The dearest that price_cost() can say of any call with at most so many tokens of input (all
 * four classes together) and output, whatever their classes and tier. False as above.
 */
bool price_worst(const struct price *price, uint64_t input_tokens_max, uint64_t output_tokens_max,
                 int64_t *cost_ucr) MUST_CHECK;

/*
 * The largest count of output tokens whose price_worst() together with that input is at most
 * budget_ucr: what an affordable cap would be. False when even 0 output tokens cost more.
 * UINT32_MAX at most.
 */
bool price_output_for(const struct price *price, uint64_t input_tokens_max, int64_t budget_ucr,
                      uint64_t *output_tokens) MUST_CHECK;

#endif

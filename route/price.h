/*
 * What a call costs, in whole micro-credits. Pure integer arithmetic, nothing here rounds but the
 * one division at the end of a call's price:
 *
 *     cost = ceil(sum over classes of count * list price * factors * multiplier / 10^12)
 *
 * with the list price in micro-units of the currency per million, the multiplier in millionths of a
 * credit per unit of currency, and the product in unsigned 128 bits. A result that does not fit, on
 * the way or at the end, is refused and never wraps; a file whose prices could come to that for
 * counts of up to CONF_COUNT_MAX is not loaded.
 *
 * The rates are those of the model's highest tier that the call's context reaches, where the
 * context is all that went in; of the service tier that served it; and of the discount of the hour
 * in which it was admitted. How these lie over each other: conf/terms.c.
 */
#ifndef ROUTE_PRICE_H
#define ROUTE_PRICE_H

#include "base/base.h"
#include "conf/conf.h"

/* A model in a channel. Valid as long as the struct conf it was made from. */
struct price {
    const struct conf_model *model;
    int64_t multiplier_u; /* of the channel, for the model's currency; by the deal, if there is one */
    uint32_t deal_u;      /* what of it a tenant was promised, in millionths; 0 there is no deal */
    /* Numbers in the model's lists from 1; 0 none. The service is known when it has served; or it is
     * CONF_SERVICE_BATCHED, and then no other comes into it. */
    uint8_t service, discount;
};

/* What one call used, by enum conf_class. */
struct price_count {
    uint32_t n[CONF_CLASS_COUNT];
};

/* What a call can come to before it is made. */
struct price_bounds {
    uint64_t input, output; /* tokens of all kinds */
    uint32_t images, seconds, characters, requests, searches;
};

/* The channel's own, without a deal. */
struct price price_of(const struct conf_model *model, const struct conf_channel *channel);

/* What a multiplier comes to by a deal of up to CONF_FACTOR_MAX_U, rounded up to the millionth; at least 1
 * of those, and CONF_MULTIPLIER_MAX_U at most. 0: it stays what it is. */
int64_t price_by_deal(int64_t multiplier_u, uint32_t deal_u) MUST_CHECK;

/* The discount that holds at this time, as struct price has it. */
uint8_t price_discount_at(const struct conf_model *model, int64_t wall_us);
/* The service of that name, as struct price has it; 0 when the model has none such. */
uint8_t price_service_of(const struct conf_model *model, struct str name);

/* The tier that such a call is priced at, from 1; 0 none. */
unsigned price_tier(const struct price *price, const struct price_count *count);

/* False when the price does not fit in 63 bits of micro-credits; *cost_ucr is then untouched. */
bool price_cost(const struct price *price, const struct price_count *count,
                int64_t *cost_ucr) MUST_CHECK;

/*
 * The dearest that price_cost() can say of any call within the bounds, whatever the classes of its
 * tokens, its tier and the service that serves it; with the price's own discount. False as above.
 */
bool price_worst(const struct price *price, const struct price_bounds *bounds,
                 int64_t *cost_ucr) MUST_CHECK;

/*
 * Can there be a call that costs more at this price than at the other: of some context, served by some
 * service, with tokens of some class? A service that a model has no price for is at its standard price.
 */
bool price_may_be_dearer(const struct price *price, const struct price *other) MUST_CHECK;

/*
 * The largest count of output tokens whose price_worst() together with the other bounds is at most
 * budget_ucr: what an affordable cap would be. False when even 0 output tokens cost more.
 * UINT32_MAX at most.
 */
bool price_output_for(const struct price *price, const struct price_bounds *bounds,
                      int64_t budget_ucr, uint64_t *output_tokens) MUST_CHECK;

/*
 * One line of a receipt, exact: credits as decimal text, of whole credits at most 39 digits and at
 * most 30 decimals, none at the end that is 0. False when it passes 128 bits on the way.
 */
#define PRICE_TEXT_LEN 72
bool price_line(const struct price *price, const struct price_count *count, enum conf_class class,
                char text[PRICE_TEXT_LEN + 1]) MUST_CHECK;
/* The same of all classes together, before the rounding. */
bool price_sum(const struct price *price, const struct price_count *count,
               char text[PRICE_TEXT_LEN + 1]) MUST_CHECK;

/* What the rounding up of that adds. */
bool price_rounding(const struct price *price, const struct price_count *count,
                    char text[PRICE_TEXT_LEN + 1]) MUST_CHECK;

#endif

/* How a charge came about, for a receipt: exact decimals, and where it was rounded. On any thread.
 */
#include "ledger/charge.h"
#include "ledger/query.h"

#include <errno.h>
#include <stdio.h>

#include "base/str.h"
#include "base/ucr.h"

/* A number of so many decimals, without zeros at its end. */
static void
write_decimal(struct jw *jw, const char *key, uint64_t number, unsigned decimals)
{
    uint64_t unit = 1;
    char text[48];
    size_t len;

    for (unsigned i = 0; i < decimals; i++)
        unit *= 10;
    len = (size_t)snprintf(text, sizeof(text), "%llu.%0*llu", (unsigned long long)(number / unit),
                           (int)decimals, (unsigned long long)(number % unit));
    while (text[len - 1] == '0')
        len--;
    len -= text[len - 1] == '.';
    jw_key_str(jw, key, (struct str){text, len});
}

static const char *unit_of(enum conf_class class)
{
    switch (class) {
    case CONF_CHARACTERS: return "1M characters";
    case CONF_IMAGES: return "image";
    case CONF_SECONDS: return "second";
    case CONF_REQUESTS: return "request";
    case CONF_SEARCHES: return "search";
    default: return "1M tokens";
    }
}

static void
write_line(struct jw *jw, const struct price *price, const struct price_count *count,
           enum conf_class class)
{
    struct conf_rate rate = conf_rate_of(price->model, price_tier(price, count), price->service,
                                         price->discount, class);
    bool each = class == CONF_IMAGES || class == CONF_SECONDS || class == CONF_REQUESTS ||
                class == CONF_SEARCHES;
    char amount[PRICE_TEXT_LEN + 1];

    jw_object(jw);
    jw_key_cstr(jw, "class", conf_class_name[class]);
    jw_key_u64(jw, "count", count->n[class]);
    write_decimal(jw, "list", (uint64_t)rate.u_per_mtok, each ? 12 : 6);
    jw_key_cstr(jw, "per", unit_of(class));
    write_decimal(jw, "factor", rate.weight, 12);
    jw_key_cstr(jw, "amount", price_line(price, count, class, amount) ? amount : NULL);
    jw_object_end(jw);
}

static void
write_title(struct jw *jw, const char *key, struct str title)
{
    jw_key(jw, key);
    if (title.ptr != NULL)
        jw_str(jw, title);
    else
        jw_null(jw);
}

static struct str
service_title(const struct price *price)
{
    if (price->service == CONF_SERVICE_BATCHED)
        return STR("batch");
    return price->service > 0 ? price->model->services[price->service - 1].name : STR_NONE;
}

static void
write_layers(struct jw *jw, const struct price *price, const struct price_count *count)
{
    const struct conf_model *model = price->model;
    unsigned tier = price_tier(price, count);

    jw_key_cstr(jw, "currency", conf_currency_name[model->currency]);
    write_decimal(jw, "multiplier", (uint64_t)price->multiplier_u, 6);
    if (price->deal_u != 0) /* the multiplier has it in it */
        write_decimal(jw, "price_factor", price->deal_u, 6);
    write_title(jw, "tier", tier > 0 ? model->tiers[tier - 1].title : STR_NONE);
    write_title(jw, "service", service_title(price));
    write_title(jw, "discount",
                price->discount > 0 ? model->discounts[price->discount - 1].title : STR_NONE);
}

static void
write_sum(struct jw *jw, const struct price *price, const struct price_count *count)
{
    char sum[PRICE_TEXT_LEN + 1], rounding[PRICE_TEXT_LEN + 1];
    int64_t cost_ucr;

    if (!price_sum(price, count, sum) || !price_cost(price, count, &cost_ucr) ||
        !price_rounding(price, count, rounding))
        return;
    jw_key_cstr(jw, "sum", sum);
    jw_key_cstr(jw, "rounding", rounding);
    jw_key_ucr(jw, "cost", cost_ucr);
}

int
query_write_price(struct command *command, const struct block_record *r)
{
    struct charge_book book = {.txn = &command->txn};
    struct price_count count = charge_count(r);
    struct jw *jw = &command->jw;
    struct price price;
    int rc = charge_price(&book, r, &price);

    jw_key(jw, "price");
    jw_object(jw);
    jw_key_cstr(jw, "basis", record_basis_name[r->rec.basis]);
    if (rc == 0) {
        write_layers(jw, &price, &count);
        jw_key(jw, "lines");
        jw_array(jw);
        for (int class = 0; class < CONF_CLASS_COUNT; class ++)
            if (count.n[class] != 0)
                write_line(jw, &price, &count, (enum conf_class)class);
        jw_array_end(jw);
        write_sum(jw, &price, &count);
    }
    jw_object_end(jw);
    charge_book_free(&book);
    return rc == -ENOENT ? 0 : rc;
}

#include "ledger/charge.h"

#include <errno.h>
#include <string.h>

#include "base/str.h"

_Static_assert(RECORD_DEAL_MAX_U == CONF_FACTOR_MAX_U, "any deal can be priced");
_Static_assert((int)RECORD_CLASS_COUNT == (int)CONF_CLASS_COUNT, "one order of classes");

void
charge_book_free(struct charge_book *book)
{
    for (size_t i = 0; i < COUNT_OF(book->tables); i++)
        conf_free(&book->tables[i].prices);
    memset(book->tables, 0, sizeof(book->tables));
}

static int
table_read(struct charge_book *book, uint64_t version, struct charge_table *table)
{
    struct db_key key = db_key_of_u64(version);
    struct str json;
    int rc = db_get(book->txn, DB_PRICE, &key, &json);

    conf_free(&table->prices);
    *table = (struct charge_table){.version = version};
    if (rc < 0)
        return rc;
    table->prices = conf_prices_read(json);
    return table->prices != NULL ? 0 : -ENOENT;
}

static int
table_of(struct charge_book *book, uint64_t version, const struct conf **out)
{
    struct charge_table *oldest = &book->tables[0];
    int rc;

    *out = NULL;
    for (size_t i = 0; i < COUNT_OF(book->tables); i++) {
        struct charge_table *table = &book->tables[i];

        if (table->used != 0 && table->version == version) {
            table->used = ++book->turn;
            *out = table->prices;
            return table->prices != NULL ? 0 : -ENOENT;
        }
        if (table->used < oldest->used)
            oldest = table;
    }
    rc = table_read(book, version, oldest);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    oldest->used = ++book->turn; /* also that there is none is remembered */
    *out = oldest->prices;
    return rc;
}

static struct str
name_of(struct charge_book *book, uint32_t id)
{
    struct db_key key = db_key_of_u32(id);
    struct str text;

    return id != 0 && db_get(book->txn, DB_NAME, &key, &text) == 0 ? text : STR_NONE;
}

int
charge_price(struct charge_book *book, const struct block_record *record, struct price *out)
{
    const struct conf *prices;
    int rc = table_of(book, record->rec.price_version, &prices), model, channel;

    if (rc < 0)
        return rc;
    model = conf_model_index(prices, name_of(book, record->model));
    channel = conf_channel_index(prices, name_of(book, record->channel));
    if (model == CONF_NONE || channel == CONF_NONE)
        return -ENOENT;
    *out = price_of(&prices->models[model], &prices->channels[channel]);
    if ((record->service > out->model->service_count && record->service != CONF_SERVICE_BATCHED) ||
        record->discount > out->model->discount_count)
        return -ENOENT;
    out->multiplier_u = price_by_deal(out->multiplier_u, record->deal_u);
    out->deal_u = record->deal_u;
    out->service = record->service;
    out->discount = record->discount;
    return 0;
}

struct price_count
charge_count(const struct block_record *record)
{
    struct price_count count;

    memcpy(count.n, record->count, sizeof(count.n));
    return count;
}

static bool
is_nothing(const struct block_record *record)
{
    for (size_t i = 0; i < RECORD_CLASS_COUNT; i++)
        if (record->count[i] != 0)
            return false;
    return true;
}

int
charge_again(struct charge_book *book, const struct block_record *record, int64_t *charge_ucr)
{
    struct price_count count = charge_count(record);
    struct price price;
    int64_t cost_ucr;
    int rc;

    *charge_ucr = 0;
    if (record->rec.basis == BASIS_HOLD)
        *charge_ucr = record->amount_ucr;
    if (record->rec.basis == BASIS_HOLD || record->rec.basis == BASIS_NOTHING || is_nothing(record))
        return 0;
    rc = charge_price(book, record, &price);
    if (rc < 0)
        return rc;
    if (!price_cost(&price, &count, &cost_ucr))
        cost_ucr = INT64_MAX;
    /* This slot's part of the call's cost. */
    cost_ucr -= record->rec.before_ucr;
    *charge_ucr = MAX(MIN(cost_ucr, record->amount_ucr), 0);
    return 0;
}

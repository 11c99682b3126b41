#include "ledger/measure.h"

#include "shm/series.h"

#include <string.h>

#define SERIES_DEFAULT 1000u /* where no server is, and so no routes.conf */

static const struct conf_metrics *
asked_for(const struct ledger *ledger)
{
    static const struct conf_metrics none = {.series = SERIES_DEFAULT};

    return ledger->conf != NULL ? &ledger->conf->metrics : &none;
}

/* Who served it; else who was asked last. */
static uint16_t
upstream_of(const struct record *rec)
{
    if (rec->upstream == 0 && rec->attempt_count > 0)
        return rec->attempt[rec->attempt_count - 1].upstream;
    return rec->upstream;
}

/* From its first byte on a stream brings tokens; how fast is what its reader sees. */
static void
measure_tokens(struct series *series, const struct block_record *r)
{
    uint64_t tokens = record_tokens_out(r->count);

    if ((r->rec.flags & RECORD_STREAM) == 0 || r->rec.outcome != OUTCOME_OK || tokens < 2 ||
        r->rec.end_us < r->rec.first_byte_us)
        return;
    series_time(series, SERIES_TOKEN, (r->rec.end_us - r->rec.first_byte_us) / (tokens - 1));
}

static void
measure_call(struct series *series, const struct block_record *r)
{
    const struct record *rec = &r->rec;

    if (rec->protocol < SERIES_PROTOCOLS)
        series_add(&series->calls[rec->protocol][rec->outcome], 1);
    for (unsigned class = 0; class < RECORD_CLASS_COUNT; class ++)
        series_add(&series->count[class], r->count[class]);
    series_add(&series->uncollected_ucr, (uint64_t)rec->uncollected_ucr);
    series_add(&series->operator_ucr, (uint64_t)rec->operator_ucr);
    if (rec->first_byte_us > 0) {
        series_time(series, SERIES_FIRST_BYTE, rec->first_byte_us);
        measure_tokens(series, r);
    }
    if (rec->end_us > 0)
        series_time(series, SERIES_CALL, rec->end_us);
}

/* An extension is money of a call that is counted by its first slot. */
static void
measure_record(struct ledger *ledger, const struct series_key *key, const struct block_record *r)
{
    struct series *series = series_for(ledger->series, key, asked_for(ledger)->series);

    series_add(&series->charge_ucr, (uint64_t)r->charge_ucr);
    if ((r->rec.flags & RECORD_EXTENSION) == 0)
        measure_call(series, r);
}

void
measure_records(struct ledger *ledger, const struct block_record *const *records, uint32_t count)
{
    const struct conf_metrics *asked = asked_for(ledger);

    for (uint32_t i = 0; i < count; i++) {
        const struct block_record *r = records[i];
        const struct batch_item *item =
            CONTAINER_OF((struct block_record *)(uintptr_t)r, struct batch_item, record);
        struct series_key route = {.model = r->rec.model,
                                   .channel = r->rec.channel,
                                   .upstream = upstream_of(&r->rec),
                                   .kind = SERIES_ROUTE};
        struct series_key tenant = {.kind = SERIES_TENANT,
                                    .tenant_id = r->tenant_id,
                                    .key_id = asked->by_key ? r->rec.key_id : 0};

        if (item->account_idx == 0)
            continue; /* of memory that is gone, as the names are that it was for */
        measure_record(ledger, &route, r);
        if (asked->by_tenant || asked->by_key)
            measure_record(ledger, &tenant, r);
        if ((r->rec.flags & RECORD_EXTENSION) == 0)
            series_status(ledger->region, r->rec.protocol, r->rec.http_status);
    }
}

/* ---- once a second ---- */

struct holds {
    uint64_t held, settled;
    int64_t oldest_us; /* start of the oldest one; 0 none */
};

static void
look_at_slot(const struct ledger *ledger, uint32_t t, uint32_t slot, struct holds *holds)
{
    const struct hold_view *view = &ledger->view[t];
    uint64_t word = atomic_load_explicit(&view->slots[slot].state, memory_order_acquire);
    int64_t start_us;

    if (hold_word_state(word) == HOLD_SETTLED)
        holds->settled += !ledger_quarantined(ledger, t, slot, hold_word_generation(word));
    if (hold_word_state(word) != HOLD_HELD)
        return;
    holds->held++;
    /* Another process's word, perhaps not written yet: what cannot be is left out. */
    start_us = view->records[slot].start_wall_us;
    if (start_us > 0 && (holds->oldest_us == 0 || start_us < holds->oldest_us))
        holds->oldest_us = start_us;
}

static void
measure_holds(struct ledger *ledger)
{
    struct holds holds = {0};
    int64_t now_us = ledger_wall_us(ledger), age_us = 0;

    for (uint32_t t = 0; t < LEDGER_TABLES_MAX; t++)
        for (uint32_t s = 0, used = ledger->view_open[t] ? slots_used(&ledger->view[t]) : 0;
             s < used; s++)
            look_at_slot(ledger, t, s, &holds);
    if (holds.oldest_us > 0 && now_us > holds.oldest_us)
        age_us = now_us - holds.oldest_us;
    series_gauge_set(ledger->region, SERIES_HOLDS_OPEN, holds.held);
    series_gauge_set(ledger->region, SERIES_HOLDS_OLDEST_US, (uint64_t)age_us);
    series_gauge_set(ledger->region, SERIES_SETTLED, holds.settled);
}

/* What grows over all ledger processes, of which each counts its own. */
static void
grow(struct ledger *ledger, enum series_gauge gauge, uint64_t now, uint64_t *told)
{
    series_gauge_set(ledger->region, gauge, series_gauge(ledger->region, gauge) + (now - *told));
    *told = now;
}

void
measure_gauges(struct ledger *ledger)
{
    struct db_room room;

    measure_holds(ledger);
    series_gauge_set(ledger->region, SERIES_SET_ASIDE, ledger->quarantine_count);
    grow(ledger, SERIES_AUDIT_FAULTS, ledger->stats.audit_faults, &ledger->faults_told);
    if (ledger->stats.audits != ledger->audits_told)
        series_gauge_set(ledger->region, SERIES_AUDIT_WALL_US, (uint64_t)ledger_wall_us(ledger));
    grow(ledger, SERIES_AUDITS, ledger->stats.audits, &ledger->audits_told);
    if (!db_room(ledger->db, &room))
        return;
    series_gauge_set(ledger->region, SERIES_STORE_BYTES, room.used_bytes);
    series_gauge_set(ledger->region, SERIES_DISK_BYTES, room.disk_bytes);
    series_gauge_set(ledger->region, SERIES_DISK_FREE_BYTES, room.free_bytes);
}

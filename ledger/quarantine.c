/*
 * Slots set aside, since what they say makes no sense: such a slot stays SETTLED, is recorded in the
 * store, shouted about once, and found by every audit until the memory file is gone.
 */
#include "ledger/core.h"

#include "base/jw.h"
#include "base/log.h"
#include "base/str.h"

bool
ledger_quarantined(const struct ledger *ledger, uint32_t table_idx, uint32_t slot,
                   uint64_t generation)
{
    for (uint32_t i = 0; i < ledger->quarantine_count; i++) {
        const struct quarantined *q = &ledger->quarantine[i];

        if (q->table_idx == table_idx && q->slot == slot && q->generation == generation)
            return true;
    }
    return false;
}

/* A transaction of its own, which is no money: when it fails, the next one that matters will too. */
void
ledger_fault_keep(struct ledger *ledger, struct str json)
{
    struct db_tail tail = ledger->tail;
    struct db_key key = db_key_of_u64(++tail.fault_count);
    struct db_txn txn;
    int rc = db_write(ledger->db, &txn);

    if (rc < 0)
        return;
    rc = db_put(&txn, DB_FAULT, &key, json);
    if (rc == 0)
        rc = db_tail_put(&txn, &tail);
    if (rc == 0 && db_commit(&txn) == 0)
        ledger->tail = tail;
    db_end(&txn);
}

static void
slot_fault_keep(struct ledger *ledger, const struct slot_ref *ref, const char *fault)
{
    struct buf doc;
    struct jw jw;

    buf_init(&doc, 4096);
    jw_init(&jw, &doc);
    jw_object(&jw);
    jw_key_cstr(&jw, "what", fault);
    jw_key_u64(&jw, "table", ref->table_idx);
    jw_key_u64(&jw, "slot", ref->slot);
    jw_key_u64(&jw, "generation", ref->generation);
    jw_key_time(&jw, "time", ledger_wall_us(ledger));
    jw_object_end(&jw);
    if (!doc.failed)
        ledger_fault_keep(ledger, buf_str(&doc));
    buf_free(&doc);
}

void
ledger_quarantine(struct ledger *ledger, const struct slot_ref *ref, const char *fault)
{
    ASSERT(fault != NULL);
    if (ledger_quarantined(ledger, ref->table_idx, ref->slot, ref->generation))
        return;
    log_error("slot.fault", "table=%u slot=%u generation=%llu what=%s", ref->table_idx, ref->slot,
              (unsigned long long)ref->generation, log_quote(str_from(fault)));
    if (ledger->quarantine_count == LEDGER_QUARANTINE_MAX)
        return; /* it stays where it is and is looked at again: slow, but nothing is lost */
    ledger->quarantine[ledger->quarantine_count++] = (struct quarantined){
        .table_idx = ref->table_idx,
        .slot = ref->slot,
        .generation = ref->generation,
        .fault = fault,
    };
    slot_fault_keep(ledger, ref, fault);
}

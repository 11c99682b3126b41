/*
 * The audit: do the books balance?
 *
 * In memory, here, on the main thread between batches: every account's word is what deposits, charges
 * and holds make it (a recount with a comparison, so exact under load), every budget's word likewise,
 * no slot stands aside as faulty. In the store: ledger/audit_store.c. A sample of both every ten
 * seconds.
 */
#include "ledger/audit.h"
#include "ledger/command.h"
#include "ledger/core.h"
#include "ledger/credit.h"
#include "ledger/quota.h"
#include "ledger/windows.h"

#include "base/log.h"
#include "base/str.h"
#include "shm/call_id.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_TRIES 5
#define SAMPLE_BLOCKS 4096

void
audit_fault(struct audit *audit, const char *what, uint64_t id, int64_t expected_ucr,
            int64_t found_ucr)
{
    if (audit->fault_count == AUDIT_FAULTS_MAX) {
        audit->faults_unlisted++;
        return;
    }
    audit->faults[audit->fault_count++] = (struct audit_fault){
        .what = what, .id = id, .expected_ucr = expected_ucr, .found_ucr = found_ucr};
}

/* ---- memory ---- */

struct differs {
    struct ledger *ledger;
    struct audit *audit; /* NULL: only the log and the store are told */
    uint64_t count;
    struct audit_fault first[16]; /* to be written down once the words are free again */
};

static void
on_differs(void *arg, const char *what, uint64_t id, int64_t expected_ucr, int64_t found_ucr)
{
    struct differs *differs = arg;

    log_error("audit.differs", "what=%s id=%llu expected_ucr=%lld found_ucr=%lld", what,
              (unsigned long long)id, (long long)expected_ucr, (long long)found_ucr);
    if (differs->count < COUNT_OF(differs->first))
        differs->first[differs->count] = (struct audit_fault){
            .what = what, .id = id, .expected_ucr = expected_ucr, .found_ucr = found_ucr};
    differs->count++;
    differs->ledger->stats.audit_faults++;
    if (differs->audit != NULL)
        audit_fault(differs->audit,
                    strcmp(what, "budget") == 0 ? "budget in memory" : "account in memory", id,
                    expected_ucr, found_ucr);
}

static void
keep_differences(struct differs *differs)
{
    uint64_t count = MIN(differs->count, COUNT_OF(differs->first));

    for (uint64_t i = 0; i < count; i++) {
        struct buf doc;
        struct jw jw;

        buf_init(&doc, 4096);
        jw_init(&jw, &doc);
        jw_object(&jw);
        jw_key_cstr(&jw, "what", differs->first[i].what);
        jw_key_u64(&jw, "id", differs->first[i].id);
        jw_key_i64(&jw, "expected_ucr", differs->first[i].expected_ucr);
        jw_key_i64(&jw, "found_ucr", differs->first[i].found_ucr);
        jw_key_time(&jw, "time", ledger_wall_us(differs->ledger));
        jw_object_end(&jw);
        if (!doc.failed)
            ledger_fault_keep(differs->ledger, buf_str(&doc));
        buf_free(&doc);
    }
}

/* All accounts and budgets, chunk by chunk, with a commit in between so that none waits long. */
static int
check_all(struct ledger *ledger, struct recount_sum *sum, struct differs *differs, bool *busy)
{
    uint32_t account = 1, budget = 1, tries = 0;
    int rc = 0;

    *busy = false;
    while (account != 0 || budget != 0) {
        uint32_t account_at = account, budget_at = budget;

        rc = recount_check(ledger, &account, &budget, sum, on_differs, differs);
        if (rc == -EAGAIN && ++tries < BUSY_TRIES) {
            account = account_at;
            budget = budget_at;
            continue;
        }
        *busy = *busy || rc == -EAGAIN;
        tries = 0;
        if (rc < 0 && rc != -EAGAIN)
            return rc;
        rc = ledger_commit_all(ledger);
        if (rc < 0)
            return rc;
    }
    keep_differences(differs);
    return 0;
}

static int
audit_prepare(struct command *command)
{
    struct ledger *ledger = command->ledger;
    struct audit *audit = arena_zalloc(&command->arena, sizeof(*audit));
    struct differs differs = {.ledger = ledger, .audit = audit};
    bool busy;
    int rc;

    if (audit == NULL)
        return -ENOMEM;
    command->state = audit;
    rc = recount_dead_tables(ledger);
    if (rc == 0)
        rc = ledger_commit_all(ledger);
    if (rc == 0)
        rc = check_all(ledger, &audit->sum, &differs, &busy);
    if (rc < 0)
        return rc;
    if (busy)
        audit_fault(audit, "some accounts could not be looked at", 0, 0, 0);
    (void)ledger_open_slots(ledger, &audit->open_holds, &audit->settled);
    for (uint32_t i = 0; i < ledger->quarantine_count; i++)
        audit_fault(audit, ledger->quarantine[i].fault, ledger->quarantine[i].table_idx, 0, 0);
    audit->quarantined = ledger->quarantine_count;
    return 0;
}

int
audit_all_accounts(struct ledger *ledger, uint64_t *differing)
{
    struct differs differs = {.ledger = ledger};
    struct recount_sum sum = {0};
    bool busy;
    int rc = check_all(ledger, &sum, &differs, &busy);

    *differing = differs.count;
    ledger->stats.audits++;
    return rc;
}

/* ---- the command ---- */

static void
write_fault(struct jw *jw, const struct audit_fault *fault)
{
    char call[CALL_ID_LEN + 1];

    jw_object(jw);
    jw_key_cstr(jw, "what", fault->what);
    jw_key_u64(jw, "id", fault->id);
    if (fault->has_call) {
        call_id_text(fault->call_id, call);
        jw_key_cstr(jw, "call", call);
    }
    if (fault->expected_ucr != fault->found_ucr) {
        jw_key_ucr(jw, "expected", fault->expected_ucr);
        jw_key_ucr(jw, "found", fault->found_ucr);
    }
    jw_object_end(jw);
}

static int
write_accounts(struct command *command)
{
    struct jw *jw = &command->jw;
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    db_key_start(&from);
    rc = db_walk_start(&command->txn, DB_WALLET, &from, 0, &walk);
    jw_key(jw, "accounts");
    jw_array(jw);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        struct db_wallet wallet;

        if (value.len != sizeof(wallet)) {
            rc = -EILSEQ;
            break;
        }
        memcpy(&wallet, value.ptr, sizeof(wallet));
        jw_object(jw);
        credit_write(command, db_u32(key, 0), &wallet);
        jw_object_end(jw);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    jw_array_end(jw);
    return rc;
}

static int
audit_run(struct command *command)
{
    struct audit *audit = command->state;
    struct jw *jw = &command->jw;
    uint64_t records = 0;
    int rc;

    audit->replay = js_bool(js_get(command->args, STR("replay")), false);
    rc = audit_store(&command->txn, audit, &records);
    if (rc == -EILSEQ || rc == -EOVERFLOW)
        audit_fault(audit, "a record of the store cannot be read", 0, 0, 0);
    else if (rc < 0)
        return rc;
    if (audit->sum.deposited_ucr !=
        audit->sum.available_ucr + audit->sum.held_ucr + audit->sum.spent_ucr)
        audit_fault(audit, "sums", 0, audit->sum.deposited_ucr,
                    audit->sum.available_ucr + audit->sum.held_ucr + audit->sum.spent_ucr);
    jw_key_bool(jw, "ok", audit->fault_count == 0);
    jw_key_ucr(jw, "deposited", audit->sum.deposited_ucr);
    jw_key_ucr(jw, "available", audit->sum.available_ucr);
    jw_key_ucr(jw, "held", audit->sum.held_ucr);
    jw_key_ucr(jw, "spent", audit->sum.spent_ucr);
    jw_key_u64(jw, "journal_lag", audit->settled);
    jw_key_u64(jw, "open_holds", audit->open_holds);
    jw_key_u64(jw, "tenants", audit->sum.accounts);
    jw_key_u64(jw, "records", records);
    jw_key_u64(jw, "records_dropped", audit->dropped);
    jw_key_u64(jw, "log_entries", audit->log_entries);
    if (audit->replay) {
        jw_key_u64(jw, "replayed", audit->replayed);
        jw_key_u64(jw, "differing", audit->differing);
    }
    jw_key(jw, "faults");
    jw_array(jw);
    for (uint32_t i = 0; i < audit->fault_count; i++)
        write_fault(jw, &audit->faults[i]);
    jw_array_end(jw);
    if (audit->faults_unlisted > 0)
        jw_key_u64(jw, "faults_unlisted", audit->faults_unlisted);
    return js_bool(js_get(command->args, STR("accounts")), false) ? write_accounts(command) : 0;
}

const struct command_def command_audit_defs[] = {
    {.name = "audit", .kind = COMMAND_READ, .run = audit_run, .prepare = audit_prepare},
    {.name = NULL},
};

/* ---- every ten seconds ---- */

static int
sample_blocks(struct ledger *ledger)
{
    struct db_key from = db_key_of_u64(ledger->audit_block_key + 1);
    struct db_walk walk;
    struct db_txn txn;
    struct str key, value;
    int rc = db_read(ledger->db, &txn);

    if (rc < 0)
        return rc;
    rc = db_walk_start(&txn, DB_BLOCK, &from, 0, &walk);
    for (int n = 0; rc == 0 && n < SAMPLE_BLOCKS && db_walk_next(&walk, &key, &value); n++) {
        uint8_t hash[HASH_LEN];
        struct block block;

        if (block_open(value, &block) < 0 || block_verify(&block, hash) < 0 ||
            memcmp(block.head.prev_hash, ledger->audit_block_hash, HASH_LEN) != 0) {
            log_error("audit.block", "key=%llu what=%s", (unsigned long long)db_u64(key, 0),
                      "damaged-or-chain-broken");
            ledger->stats.audit_faults++;
        } else {
            memcpy(ledger->audit_block_hash, hash, HASH_LEN);
        }
        ledger->audit_block_key = db_u64(key, 0);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    db_end(&txn);
    return rc;
}

int
audit_sample(struct ledger *ledger)
{
    struct differs differs = {.ledger = ledger};
    struct recount_sum sum = {0};
    int rc;

    ledger->stats.audits++;
    if (ledger->audit_cursor == 0)
        ledger->audit_cursor = 1;
    if (ledger->audit_budget_cursor == 0)
        ledger->audit_budget_cursor = 1;
    rc = recount_check(ledger, &ledger->audit_cursor, &ledger->audit_budget_cursor, &sum,
                       on_differs, &differs);
    if (rc == -EAGAIN)
        rc = 0;
    keep_differences(&differs);
    if (rc == 0)
        rc = sample_blocks(ledger);
    if (rc == 0)
        rc = quota_sample(ledger);
    if (rc == 0)
        rc = publish_sweep_old(ledger);
    return rc == 0 ? windows_refresh(ledger) : rc;
}

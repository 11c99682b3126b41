/*
 * The receipt of a call: its records, found by the minute in its ID and the blocks of that minute. On
 * any thread.
 */
#include "ledger/core.h"
#include "ledger/cut.h"
#include "ledger/grant.h"
#include "ledger/query.h"

#include "base/clock.h"
#include "base/str.h"
#include "base/ucr.h"
#include "shm/call_id.h"

#include <errno.h>
#include <string.h>

#define US_PER_MINUTE INT64_C(60000000)
#define PAID_MAX 64u /* of a call with more than so many payers the others are counted as the wallet's */

/* A call as it stands in the store: its first slot's record, and the money of all its slots. */
struct receipt {
    struct block_record record;
    int64_t held_ucr, charge_ucr, uncollected_ucr;
    struct block_paid paid[PAID_MAX]; /* of all its slots, each payer once */
    uint32_t paid_count;
    bool found; /* its first slot; an extension alone is a call that runs still */
    /* For the look into memory between the two looks into the store. */
    uint8_t id[16];
    uint32_t tenant_id; /* 0: whoever's it is */
    bool runs;
};

static void
receipt_paid(struct receipt *receipt, const struct block_record *record)
{
    for (uint32_t i = 0; i < record->paid_count; i++) {
        const struct block_paid *paid = &record->paid[i];
        uint32_t at = 0;

        while (at < receipt->paid_count && (receipt->paid[at].kind != paid->kind ||
                                            receipt->paid[at].number != paid->number))
            at++;
        if (at == PAID_MAX)
            return;
        if (at == receipt->paid_count)
            receipt->paid[receipt->paid_count++] = (struct block_paid){paid->kind, paid->number, 0};
        receipt->paid[at].ucr += paid->ucr; /* no more than the charges, which were added */
    }
}

static int
receipt_from_block(const struct block *block, const uint8_t id[16], uint32_t tenant_id,
                   struct receipt *receipt)
{
    struct block_record record;
    int rc = 0;

    for (uint32_t nth = 0; (rc = block_find(block, id, tenant_id, nth, &record)) == 0; nth++) {
        if (!ucr_add(receipt->held_ucr, record.amount_ucr, &receipt->held_ucr) ||
            !ucr_add(receipt->charge_ucr, record.charge_ucr, &receipt->charge_ucr))
            return -EILSEQ;
        receipt_paid(receipt, &record);
        if (record.rec.flags & RECORD_EXTENSION)
            continue;
        receipt->record = record;
        receipt->uncollected_ucr = record.rec.uncollected_ucr;
        receipt->found = true;
    }
    return rc == -ENOENT ? 0 : rc;
}

/*
 * Blocks that hold calls of that minute, from the call's start on. A call with one slot is done with the
 * block that has it; the slots of an extended one may be in two.
 */
static int
find_in_minute(struct command *command, uint32_t minute, const uint8_t id[16], uint32_t tenant_id,
               struct receipt *receipt)
{
    uint64_t block_key = (uint64_t)call_id_wall_us(id);
    uint32_t after = 0; /* blocks read since it was found */
    int rc;

    while ((rc = db_minute_next(&command->txn, minute, block_key, &block_key)) == 0) {
        struct db_key key = db_key_of_u64(block_key++);
        struct block block;
        struct str bytes;

        rc = db_get(&command->txn, DB_BLOCK, &key, &bytes);
        if (rc == 0)
            rc = block_open(bytes, &block);
        if (rc == 0)
            rc = receipt_from_block(&block, id, tenant_id, receipt);
        if (rc < 0)
            return rc == -ENOENT ? -EILSEQ : rc;
        if (receipt->found &&
            (!(receipt->record.rec.flags & RECORD_EXTENDED) || ++after > 64))
            return 0;
    }
    return rc == -ENOENT ? 0 : rc;
}

/* What a grant was given for; a plan is a plan. */
static const char *
payer_name(struct command *command, const struct block_paid *paid)
{
    struct db_key key = db_key_of_u64(paid->number);
    struct db_grant grant;

    if (paid->kind != BOOK_GRANT ||
        db_get_fixed(&command->txn, DB_GRANT, &key, &grant, sizeof(grant)) < 0 ||
        grant.source >= PROMOTION_COUNT)
        return paid->kind < BOOK_KIND_COUNT ? book_kind_name[paid->kind] : "unknown";
    return promotion_name[grant.source];
}

/* Who paid the charge, in the order in which they were asked; what is left of it the wallet. */
static void
write_paid(struct command *command, const struct receipt *receipt)
{
    struct jw *jw = &command->jw;
    int64_t rest_ucr = receipt->charge_ucr;

    jw_key(jw, "paid");
    jw_array(jw);
    for (uint32_t i = 0; i < receipt->paid_count; i++) {
        const struct block_paid *paid = &receipt->paid[i];

        jw_object(jw);
        jw_key_cstr(jw, "from", payer_name(command, paid));
        jw_key_u64(jw, "number", paid->number);
        jw_key_ucr(jw, "amount", paid->ucr);
        jw_object_end(jw);
        rest_ucr -= paid->ucr;
    }
    if (rest_ucr > 0) {
        jw_object(jw);
        jw_key_cstr(jw, "from", book_kind_name[BOOK_WALLET]);
        jw_key_ucr(jw, "amount", rest_ucr);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

static int
refuse_running(struct command *command)
{
    command_refuse(command, COMMAND_BUSY, "the call has not ended yet");
    command_hint(command, "a call is recorded when it has ended");
    return 0;
}

/* A call that began before the last of the dropped records was committed may have had one. */
static int
refuse_absent(struct command *command, struct str text, const uint8_t id[16])
{
    char until[RFC3339_LEN + 1];
    struct cut cut;
    int rc = cut_load(&command->txn, &cut);

    if (rc < 0)
        return rc;
    command_absent(command);
    if (cut.number == 0 || (uint64_t)call_id_wall_us(id) > cut.block_key) {
        command_refuse(command, COMMAND_FAILED, "there is no call %.*s", STR_ARGS(text));
        command_hint(command, "a call is recorded when it has ended");
        return 0;
    }
    clock_rfc3339((int64_t)cut.block_key, until);
    command_refuse(command, COMMAND_FAILED,
                   "the record of %.*s is not kept any more: those up to %.19sZ were dropped",
                   STR_ARGS(text), until);
    command_hint(command, "retention in routes.conf says how long they are kept");
    return 0;
}

static int
call_show(struct command *command)
{
    struct receipt *receipt = arena_zalloc(&command->arena, sizeof(*receipt));
    const struct receipt *before = command->state;
    uint32_t tenant_id, only_member, minute, minutes[3];
    uint8_t id[16];
    struct str text;
    int rc = 0;

    if (receipt == NULL)
        return -ENOMEM;
    if (!command_str(command, "id", true, &text) ||
        !command_tenant(command, "tenant", false, &tenant_id) ||
        !command_id(command, "only_member", false, &only_member))
        return 0;
    if (!call_id_parse(text, id)) {
        command_refuse(command, COMMAND_USAGE, "\"%.*s\" is not a call's ID",
                       (int)MIN(text.len, 48u), text.ptr);
        command_hint(command, "it is in the x-request-id of the answer and starts with call_");
        return 0;
    }
    minute = (uint32_t)(call_id_wall_us(id) / US_PER_MINUTE);
    /* Its start is taken a moment before or after the ID is made. */
    minutes[0] = minute;
    minutes[1] = minute + 1;
    minutes[2] = minute - MIN(minute, 1u);
    for (unsigned i = 0; rc == 0 && !receipt->found && i < COUNT_OF(minutes); i++) {
        memset(receipt, 0, sizeof(*receipt));
        rc = find_in_minute(command, minutes[i], id, tenant_id, receipt);
    }
    if (rc < 0)
        return rc;
    /* Who sees only their own is told the same of another's as of one that never was. */
    if (receipt->found && only_member != 0 && receipt->record.rec.member_id != only_member)
        return refuse_absent(command, text, id);
    if (receipt->found) {
        query_write_record(command, &receipt->record, receipt->held_ucr, receipt->charge_ucr,
                           receipt->uncollected_ucr);
        write_paid(command, receipt);
        rc = query_write_price(command, &receipt->record);
        query_write_attempts(command, &receipt->record);
        return rc;
    }
    /* Perhaps it was settled a moment ago: the caller commits and asks again, once. */
    if (before == NULL) {
        command->missed = true;
        memcpy(receipt->id, id, sizeof(id));
        receipt->tenant_id = tenant_id;
        command->state = receipt;
        return 0;
    }
    return before->runs ? refuse_running(command) : refuse_absent(command, text, id);
}

/* A worker has it under way: or has settled it since everything that was settled was committed. */
static bool
call_runs(const struct ledger *ledger, const struct receipt *receipt)
{
    for (uint32_t t = 0; t < LEDGER_TABLES_MAX; t++) {
        const struct hold_view *view = &ledger->view[t];

        for (uint32_t s = 0, used = ledger->view_open[t] ? slots_used(view) : 0; s < used; s++) {
            uint64_t word = atomic_load_explicit(&view->slots[s].state, memory_order_acquire);
            uint32_t account_idx =
                atomic_load_explicit(&view->slots[s].account_idx, memory_order_relaxed);

            if ((hold_word_state(word) == HOLD_HELD || hold_word_state(word) == HOLD_SETTLED) &&
                memcmp(view->records[s].call_id, receipt->id, sizeof(receipt->id)) == 0 &&
                !ledger_quarantined(ledger, t, s, hold_word_generation(word)))
                return receipt->tenant_id == 0 ||
                       id_map_get(&ledger->tenant_of_account, account_idx) == receipt->tenant_id;
        }
    }
    return false;
}

static int
call_show_prepare(struct command *command)
{
    struct receipt *receipt = command->state;
    int rc = ledger_commit_all(command->ledger);

    if (rc == 0)
        receipt->runs = call_runs(command->ledger, receipt);
    return rc;
}

const struct command_def command_call_defs[] = {
    {.name = "call.show", .kind = COMMAND_READ, .run = call_show, .prepare = call_show_prepare,
     .prepare_on_miss = true},
    {.name = NULL},
};

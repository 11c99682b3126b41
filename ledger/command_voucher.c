/*
 * Commands about redemption codes (ledger/voucher.h): batches of them, made, listed, voided; and redeeming one.
 *
 * To redeem is one transaction: the code's entry goes, the credit comes. Of two at once, the second finds nothing. A
 * code that is unknown, was redeemed, is void or too old is refused with the same words; so many refused tries an hour
 * a tenant has, and no more.
 */
#include "ledger/command_page.h"

#include "base/rng.h"
#include "base/ucr.h"
#include "ledger/brief.h"
#include "ledger/core.h"
#include "ledger/doc.h"
#include "ledger/entity.h"
#include "ledger/grant.h"
#include "ledger/voucher.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HOUR_US INT64_C(3600000000)
#define DAY_US (24 * HOUR_US)
#define LABEL_LEN_MAX 96
#define CODES_MAX 10000u /* of a batch */
#define DAYS_MAX 3660u
#define TRIES_AN_HOUR 20u

struct batch {
    uint32_t id;
    char label[LABEL_LEN_MAX + 1];
    int64_t amount_ucr; /* of each code */
    int64_t created_us;
    int64_t expires_us;  /* of the codes; 0: never */
    uint32_t days;       /* the credit expires so long after; 0: never */
    uint32_t per_tenant; /* so many codes a tenant may redeem; 0: any number */
    uint32_t count, used, voided;
};

/* ---- keeping ---- */

static int
batch_get(struct db_txn *txn, uint32_t id, struct batch *out)
{
    struct js_value doc;
    int rc = doc_get_id(txn, DB_VOUCHER_BATCH, id, &doc);

    if (rc < 0)
        return rc;
    *out = (struct batch){
        .id = id,
        .amount_ucr = doc_i64(doc, STR("amount_ucr")),
        .created_us = doc_i64(doc, STR("created_us")),
        .expires_us = doc_i64(doc, STR("expires_us")),
        .days = doc_u32(doc, STR("days")),
        .per_tenant = doc_u32(doc, STR("per_tenant")),
        .count = doc_u32(doc, STR("count")),
        .used = doc_u32(doc, STR("used")),
        .voided = doc_u32(doc, STR("voided")),
    };
    doc_text(doc, STR("label"), out->label, sizeof(out->label));
    return 0;
}

static int
batch_put(struct db_txn *txn, const struct batch *b)
{
    struct doc doc;

    doc_start(&doc);
    jw_key_cstr(&doc.jw, "label", b->label);
    jw_key_i64(&doc.jw, "amount_ucr", b->amount_ucr);
    jw_key_i64(&doc.jw, "created_us", b->created_us);
    jw_key_i64(&doc.jw, "expires_us", b->expires_us);
    jw_key_u64(&doc.jw, "days", b->days);
    jw_key_u64(&doc.jw, "per_tenant", b->per_tenant);
    jw_key_u64(&doc.jw, "count", b->count);
    jw_key_u64(&doc.jw, "used", b->used);
    jw_key_u64(&doc.jw, "voided", b->voided);
    return doc_put_id(txn, DB_VOUCHER_BATCH, b->id, &doc);
}

static struct db_key
pair_key(uint32_t batch, uint32_t second)
{
    struct db_key key = db_key_of_u32(batch);

    db_key_u32(&key, second);
    return key;
}

static struct db_key
hash_key(const uint8_t hash[HASH_LEN])
{
    struct db_key key;

    db_key_start(&key);
    for (size_t i = 0; i < HASH_LEN; i++)
        db_key_u8(&key, hash[i]);
    return key;
}

static struct str
key_str(const struct db_key *key)
{
    return (struct str){(const char *)key->bytes, key->len};
}

static int
open_put(struct db_txn *txn, uint32_t batch, uint32_t number, const uint8_t hash[HASH_LEN])
{
    struct db_key by_hash = hash_key(hash), by_number = pair_key(batch, number);
    int rc = db_put_new(txn, DB_VOUCHER, &by_hash, key_str(&by_number));

    return rc < 0 ? rc : db_put_new(txn, DB_VOUCHER_OPEN, &by_number, key_str(&by_hash));
}

static int
open_delete(struct db_txn *txn, uint32_t batch, uint32_t number, const uint8_t hash[HASH_LEN])
{
    struct db_key by_hash = hash_key(hash), by_number = pair_key(batch, number);
    int rc = db_delete(txn, DB_VOUCHER, &by_hash);

    if (rc == 0)
        rc = db_delete(txn, DB_VOUCHER_OPEN, &by_number);
    return rc == -ENOENT ? -EILSEQ : rc;
}

/* ---- showing ---- */

static void
write_batch(struct command *command, const struct batch *b)
{
    struct jw *jw = &command->jw;

    jw_key_u64(jw, "batch", b->id);
    jw_key_cstr(jw, "label", b->label);
    jw_key_ucr(jw, "amount", b->amount_ucr);
    jw_key_time(jw, "created", b->created_us);
    if (b->expires_us != 0) {
        jw_key_time(jw, "expires", b->expires_us);
    } else {
        jw_key(jw, "expires");
        jw_null(jw);
    }
    jw_key_u64(jw, "days", b->days);
    jw_key_u64(jw, "per_tenant", b->per_tenant);
    jw_key_u64(jw, "count", b->count);
    jw_key_u64(jw, "used", b->used);
    jw_key_u64(jw, "voided", b->voided);
    jw_key_u64(jw, "left", b->count - b->used - b->voided);
}

static int
batch_arg(struct command *command, struct batch *out)
{
    uint32_t id;
    int rc;

    if (!command_id(command, "batch", true, &id))
        return 0;
    rc = batch_get(&command->txn, id, out);
    if (rc == -ENOENT) {
        command_refuse(command, COMMAND_FAILED, "there is no batch %u", id);
        command_absent(command);
        return 0;
    }
    return rc;
}

/* ---- making ---- */

static bool
out_of_range(struct command *command, const char *field, const char *why)
{
    command_refuse_field(command, COMMAND_USAGE, "out_of_range", field, "%s: %s", field, why);
    return false;
}

static bool
create_args(struct command *command, struct batch *b)
{
    struct str label;

    if (!command_credits(command, "amount", true, &b->amount_ucr) || !command_u32(command, "count", &b->count) ||
        !command_time(command, "expires", &b->expires_us) || !command_u32(command, "days", &b->days) ||
        !command_u32(command, "per_tenant", &b->per_tenant) || !command_str(command, "label", false, &label))
        return false;
    if (label.len > LABEL_LEN_MAX || (label.len > 0 && !entity_text_ok(label, LABEL_LEN_MAX))) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "label",
                             "label: up to %d bytes, no control characters", LABEL_LEN_MAX);
        return false;
    }
    str_copy(label, b->label, sizeof(b->label));
    b->count = command_has(command, "count") ? b->count : 1;
    b->per_tenant = command_has(command, "per_tenant") ? b->per_tenant : 1;
    b->created_us = ledger_wall_us(command->ledger);
    if (b->amount_ucr <= 0)
        return out_of_range(command, "amount", "a code is worth more than 0");
    if (b->amount_ucr > ACCOUNT_UCR_MAX / CODES_MAX)
        return out_of_range(command, "amount", "that is more than a code may be worth");
    if (b->count < 1 || b->count > CODES_MAX)
        return out_of_range(command, "count", "1 to 10000 codes at a time");
    if (b->days > DAYS_MAX)
        return out_of_range(command, "days", "at most 3660");
    if (b->expires_us != 0 && b->expires_us <= b->created_us)
        return out_of_range(command, "expires", "that is past");
    return true;
}

static int
make_codes(struct command *command, const struct batch *b)
{
    struct jw *jw = &command->jw;
    int rc = 0;

    jw_key(jw, "codes");
    jw_array(jw);
    for (uint32_t number = 1; rc == 0 && number <= b->count; number++) {
        char text[VOUCHER_TEXT_LEN + 1];
        uint8_t code[VOUCHER_BYTES], hash[HASH_LEN];

        rng_bytes(code, sizeof(code));
        voucher_hash(command->ledger->key_hash_key, code, hash);
        voucher_text(code, text);
        rc = open_put(&command->txn, b->id, number, hash);
        jw_cstr(jw, text);
        explicit_bzero(code, sizeof(code));
        explicit_bzero(text, sizeof(text));
    }
    jw_array_end(jw);
    return rc;
}

static int
voucher_create(struct command *command)
{
    struct batch b = {0};
    int rc;

    if (!create_args(command, &b))
        return 0;
    rc = command_next_id(command, DB_VOUCHER_BATCH, &b.id);
    if (rc == 0)
        rc = batch_put(&command->txn, &b);
    if (rc < 0)
        return rc;
    command->changed = true;
    command_target(command, "voucher-batch", b.id, 0);
    write_batch(command, &b);
    return make_codes(command, &b);
}

static int
voucher_list(struct command *command)
{
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    db_key_start(&from);
    rc = db_walk_start(&command->txn, DB_VOUCHER_BATCH, &from, 0, &walk);
    jw_key(&command->jw, "batches");
    jw_array(&command->jw);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        struct batch b;

        rc = batch_get(&command->txn, db_u32(key, 0), &b);
        jw_object(&command->jw);
        if (rc == 0)
            write_batch(command, &b);
        jw_object_end(&command->jw);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    jw_array_end(&command->jw);
    return rc;
}

static void
write_use(struct command *command, uint32_t number, struct js_value use)
{
    uint32_t tenant_id = doc_u32(use, STR("tenant"));
    struct jw *jw = &command->jw;

    jw_object(jw);
    jw_key_u64(jw, "number", number);
    jw_key_u64(jw, "tenant", tenant_id);
    jw_key_cstr(jw, "name", command_tenant_name(command, tenant_id));
    jw_key_time(jw, "time", doc_i64(use, STR("at_us")));
    jw_key_u64(jw, "grant", doc_u32(use, STR("grant")));
    jw_object_end(jw);
}

/* With who redeemed its codes. */
static int
voucher_show(struct command *command)
{
    struct batch b = {0};
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc = batch_arg(command, &b);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    write_batch(command, &b);
    from = db_key_of_u32(b.id);
    rc = db_walk_start(&command->txn, DB_VOUCHER_USE, &from, from.len, &walk);
    jw_key(&command->jw, "uses");
    jw_array(&command->jw);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        struct js_value use;
        struct js_error err;

        if (key.len != 8 || !js_check(value, &use, &err))
            rc = -EILSEQ;
        else
            write_use(command, db_u32(key, 4), use);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    jw_array_end(&command->jw);
    return rc;
}

/* ---- voiding ---- */

static int
void_one(struct command *command, struct batch *b, uint32_t number)
{
    struct db_key key = pair_key(b->id, number);
    uint8_t hash[HASH_LEN];
    int rc = db_get_fixed(&command->txn, DB_VOUCHER_OPEN, &key, hash, sizeof(hash));

    if (rc == -ENOENT) {
        command_refuse_field(command, COMMAND_FAILED, "conflict", "number",
                             "code %u of batch %u is not open: it was redeemed, or is void, or is none", number, b->id);
        return 0;
    }
    if (rc == 0)
        rc = open_delete(&command->txn, b->id, number, hash);
    b->voided++;
    return rc;
}

static int
void_all(struct command *command, struct batch *b)
{
    int rc = 0;

    for (uint32_t number = 1; rc == 0 && number <= b->count; number++) {
        struct db_key key = pair_key(b->id, number);
        uint8_t hash[HASH_LEN];

        rc = db_get_fixed(&command->txn, DB_VOUCHER_OPEN, &key, hash, sizeof(hash));
        if (rc == 0)
            rc = open_delete(&command->txn, b->id, number, hash);
        else if (rc == -ENOENT) {
            rc = 0;
            continue;
        }
        b->voided++;
    }
    return rc;
}

/* All of a batch that are open, or one by its number. */
static int
voucher_void(struct command *command)
{
    struct batch b = {0};
    uint32_t number;
    int rc = batch_arg(command, &b);

    if (rc < 0 || command->exit != COMMAND_DONE || !command_id(command, "number", false, &number))
        return rc;
    rc = number != 0 ? void_one(command, &b, number) : void_all(command, &b);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    command->changed = true;
    command_target(command, "voucher-batch", b.id, 0);
    write_batch(command, &b);
    return batch_put(&command->txn, &b);
}

/* ---- redeeming ---- */

static struct brief
tries_of(const struct command *command, uint32_t tenant_id)
{
    struct brief tries = {.table = DB_BRIEF, .kind = BRIEF_FAILURES};

    brief_name(command->ledger->key_hash_key, "voucher-tries",
               (struct str){(const char *)&tenant_id, sizeof(tenant_id)}, STR(""), tries.hash);
    return tries;
}

/* Refused when there were too many; else *count of them, until *until_us. */
static int
tries_look(struct command *command, uint32_t tenant_id, uint32_t *count, int64_t *until_us)
{
    struct brief tries = tries_of(command, tenant_id);
    int64_t now_us = ledger_wall_us(command->ledger);
    struct js_value was;
    int rc = brief_get(&command->txn, &tries, now_us, &was);

    *count = rc == 0 ? doc_u32(was, STR("count")) : 0;
    *until_us = rc == 0 ? tries.expires_us : now_us + HOUR_US;
    if (*count >= TRIES_AN_HOUR) {
        command_refuse_field(command, COMMAND_BUSY, "too_many", "code",
                             "%u codes in an hour were none that can be redeemed", TRIES_AN_HOUR);
        command_hint(command, "try again later");
    }
    return rc == -ENOENT ? 0 : rc;
}

static int
try_failed(struct command *command, uint32_t tenant_id, uint32_t count, int64_t until_us)
{
    struct brief tries = tries_of(command, tenant_id);
    struct doc doc;

    command_refuse_field(command, COMMAND_FAILED, "no_voucher", "code", "this code cannot be redeemed");
    command_hint(command, "it was redeemed before, is void or too old, or never was");
    command->counted = true;
    doc_start(&doc);
    jw_key_u64(&doc.jw, "count", count + 1);
    return brief_put(&command->txn, &tries, until_us, &doc);
}

struct found {
    struct batch batch;
    uint32_t number;
    uint8_t hash[HASH_LEN];
};

/* -ENOENT: none that can be redeemed now. */
static int
find(struct command *command, struct str text, struct found *found)
{
    uint8_t code[VOUCHER_BYTES];
    struct db_key key;
    struct str value;
    int rc;

    if (!voucher_parse(text, code))
        return -ENOENT;
    voucher_hash(command->ledger->key_hash_key, code, found->hash);
    explicit_bzero(code, sizeof(code));
    key = hash_key(found->hash);
    rc = db_get(&command->txn, DB_VOUCHER, &key, &value);
    if (rc < 0)
        return rc;
    found->number = db_u32(value, 4);
    rc = batch_get(&command->txn, db_u32(value, 0), &found->batch);
    if (rc < 0)
        return rc == -ENOENT ? -EILSEQ : rc;
    return found->batch.expires_us != 0 && found->batch.expires_us <= ledger_wall_us(command->ledger) ? -ENOENT : 0;
}

/* One more of that batch by that tenant; refused when it has had all that it may. */
static int
count_tenant(struct command *command, const struct batch *b, uint32_t tenant_id)
{
    struct db_key key = pair_key(b->id, tenant_id);
    uint32_t count = 0;
    int rc = db_get_fixed(&command->txn, DB_VOUCHER_OF, &key, &count, sizeof(count));

    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (b->per_tenant != 0 && count >= b->per_tenant) {
        command_refuse_field(command, COMMAND_FAILED, "conflict", "code",
                             "no more codes of this kind can be redeemed: %u %s redeemed before", count,
                             count == 1 ? "was" : "were");
        return 0;
    }
    count++;
    return db_put(&command->txn, DB_VOUCHER_OF, &key, (struct str){(const char *)&count, sizeof(count)});
}

static int
use_put(struct command *command, const struct found *found, uint32_t tenant_id, uint64_t grant)
{
    struct db_key key = pair_key(found->batch.id, found->number);
    struct doc doc;

    doc_start(&doc);
    jw_key_u64(&doc.jw, "tenant", tenant_id);
    jw_key_i64(&doc.jw, "at_us", ledger_wall_us(command->ledger));
    jw_key_cstr(&doc.jw, "by", command->by);
    jw_key_u64(&doc.jw, "grant", grant);
    return doc_put(&command->txn, DB_VOUCHER_USE, &key, &doc);
}

static int
redeem(struct command *command, struct found *found, uint32_t tenant_id)
{
    struct batch *b = &found->batch;
    char once[64];
    struct grant_new grant = {
        .tenant_id = tenant_id,
        .source = PROMOTION_CODE,
        .amount_ucr = b->amount_ucr,
        .expires_us = b->days == 0 ? 0 : ledger_wall_us(command->ledger) + (int64_t)b->days * DAY_US,
        .reason = str_from(b->label),
    };
    uint64_t id;
    int rc;

    snprintf(once, sizeof(once), "voucher:%u:%u", b->id, found->number);
    grant.once = grant.ref = str_from(once);
    rc = count_tenant(command, b, tenant_id);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    rc = open_delete(&command->txn, b->id, found->number, found->hash);
    if (rc == 0)
        rc = grant_new(command, &grant, &id);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc == -EEXIST ? -EILSEQ : rc; /* its entry was there */
    b->used++;
    rc = batch_put(&command->txn, b);
    if (rc == 0)
        rc = use_put(command, found, tenant_id, id);
    command_target(command, "tenant", tenant_id, tenant_id);
    jw_key_u64(&command->jw, "tenant", tenant_id);
    jw_key_ucr(&command->jw, "amount", b->amount_ucr);
    jw_key_u64(&command->jw, "grant", id);
    if (grant.expires_us != 0) {
        jw_key_time(&command->jw, "expires", grant.expires_us);
    } else {
        jw_key(&command->jw, "expires");
        jw_null(&command->jw);
    }
    return rc;
}

static int
voucher_redeem(struct command *command)
{
    struct found found = {0};
    uint32_t tenant_id, count;
    int64_t until_us;
    struct str text;
    int rc;

    if (!command_tenant(command, "tenant", true, &tenant_id) || !command_str(command, "code", true, &text))
        return 0;
    rc = tries_look(command, tenant_id, &count, &until_us);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    rc = find(command, text, &found);
    if (rc == -ENOENT)
        return try_failed(command, tenant_id, count, until_us);
    return rc < 0 ? rc : redeem(command, &found, tenant_id);
}

const struct command_def command_voucher_defs[] = {
    {.name = "voucher.create", .kind = COMMAND_WRITE, .run = voucher_create},
    {.name = "voucher.list", .kind = COMMAND_READ, .run = voucher_list},
    {.name = "voucher.show", .kind = COMMAND_READ, .run = voucher_show},
    {.name = "voucher.void", .kind = COMMAND_WRITE, .run = voucher_void},
    {.name = "voucher.redeem", .kind = COMMAND_WRITE, .run = voucher_redeem},
    {.name = NULL},
};

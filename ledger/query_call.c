/*
 * The receipt of a call: its records, found by the minute in its ID and the blocks of that minute. On
 * any thread.
 */
#include "ledger/core.h"
#include "ledger/query.h"

#include "base/str.h"
#include "base/ucr.h"
#include "conf/conf.h"

#include <errno.h>
#include <string.h>

#define CALL_TEXT_LEN 31 /* "call_" and 26 digits */
#define US_PER_MINUTE INT64_C(60000000)

/* Of the server that wrote last: see ledger_keep_names(). */
static void
write_numbered_name(struct command *command, const char *key, const char *list, uint32_t number)
{
    struct js_value names, value, none;
    struct js_error err;
    struct js_iter it;
    struct str text;

    jw_key(&command->jw, key);
    if (db_meta_get(&command->txn, "names", &text) == 0 && js_check(text, &names, &err))
        for (js_iter_init(&it, js_get(names, str_from(list))); js_next(&it, &none, &value);)
            if (it.index == number && js_is(value, JS_STRING)) {
                jw_str(&command->jw, value.raw); /* plain words: nothing to unescape */
                return;
            }
    if (strcmp(list, "protocol") == 0 && number < CONF_PROTOCOL_COUNT)
        jw_cstr(&command->jw, conf_protocol_name[number]);
    else
        jw_u64(&command->jw, number);
}

static int
digit_of(char c)
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    const char *at = memchr(digits, c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c, 32);

    return at != NULL ? (int)(at - digits) : -1;
}

static bool
call_id_parse(struct str text, uint8_t id[16])
{
    uint64_t hi = 0, lo = 0;

    if (text.len != CALL_TEXT_LEN || !str_starts_with(text, STR("call_")))
        return false;
    for (size_t i = 5; i < text.len; i++) {
        int digit = digit_of(text.ptr[i]);

        if (digit < 0 || hi >> 59 != 0)
            return false;
        hi = hi << 5 | lo >> 59;
        lo = lo << 5 | (uint64_t)digit;
    }
    for (int i = 0; i < 8; i++) {
        id[i] = (uint8_t)(hi >> (56 - 8 * i));
        id[8 + i] = (uint8_t)(lo >> (56 - 8 * i));
    }
    return true;
}

static int64_t
call_id_wall_us(const uint8_t id[16])
{
    int64_t ms = 0;

    for (int i = 0; i < 6; i++)
        ms = ms << 8 | id[i];
    return MIN(ms, INT64_MAX / 1000) * 1000;
}

static const char *const flag_name[] = {
    "stream",   "usage-zero-output", "usage-far-below", "usage-over-hold", "extension",
    "extended", NULL,                "usage-estimated", "swept",
};

static void
write_flags(struct jw *jw, uint32_t flags)
{
    jw_key(jw, "flags");
    jw_array(jw);
    for (size_t i = 0; i < COUNT_OF(flag_name); i++)
        if ((flags >> i & 1) != 0 && flag_name[i] != NULL)
            jw_cstr(jw, flag_name[i]);
    jw_array_end(jw);
}

static void
write_attempts(struct command *command, const struct block_record *r)
{
    struct jw *jw = &command->jw;

    jw_key(jw, "attempts");
    jw_array(jw);
    for (unsigned i = 0; i < r->rec.attempt_count; i++) {
        const struct record_attempt *a = &r->rec.attempt[i];

        jw_object(jw);
        query_write_name(command, "upstream", r->attempt_upstream[i]);
        jw_key_u64(jw, "status", a->status);
        jw_key_cstr(jw, "reason",
                    a->reason < REASON_COUNT ? record_reason_name[a->reason] : "unknown");
        jw_key_u64(jw, "start_ms", a->start_ms);
        jw_key_u64(jw, "took_ms", a->took_ms);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

static void
write_tokens(struct jw *jw, const struct record *rec)
{
    jw_key(jw, "tokens");
    jw_object(jw);
    jw_key_u64(jw, "input", rec->input_tokens);
    jw_key_u64(jw, "cache_read", rec->cache_read_tokens);
    jw_key_u64(jw, "cache_write_5m", rec->cache_write_5m_tokens);
    jw_key_u64(jw, "cache_write_1h", rec->cache_write_1h_tokens);
    jw_key_u64(jw, "output", rec->output_tokens);
    jw_key_u64(jw, "reasoning", rec->reasoning_tokens);
    jw_object_end(jw);
}

/* A call as it stands in the store: its first slot's record, and the money of all its slots. */
struct receipt {
    struct block_record record;
    int64_t held_ucr, charge_ucr, uncollected_ucr;
    bool found; /* its first slot; an extension alone is a call that runs still */
};

static void
write_receipt(struct command *command, struct str id, const struct receipt *receipt)
{
    const struct block_record *r = &receipt->record;
    const struct record *rec = &r->rec;
    struct jw *jw = &command->jw;
    char hex[17];
    uint64_t version = __builtin_bswap64(rec->price_version);

    jw_key_str(jw, "id", id);
    jw_key_u64(jw, "tenant", r->tenant_id);
    jw_key_cstr(jw, "tenant_name", command_tenant_name(command, r->tenant_id));
    jw_key_u64(jw, "key", rec->key_id);
    query_write_name(command, "model", r->model);
    jw_key_str(jw, "model_reported",
               (struct str){rec->model_reported, strnlen(rec->model_reported, RECORD_MODEL_BYTES)});
    query_write_name(command, "channel", r->channel);
    query_write_name(command, "upstream", r->upstream);
    write_numbered_name(command, "protocol", "protocol", rec->protocol);
    write_numbered_name(command, "endpoint", "endpoint", rec->endpoint);
    jw_key_bool(jw, "stream", rec->flags & RECORD_STREAM);
    jw_key_u64(jw, "status", rec->http_status);
    jw_key_cstr(jw, "outcome", record_outcome_name[rec->outcome]);
    jw_key_time(jw, "started", rec->start_wall_us);
    jw_key(jw, "first_byte_ms");
    if (rec->first_byte_us != 0)
        jw_u64(jw, rec->first_byte_us / 1000);
    else
        jw_null(jw);
    jw_key(jw, "duration_ms");
    if (rec->end_us != 0)
        jw_u64(jw, rec->end_us / 1000);
    else
        jw_null(jw);
    write_tokens(jw, rec);
    jw_key_ucr(jw, "held", receipt->held_ucr);
    jw_key_ucr(jw, "charge", receipt->charge_ucr);
    jw_key_ucr(jw, "uncollected", receipt->uncollected_ucr);
    str_hex(&version, sizeof(version), hex);
    jw_key_cstr(jw, "price_version", hex);
    jw_key_bool(jw, "durable", true);
    write_flags(jw, rec->flags);
    write_attempts(command, r);
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

static int
call_show(struct command *command)
{
    struct receipt *receipt = arena_zalloc(&command->arena, sizeof(*receipt));
    uint32_t tenant_id, minute, minutes[3];
    uint8_t id[16];
    struct str text;
    int rc = 0;

    if (receipt == NULL)
        return -ENOMEM;
    if (!command_str(command, "id", true, &text) ||
        !command_tenant(command, "tenant", false, &tenant_id))
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
    if (receipt->found) {
        write_receipt(command, text, receipt);
        return 0;
    }
    /* Perhaps it was settled a moment ago: the caller commits and asks again, once. */
    if (command->state == NULL) {
        command->missed = true;
        command->state = receipt;
        return 0;
    }
    command_refuse(command, COMMAND_FAILED, "there is no call %.*s", STR_ARGS(text));
    command_hint(command, "a call is recorded when it has ended");
    return 0;
}

static int
call_show_prepare(struct command *command)
{
    return ledger_commit_all(command->ledger);
}

const struct command_def command_call_defs[] = {
    {.name = "call.show", .kind = COMMAND_READ, .run = call_show, .prepare = call_show_prepare,
     .prepare_on_miss = true},
    {.name = NULL},
};

/* How a call's record is written into answers. On any thread. */
#include "ledger/query.h"

#include "base/str.h"
#include "conf/conf.h"
#include "shm/call_id.h"

#include <string.h>

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

static const char *const flag_name[] = {
    "stream",   "usage-zero-output", "usage-far-below", "usage-over-hold", "extension",
    "extended", NULL,                "usage-estimated", "swept",
    "model-mismatch", "usage-absurd", "sibling",         "service-unknown",
    "usage-over-cap", "unpriced",        "shadowed",        "own-price",
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

/* What the operator pays is the operator's to know: not told over the API of a tenant, nor in its receipts. */
static bool
for_tenant(const struct command *command)
{
    return command->actor.kind == ACTOR_PERSON || command->actor.kind == ACTOR_KEY ||
           js_bool(js_get(command->args, STR("as_tenant")), false);
}

/* Said only where there are any. */
static const struct {
    enum record_class class;
    const char *key;
} rare[] = {
    {RECORD_AUDIO_INPUT, "audio_input"},   {RECORD_IMAGE_INPUT, "image_input"},
    {RECORD_AUDIO_OUTPUT, "audio_output"}, {RECORD_IMAGE_OUTPUT, "image_output"},
    {RECORD_IMAGES, "images"},             {RECORD_SECONDS, "seconds"},
    {RECORD_CHARACTERS, "characters"},     {RECORD_SEARCHES, "searches"},
};

static void
write_tokens(struct jw *jw, const uint32_t count[RECORD_CLASS_COUNT])
{
    jw_key(jw, "tokens");
    jw_object(jw);
    jw_key_u64(jw, "input",
               (uint64_t)count[RECORD_INPUT] + count[RECORD_AUDIO_INPUT] +
                   count[RECORD_IMAGE_INPUT]);
    jw_key_u64(jw, "cache_read", count[RECORD_CACHE_READ]);
    jw_key_u64(jw, "cache_write_5m", count[RECORD_CACHE_WRITE_5M]);
    jw_key_u64(jw, "cache_write_1h", count[RECORD_CACHE_WRITE_1H]);
    jw_key_u64(jw, "output", record_tokens_out(count));
    jw_key_u64(jw, "reasoning", count[RECORD_REASONING]);
    for (size_t i = 0; i < COUNT_OF(rare); i++)
        if (count[rare[i].class] != 0)
            jw_key_u64(jw, rare[i].key, count[rare[i].class]);
    jw_object_end(jw);
}

void
query_write_record(struct command *command, const struct block_record *r, int64_t held_ucr,
                   int64_t charge_ucr, int64_t uncollected_ucr)
{
    const struct record *rec = &r->rec;
    struct jw *jw = &command->jw;
    char id[CALL_ID_LEN + 1], hex[17];
    uint64_t version = __builtin_bswap64(rec->price_version);

    call_id_text(rec->call_id, id);
    jw_key_cstr(jw, "id", id);
    jw_key_u64(jw, "tenant", r->tenant_id);
    jw_key_cstr(jw, "tenant_name", command_tenant_name(command, r->tenant_id));
    jw_key_u64(jw, "key", rec->key_id);
    query_write_name(command, "asked", r->asked != 0 ? r->asked : r->model);
    query_write_name(command, "rule", r->rule);
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
    jw_key_u64(jw, "queue_ms", rec->queue_us / 1000);
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
    write_tokens(jw, r->count);
    if (rec->flags & (RECORD_USAGE_ABSURD | RECORD_USAGE_OVER_CAP)) {
        jw_key(jw, "tokens_reported");
        jw_object(jw);
        jw_key_u64(jw, "input", rec->reported_in);
        jw_key_u64(jw, "output", rec->reported_out);
        jw_object_end(jw);
    }
    jw_key_ucr(jw, "held", held_ucr);
    jw_key_ucr(jw, "charge", charge_ucr);
    jw_key_ucr(jw, "uncollected", uncollected_ucr);
    if (!for_tenant(command))
        jw_key_ucr(jw, "operator_cost", rec->operator_ucr);
    str_hex(&version, sizeof(version), hex);
    jw_key_cstr(jw, "price_version", hex);
    jw_key_bool(jw, "durable", true);
    write_flags(jw, rec->flags);
}

void
query_write_attempts(struct command *command, const struct block_record *r)
{
    struct jw *jw = &command->jw;

    jw_key(jw, "attempts");
    jw_array(jw);
    for (unsigned i = 0; i < r->rec.attempt_count; i++) {
        const struct record_attempt *a = &r->rec.attempt[i];

        jw_object(jw);
        query_write_name(command, "upstream", r->attempt_upstream[i]);
        query_write_name(command, "channel", r->attempt_channel[i]);
        if (r->attempt_model[i] != 0)
            query_write_name(command, "model", r->attempt_model[i]);
        jw_key_u64(jw, "credential", a->credential);
        jw_key_u64(jw, "status", a->status);
        jw_key_cstr(jw, "reason",
                    a->reason < REASON_COUNT ? record_reason_name[a->reason] : "unknown");
        jw_key_u64(jw, "start_ms", a->start_ms);
        jw_key_u64(jw, "took_ms", a->took_ms);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

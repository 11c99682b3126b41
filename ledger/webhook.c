#include "ledger/webhook.h"

#include "base/rng.h"
#include "base/str.h"
#include "ledger/core.h"
#include "ledger/entity.h"

#include <errno.h>
#include <string.h>

#define EVENT_BYTES_MAX (32u << 10)
#define WHAT_BYTES_MAX (128u << 10)
#define DELIVERIES_MAX UINT64_C(3000000) /* entries, up to three each */

const char *const webhook_event_name[EVENT_COUNT] = {
    [EVENT_PING] = "ping",
    [EVENT_ALERT_BUDGET] = "alert.budget",
    [EVENT_ALERT_BALANCE] = "alert.balance",
};
_Static_assert(COUNT_OF(webhook_event_name) == EVENT_COUNT, "a new event needs a name");

const char *const delivery_state_name[DELIVERY_STATE_COUNT] = {
    [DELIVERY_PENDING] = "pending",
    [DELIVERY_DONE] = "done",
    [DELIVERY_FAILED] = "failed",
};

/* ---- documents ---- */

int
webhook_get(struct db_txn *txn, uint32_t id, struct webhook *out)
{
    struct js_value doc, name, one;
    struct js_iter it;
    int rc = doc_get_id(txn, DB_WEBHOOK, id, &doc);

    if (rc < 0)
        return rc;
    memset(out, 0, sizeof(*out));
    out->id = id;
    out->tenant_id = doc_u32(doc, STR("tenant"));
    doc_text(doc, STR("url"), out->url, sizeof(out->url));
    for (js_iter_init(&it, js_get(doc, STR("events"))); js_next(&it, &name, &one);)
        for (unsigned e = 0; e < EVENT_COUNT; e++)
            if (js_str_eq(one, str_from(webhook_event_name[e])))
                out->events |= 1u << e;
    out->disabled = doc_bool(doc, STR("disabled"));
    doc_text(doc, STR("reason"), out->reason, sizeof(out->reason));
    out->created_us = doc_i64(doc, STR("created"));
    out->failing_us = doc_i64(doc, STR("failing"));
    out->old_until_us = doc_i64(doc, STR("old_until"));
    doc_text(doc, STR("secret"), out->secret, sizeof(out->secret));
    doc_text(doc, STR("old_secret"), out->old_secret, sizeof(out->old_secret));
    return out->tenant_id != 0 ? 0 : -EILSEQ;
}

int
webhook_put(struct db_txn *txn, const struct webhook *webhook)
{
    struct doc doc;

    doc_start(&doc);
    jw_key_u64(&doc.jw, "tenant", webhook->tenant_id);
    jw_key_cstr(&doc.jw, "url", webhook->url);
    jw_key(&doc.jw, "events");
    jw_array(&doc.jw);
    for (unsigned e = 0; e < EVENT_COUNT; e++)
        if (webhook->events & 1u << e)
            jw_cstr(&doc.jw, webhook_event_name[e]);
    jw_array_end(&doc.jw);
    jw_key_bool(&doc.jw, "disabled", webhook->disabled);
    jw_key_cstr(&doc.jw, "reason", webhook->reason);
    jw_key_i64(&doc.jw, "created", webhook->created_us);
    jw_key_i64(&doc.jw, "failing", webhook->failing_us);
    jw_key_i64(&doc.jw, "old_until", webhook->old_until_us);
    jw_key_cstr(&doc.jw, "secret", webhook->secret);
    jw_key_cstr(&doc.jw, "old_secret", webhook->old_secret);
    return doc_put_id(txn, DB_WEBHOOK, webhook->id, &doc);
}

/* ---- events ---- */

/* What a receiver gets: {"id":"evt_…","event":…,"created":…,"tenant":N,"data":{…}}. */
static void
event_write(struct buf *out, uint32_t tenant_id, enum webhook_event event, int64_t wall_us,
            struct str data)
{
    uint8_t random[12];
    char id[4 + 2 * sizeof(random) + 1] = "evt_";
    struct jw jw;

    rng_bytes(random, sizeof(random));
    str_hex(random, sizeof(random), id + 4);
    jw_init(&jw, out);
    jw_object(&jw);
    jw_key_cstr(&jw, "id", id);
    jw_key_cstr(&jw, "event", webhook_event_name[event]);
    jw_key_time(&jw, "created", wall_us);
    jw_key_u64(&jw, "tenant", tenant_id);
    jw_key(&jw, "data");
    jw_raw(&jw, data);
    jw_object_end(&jw);
}

static int
index_put(struct db_txn *txn, uint32_t tenant_id, uint64_t id)
{
    struct db_key key;

    db_key_start(&key);
    db_key_u8(&key, 't');
    db_key_u32(&key, tenant_id);
    db_key_u64(&key, id);
    return db_put(txn, DB_DELIVERY, &key, STR(""));
}

static int
queue(struct command *command, const struct webhook *webhook, enum webhook_event event,
      struct str body, uint64_t *delivery_id)
{
    int64_t now_us = ledger_wall_us(command->ledger);
    struct outbox_item item = {
        .created_us = now_us, .due_us = now_us, .until_us = now_us + OUTBOX_DAY_US};
    struct buf what;
    struct jw jw;
    int rc;

    if (db_size(&command->txn, DB_DELIVERY).entries >= DELIVERIES_MAX)
        return 0; /* events are told when they can be, and nothing else waits for them */
    buf_init(&what, WHAT_BYTES_MAX);
    jw_init(&jw, &what);
    jw_object(&jw);
    jw_key_u64(&jw, "webhook", webhook->id);
    jw_key_u64(&jw, "tenant", webhook->tenant_id);
    jw_key_cstr(&jw, "state", delivery_state_name[DELIVERY_PENDING]);
    jw_key_cstr(&jw, "event", webhook_event_name[event]);
    jw_key_str(&jw, "body", body);
    jw_key(&jw, "log");
    jw_array(&jw);
    jw_array_end(&jw);
    jw_object_end(&jw);
    item.what = buf_str(&what);
    rc = what.failed ? -ENOMEM : outbox_add(&command->txn, DB_DELIVERY, &item);
    buf_free(&what);
    if (rc == 0)
        rc = index_put(&command->txn, webhook->tenant_id, item.id);
    *delivery_id = item.id;
    command->changed = true;
    return rc;
}

int
webhook_queue_for(struct command *command, const struct webhook *webhook, enum webhook_event event,
                  struct str data, uint64_t *delivery_id)
{
    struct buf body;
    int rc;

    buf_init(&body, EVENT_BYTES_MAX);
    event_write(&body, webhook->tenant_id, event, ledger_wall_us(command->ledger), data);
    rc = body.failed ? -ENOMEM : queue(command, webhook, event, buf_str(&body), delivery_id);
    buf_free(&body);
    return rc;
}

/* One event is the same for all of them: a receiver that gets it twice can tell. */
int
webhook_queue(struct command *command, uint32_t tenant_id, enum webhook_event event, struct str data)
{
    uint32_t ids[WEBHOOKS_MAX], count = 0;
    struct webhook webhook;
    struct db_walk walk;
    struct str key, value;
    uint64_t delivery_id;
    struct buf body;
    int rc = entity_children(&command->txn, DB_WEBHOOK, tenant_id, &walk);

    ASSERT(command->def->kind == COMMAND_WRITE);
    if (rc < 0)
        return rc;
    while (count < WEBHOOKS_MAX && db_walk_next(&walk, &key, &value))
        ids[count++] = db_u32(key, ENTITY_CHILD_ID_AT);
    rc = walk.failed;
    db_walk_end(&walk);
    buf_init(&body, EVENT_BYTES_MAX);
    event_write(&body, tenant_id, event, ledger_wall_us(command->ledger), data);
    if (rc == 0 && body.failed)
        rc = -ENOMEM;
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        rc = webhook_get(&command->txn, ids[i], &webhook);
        if (rc == 0 && !webhook.disabled && (webhook.events == 0 || webhook.events & 1u << event))
            rc = queue(command, &webhook, event, buf_str(&body), &delivery_id);
    }
    buf_free(&body);
    return rc;
}

/* ---- deliveries ---- */

int
delivery_get(struct db_txn *txn, uint64_t id, struct delivery *out)
{
    struct js_value what, event, body, state;
    struct js_error err;
    int rc = outbox_get(txn, DB_DELIVERY, id, &out->item);

    if (rc < 0)
        return rc;
    if (!js_check(out->item.what, &what, &err))
        return -EILSEQ;
    out->webhook_id = doc_u32(what, STR("webhook"));
    out->tenant_id = doc_u32(what, STR("tenant"));
    event = js_get(what, STR("event"));
    body = js_get(what, STR("body"));
    state = js_get(what, STR("state"));
    out->log = js_get(what, STR("log"));
    out->state = DELIVERY_PENDING;
    for (int s = 0; s < DELIVERY_STATE_COUNT; s++)
        if (js_str_eq(state, str_from(delivery_state_name[s])))
            out->state = (enum delivery_state)s;
    out->event = event.raw;
    out->body = body.raw;
    return js_is(body, JS_STRING) && js_is(event, JS_STRING) && js_is(out->log, JS_ARRAY) ? 0 : -EILSEQ;
}

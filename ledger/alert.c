/* Rules of alerts as they are kept, and when one is due. */
#include "ledger/alert.h"

#include "base/str.h"
#include "ledger/doc.h"

#include <errno.h>
#include <string.h>

const char *const alert_kind_name[ALERT_KIND_COUNT] = {
    [ALERT_BUDGET] = "budget",
    [ALERT_BALANCE] = "balance",
};

static void
read_lists(struct js_value doc, struct alert *out)
{
    struct js_value name, one;
    struct js_iter it;
    uint64_t share;

    for (js_iter_init(&it, js_get(doc, STR("shares"))); js_next(&it, &name, &one);)
        if (out->share_count < ALERT_SHARES_MAX && js_count(one, 100, &share))
            out->shares[out->share_count++] = (uint32_t)share;
    for (js_iter_init(&it, js_get(doc, STR("emails"))); js_next(&it, &name, &one);) {
        char scratch[6 * ENTITY_EMAIL_MAX + 1];

        if (out->email_count < ALERT_EMAILS_MAX && js_is(one, JS_STRING) && one.raw.len < sizeof(scratch))
            str_copy(js_unescape(one, scratch, sizeof(scratch)), out->emails[out->email_count++],
                     sizeof(out->emails[0]));
    }
}

int
alert_get(struct db_txn *txn, uint32_t id, struct alert *out)
{
    struct js_value doc;
    int rc = doc_get_id(txn, DB_ALERT, id, &doc);

    if (rc < 0)
        return rc;
    memset(out, 0, sizeof(*out));
    out->id = id;
    out->tenant_id = doc_u32(doc, STR("tenant"));
    if (js_str_eq(js_get(doc, STR("kind")), str_from(alert_kind_name[ALERT_BALANCE])))
        out->kind = ALERT_BALANCE;
    for (int level = 0; level < BUDGET_KIND_COUNT; level++)
        if (js_str_eq(js_get(doc, STR("level")), str_from(budget_kind_name[level])))
            out->level = (enum budget_kind)level;
    doc_text(doc, STR("name"), out->name, sizeof(out->name));
    out->target_id = doc_u32(doc, STR("target"));
    out->below_ucr = doc_i64(doc, STR("below"));
    out->no_mail = doc_bool(doc, STR("no_mail"));
    out->no_webhooks = doc_bool(doc, STR("no_webhooks"));
    out->disabled = doc_bool(doc, STR("disabled"));
    out->created_us = doc_i64(doc, STR("created"));
    read_lists(doc, out);
    return out->tenant_id != 0 ? 0 : -EILSEQ;
}

int
alert_put(struct db_txn *txn, const struct alert *alert)
{
    struct doc doc;

    doc_start(&doc);
    jw_key_u64(&doc.jw, "tenant", alert->tenant_id);
    jw_key_cstr(&doc.jw, "name", alert->name);
    jw_key_cstr(&doc.jw, "kind", alert_kind_name[alert->kind]);
    jw_key_cstr(&doc.jw, "level", budget_kind_name[alert->level]);
    jw_key_u64(&doc.jw, "target", alert->target_id);
    jw_key(&doc.jw, "shares");
    jw_array(&doc.jw);
    for (uint32_t i = 0; i < alert->share_count; i++)
        jw_u64(&doc.jw, alert->shares[i]);
    jw_array_end(&doc.jw);
    jw_key_i64(&doc.jw, "below", alert->below_ucr);
    jw_key(&doc.jw, "emails");
    jw_array(&doc.jw);
    for (uint32_t i = 0; i < alert->email_count; i++)
        jw_cstr(&doc.jw, alert->emails[i]);
    jw_array_end(&doc.jw);
    jw_key_bool(&doc.jw, "no_mail", alert->no_mail);
    jw_key_bool(&doc.jw, "no_webhooks", alert->no_webhooks);
    jw_key_bool(&doc.jw, "disabled", alert->disabled);
    jw_key_i64(&doc.jw, "created", alert->created_us);
    return doc_put_id(txn, DB_ALERT, alert->id, &doc);
}

/* ---- what was told ---- */

static struct db_key
told_key(uint32_t id, uint64_t budget_id)
{
    struct db_key key = db_key_of_u32(id);

    db_key_u64(&key, budget_id);
    return key;
}

int
alert_told_get(struct db_txn *txn, uint32_t id, uint64_t budget_id, struct alert_told *out)
{
    struct db_key key = told_key(id, budget_id);
    int rc = db_get_fixed(txn, DB_ALERT, &key, out, sizeof(*out));

    if (rc == -ENOENT) {
        memset(out, 0, sizeof(*out));
        rc = 0;
    }
    return rc;
}

int
alert_told_put(struct db_txn *txn, uint32_t id, uint64_t budget_id, const struct alert_told *told)
{
    struct db_key key = told_key(id, budget_id);

    return db_put(txn, DB_ALERT, &key, (struct str){(const char *)told, sizeof(*told)});
}

int
alert_drop(struct db_txn *txn, const struct alert *alert)
{
    struct db_key from = db_key_of_u32(alert->id), one;
    struct db_walk walk;
    struct str key, value;
    bool found = true;
    int rc = 0;

    while (rc == 0 && found) {
        rc = db_walk_start(txn, DB_ALERT, &from, from.len, &walk);
        if (rc < 0)
            return rc;
        found = db_walk_next(&walk, &key, &value);
        if (found) {
            db_key_start(&one);
            memcpy(one.bytes, key.ptr, key.len);
            one.len = key.len;
        }
        rc = walk.failed;
        db_walk_end(&walk);
        if (rc == 0 && found)
            rc = db_delete(txn, DB_ALERT, &one);
    }
    return rc < 0 ? rc : entity_child_drop(txn, DB_ALERT, alert->tenant_id, alert->id);
}

/* ---- when ---- */

/* The highest of its shares that is reached. */
static uint32_t
share_reached(const struct alert *alert, const struct budget_look *look)
{
    uint32_t reached = 0;

    for (uint32_t i = 0; i < alert->share_count; i++) {
        /* Both are below 2^48, a share is at most 100: no overflow. */
        if (look->spent_ucr * 100 >= look->limit_ucr * (int64_t)alert->shares[i])
            reached = MAX(reached, alert->shares[i]);
    }
    return reached;
}

uint32_t
alert_share_due(const struct alert *alert, const struct budget_look *look, struct alert_told *told)
{
    uint32_t reached = look->limit_ucr > 0 ? share_reached(alert, look) : 0;

    if (told->window != look->window) {
        if (reached == 0)
            return 0; /* noted when there is something to tell */
        told->window = look->window;
        told->share = 0;
    } else if (told->share != 0 && told->limit_ucr != look->limit_ucr) {
        told->share = MIN(told->share, reached); /* a higher limit: what is not reached any more may be again */
    }
    if (reached <= told->share) {
        told->limit_ucr = told->share != 0 ? look->limit_ucr : told->limit_ucr;
        return 0;
    }
    told->share = reached;
    told->limit_ucr = look->limit_ucr;
    return reached;
}

bool
alert_balance_due(const struct alert *alert, int64_t available_ucr, struct alert_told *told)
{
    bool low = available_ucr < alert->below_ucr;

    if (told->share != 0 && told->limit_ucr != alert->below_ucr)
        told->share = 0; /* another threshold */
    if (!low) {
        if (available_ucr - alert->below_ucr >= alert->below_ucr / 10)
            told->share = 0;
        return false;
    }
    if (told->share != 0)
        return false;
    told->share = 1;
    told->limit_ucr = alert->below_ucr;
    return true;
}

#include "ledger/entity_in.h"

#include "base/js.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/ucr.h"
#include "ledger/deal.h"
#include "ledger/doc.h"

#include <errno.h>
#include <string.h>

/* ---- reading documents ---- */

static void
doc_limits(struct js_value doc, struct entity_limits *out)
{
    *out = (struct entity_limits){
        .rpm = doc_u32(doc, STR("rpm")),
        .tpm = doc_u32(doc, STR("tpm")),
        .concurrency = doc_u32(doc, STR("concurrency")),
        .shadow = doc_u32(doc, STR("shadow")) & QUOTA_SHADOW_ALL,
    };
}

static void
doc_allow(struct js_value doc, struct entity_allow *out)
{
    struct js_value name, value;
    struct js_iter it;
    char scratch[1024];

    memset(out, 0, sizeof(*out));
    for (js_iter_init(&it, js_get(doc, STR("channels"))); js_next(&it, &name, &value);)
        if (out->channel_count < KEY_CHANNELS_MAX && value.raw.len < sizeof(scratch))
            str_copy(js_unescape(value, scratch, sizeof(scratch)),
                     out->channels[out->channel_count++], sizeof(out->channels[0]));
    for (js_iter_init(&it, js_get(doc, STR("models"))); js_next(&it, &name, &value);) {
        struct str glob = value.raw.len < sizeof(scratch)
                              ? js_unescape(value, scratch, sizeof(scratch))
                              : STR_NONE;

        if (glob.len == 0 || glob.len + 1 > sizeof(out->models) - out->models_len)
            continue;
        memcpy(out->models + out->models_len, glob.ptr, glob.len);
        out->models_len += (uint32_t)glob.len + 1;
        out->model_count++;
    }
}

int
entity_tenant_get(struct db_txn *txn, uint32_t id, struct entity_tenant *out)
{
    struct js_value doc;
    int rc = doc_get_id(txn, DB_TENANT, id, &doc);

    if (rc < 0)
        return rc;
    *out = (struct entity_tenant){
        .id = id,
        .created_us = doc_i64(doc, STR("created_us")),
        .disabled = doc_bool(doc, STR("disabled")),
        .pending = doc_bool(doc, STR("pending")),
        .overdraft_ucr = doc_i64(doc, STR("overdraft_ucr")),
        .budget_id = (uint64_t)doc_i64(doc, STR("budget")),
    };
    doc_text(doc, STR("name"), out->name, sizeof(out->name));
    doc_text(doc, STR("reason"), out->reason, sizeof(out->reason));
    doc_text(doc, STR("zone"), out->zone, sizeof(out->zone));
    doc_text(doc, STR("contact"), out->contact, sizeof(out->contact));
    doc_text(doc, STR("contact_email"), out->contact_email, sizeof(out->contact_email));
    doc_text(doc, STR("contact_phone"), out->contact_phone, sizeof(out->contact_phone));
    doc_limits(doc, &out->limits);
    doc_allow(doc, &out->allow);
    deals_read(js_get(doc, STR("prices")), &out->deals);
    return 0;
}

int
entity_member_get(struct db_txn *txn, uint32_t id, struct entity_member *out)
{
    struct js_value doc;
    int rc = doc_get_id(txn, DB_MEMBER, id, &doc);

    if (rc < 0)
        return rc;
    *out = (struct entity_member){
        .id = id,
        .tenant_id = doc_u32(doc, STR("tenant")),
        .created_us = doc_i64(doc, STR("created_us")),
        .removed = doc_bool(doc, STR("removed")),
        .budget_id = (uint64_t)doc_i64(doc, STR("budget")),
        .person_id = doc_u32(doc, STR("person")),
    };
    doc_text(doc, STR("email"), out->email, sizeof(out->email));
    doc_text(doc, STR("role"), out->role, sizeof(out->role));
    doc_limits(doc, &out->limits);
    doc_allow(doc, &out->allow);
    return 0;
}

static void
doc_labels(struct js_value doc, struct entity_project *out)
{
    struct js_value name, value;
    struct js_iter it;
    char scratch[1024];

    for (js_iter_init(&it, js_get(doc, STR("labels"))); js_next(&it, &name, &value);) {
        struct str label = value.raw.len < sizeof(scratch)
                               ? js_unescape(value, scratch, sizeof(scratch))
                               : STR_NONE;

        if (label.len == 0 || label.len + 1 > sizeof(out->labels) - out->labels_len)
            continue;
        memcpy(out->labels + out->labels_len, label.ptr, label.len);
        out->labels_len += (uint32_t)label.len + 1;
        out->label_count++;
    }
}

int
entity_project_get(struct db_txn *txn, uint32_t id, struct entity_project *out)
{
    struct js_value doc;
    int rc = doc_get_id(txn, DB_PROJECT, id, &doc);

    if (rc < 0)
        return rc;
    *out = (struct entity_project){
        .id = id,
        .tenant_id = doc_u32(doc, STR("tenant")),
        .created_us = doc_i64(doc, STR("created_us")),
        .deleted_us = doc_i64(doc, STR("deleted_us")),
        .budget_id = (uint64_t)doc_i64(doc, STR("budget")),
        .has_weights = doc_bool(doc, STR("weights")),
        .latency_u = doc_u32(doc, STR("latency_u")),
        .cost_u = doc_u32(doc, STR("cost_u")),
        .quality_u = doc_u32(doc, STR("quality_u")),
    };
    doc_text(doc, STR("name"), out->name, sizeof(out->name));
    doc_limits(doc, &out->limits);
    doc_allow(doc, &out->allow);
    doc_labels(doc, out);
    return 0;
}

static void
doc_cidrs(struct js_value doc, struct entity_key *out)
{
    struct js_value name, value;
    struct js_iter it;
    char scratch[1024];

    for (js_iter_init(&it, js_get(doc, STR("addresses"))); js_next(&it, &name, &value);)
        if (out->cidr_count < KEY_CIDRS_MAX && value.raw.len < sizeof(scratch))
            str_copy(js_unescape(value, scratch, sizeof(scratch)), out->cidrs[out->cidr_count++],
                     sizeof(out->cidrs[0]));
}

static bool
key_old(struct js_value doc, struct entity_key *out)
{
    char hash[2 * HASH_LEN + 1];

    doc_text(doc, STR("old_hint"), out->old_hint, sizeof(out->old_hint));
    doc_text(doc, STR("old_hash"), hash, sizeof(hash));
    return str_unhex(str_from(hash), out->old_hash, HASH_LEN);
}

int
entity_key_get(struct db_txn *txn, uint32_t id, struct entity_key *out)
{
    struct js_value doc;
    char hash[2 * HASH_LEN + 1];
    int rc = doc_get_id(txn, DB_KEY, id, &doc);

    if (rc < 0)
        return rc;
    memset(out, 0, sizeof(*out));
    out->id = id;
    out->tenant_id = doc_u32(doc, STR("tenant"));
    out->member_id = doc_u32(doc, STR("member"));
    out->project_id = doc_u32(doc, STR("project"));
    out->created_us = doc_i64(doc, STR("created_us"));
    out->expires_us = doc_i64(doc, STR("expires_us"));
    out->deleted_us = doc_i64(doc, STR("deleted_us"));
    out->old_until_us = doc_i64(doc, STR("old_until_us"));
    out->disabled = doc_bool(doc, STR("disabled"));
    out->no_dearer = doc_bool(doc, STR("no_dearer"));
    out->sibling = doc_bool(doc, STR("sibling"));
    /* Keys that are older than scopes are for what keys were for. */
    out->scopes = js_is(js_get(doc, STR("scopes")), JS_NONE) ? SCOPE_INFERENCE
                                                             : doc_u32(doc, STR("scopes"));
    out->budget_id = (uint64_t)doc_i64(doc, STR("budget"));
    doc_text(doc, STR("name"), out->name, sizeof(out->name));
    doc_text(doc, STR("hint"), out->hint, sizeof(out->hint));
    doc_text(doc, STR("hash"), hash, sizeof(hash));
    doc_limits(doc, &out->limits);
    doc_allow(doc, &out->allow);
    doc_cidrs(doc, out);
    if (out->old_until_us != 0 && !key_old(doc, out))
        return -EILSEQ;
    return str_unhex(str_from(hash), out->hash, HASH_LEN) ? 0 : -EILSEQ;
}

/* ---- writing documents ---- */

/* What most have none of is not written. */
static void
doc_put_limits(struct jw *jw, const struct entity_limits *limits)
{
    if (limits->rpm != 0)
        jw_key_u64(jw, "rpm", limits->rpm);
    if (limits->tpm != 0)
        jw_key_u64(jw, "tpm", limits->tpm);
    if (limits->concurrency != 0)
        jw_key_u64(jw, "concurrency", limits->concurrency);
    if (limits->shadow != 0)
        jw_key_u64(jw, "shadow", limits->shadow);
}

static void
doc_put_allow(struct jw *jw, const struct entity_allow *allow)
{
    if (allow->channel_count > 0 || allow->model_count > 0)
        entity_allow_write(jw, allow);
}

int
entity_tenant_document(struct db_txn *txn, const struct entity_tenant *t)
{
    struct doc doc;

    doc_start(&doc);
    jw_key_cstr(&doc.jw, "name", t->name);
    jw_key_i64(&doc.jw, "created_us", t->created_us);
    jw_key_bool(&doc.jw, "disabled", t->disabled);
    jw_key_bool(&doc.jw, "pending", t->pending);
    if (t->reason[0] != '\0')
        jw_key_cstr(&doc.jw, "reason", t->reason);
    jw_key_i64(&doc.jw, "overdraft_ucr", t->overdraft_ucr);
    jw_key_u64(&doc.jw, "budget", t->budget_id);
    if (t->zone[0] != '\0')
        jw_key_cstr(&doc.jw, "zone", t->zone);
    if (t->contact[0] != '\0')
        jw_key_cstr(&doc.jw, "contact", t->contact);
    if (t->contact_email[0] != '\0')
        jw_key_cstr(&doc.jw, "contact_email", t->contact_email);
    if (t->contact_phone[0] != '\0')
        jw_key_cstr(&doc.jw, "contact_phone", t->contact_phone);
    doc_put_limits(&doc.jw, &t->limits);
    doc_put_allow(&doc.jw, &t->allow);
    if (t->deals.count > 0)
        deals_write(&doc.jw, &t->deals);
    return doc_put_id(txn, DB_TENANT, t->id, &doc);
}

int
entity_member_document(struct db_txn *txn, const struct entity_member *m)
{
    struct doc doc;

    doc_start(&doc);
    jw_key_u64(&doc.jw, "tenant", m->tenant_id);
    jw_key_cstr(&doc.jw, "email", m->email);
    jw_key_cstr(&doc.jw, "role", m->role);
    jw_key_i64(&doc.jw, "created_us", m->created_us);
    jw_key_bool(&doc.jw, "removed", m->removed);
    jw_key_u64(&doc.jw, "budget", m->budget_id);
    doc_put_limits(&doc.jw, &m->limits);
    doc_put_allow(&doc.jw, &m->allow);
    jw_key_u64(&doc.jw, "person", m->person_id);
    return doc_put_id(txn, DB_MEMBER, m->id, &doc);
}

void
entity_labels_write(struct jw *jw, const struct entity_project *p)
{
    const char *label = p->labels;

    jw_key(jw, "labels");
    jw_array(jw);
    for (uint32_t i = 0; i < p->label_count; i++, label += strlen(label) + 1)
        jw_cstr(jw, label);
    jw_array_end(jw);
}

int
entity_project_document(struct db_txn *txn, const struct entity_project *p)
{
    struct doc doc;

    doc_start(&doc);
    jw_key_u64(&doc.jw, "tenant", p->tenant_id);
    jw_key_cstr(&doc.jw, "name", p->name);
    jw_key_i64(&doc.jw, "created_us", p->created_us);
    jw_key_u64(&doc.jw, "budget", p->budget_id);
    if (p->deleted_us != 0)
        jw_key_i64(&doc.jw, "deleted_us", p->deleted_us);
    if (p->label_count > 0)
        entity_labels_write(&doc.jw, p);
    if (p->has_weights) {
        jw_key_bool(&doc.jw, "weights", true);
        jw_key_u64(&doc.jw, "latency_u", p->latency_u);
        jw_key_u64(&doc.jw, "cost_u", p->cost_u);
        jw_key_u64(&doc.jw, "quality_u", p->quality_u);
    }
    doc_put_limits(&doc.jw, &p->limits);
    doc_put_allow(&doc.jw, &p->allow);
    return doc_put_id(txn, DB_PROJECT, p->id, &doc);
}

const char *const entity_limit_name[3] = {"rpm", "tpm", "concurrency"};
const char *const entity_scope_name[3] = {"inference", "usage", "manage"};

void
entity_limits_write(struct jw *jw, const struct entity_limits *limits)
{
    jw_key_u64(jw, "rpm", limits->rpm);
    jw_key_u64(jw, "tpm", limits->tpm);
    jw_key_u64(jw, "concurrency", limits->concurrency);
    jw_key(jw, "shadow");
    jw_array(jw);
    for (unsigned i = 0; i < COUNT_OF(entity_limit_name); i++)
        if (limits->shadow >> i & 1)
            jw_cstr(jw, entity_limit_name[i]);
    jw_array_end(jw);
}

bool
entity_limits_any(const struct entity_limits *limits, const struct entity_allow *allow)
{
    return limits->rpm != 0 || limits->tpm != 0 || limits->concurrency != 0 ||
           allow->channel_count > 0 || allow->model_count > 0;
}

void
entity_allow_write(struct jw *jw, const struct entity_allow *allow)
{
    const char *glob = allow->models;

    jw_key(jw, "channels");
    jw_array(jw);
    for (uint32_t i = 0; i < allow->channel_count; i++)
        jw_cstr(jw, allow->channels[i]);
    jw_array_end(jw);
    jw_key(jw, "models");
    jw_array(jw);
    for (uint32_t i = 0; i < allow->model_count; i++, glob += strlen(glob) + 1)
        jw_cstr(jw, glob);
    jw_array_end(jw);
}

void
entity_key_lists(struct jw *jw, const struct entity_key *k, const char *cidrs_name)
{
    entity_allow_write(jw, &k->allow);
    jw_key(jw, cidrs_name);
    jw_array(jw);
    for (uint32_t i = 0; i < k->cidr_count; i++)
        jw_cstr(jw, k->cidrs[i]);
    jw_array_end(jw);
}

int
entity_key_document(struct db_txn *txn, const struct entity_key *k)
{
    struct doc doc;
    char hash[2 * HASH_LEN + 1];

    ASSERT(k->allow.models_len <= sizeof(k->allow.models));
    str_hex(k->hash, HASH_LEN, hash);
    doc_start(&doc);
    jw_key_u64(&doc.jw, "tenant", k->tenant_id);
    jw_key_u64(&doc.jw, "member", k->member_id);
    jw_key_u64(&doc.jw, "project", k->project_id);
    jw_key_cstr(&doc.jw, "name", k->name);
    jw_key_cstr(&doc.jw, "hint", k->hint);
    jw_key_cstr(&doc.jw, "hash", hash);
    jw_key_i64(&doc.jw, "created_us", k->created_us);
    jw_key_i64(&doc.jw, "expires_us", k->expires_us);
    jw_key_bool(&doc.jw, "disabled", k->disabled);
    jw_key_bool(&doc.jw, "no_dearer", k->no_dearer);
    jw_key_bool(&doc.jw, "sibling", k->sibling);
    if (k->scopes != SCOPE_INFERENCE)
        jw_key_u64(&doc.jw, "scopes", k->scopes);
    doc_put_limits(&doc.jw, &k->limits);
    jw_key_u64(&doc.jw, "budget", k->budget_id);
    entity_key_lists(&doc.jw, k, "addresses");
    if (k->deleted_us != 0)
        jw_key_i64(&doc.jw, "deleted_us", k->deleted_us);
    if (k->old_until_us != 0) {
        str_hex(k->old_hash, HASH_LEN, hash);
        jw_key_i64(&doc.jw, "old_until_us", k->old_until_us);
        jw_key_cstr(&doc.jw, "old_hash", hash);
        jw_key_cstr(&doc.jw, "old_hint", k->old_hint);
    }
    return doc_put_id(txn, DB_KEY, k->id, &doc);
}

/* ---- budgets ---- */

int
entity_budget_get(struct db_txn *txn, uint64_t id, struct db_budget *out)
{
    struct db_key key = db_key_of_u64(id);
    struct str value;
    int rc = db_get(txn, DB_BUDGET, &key, &value);

    memset(out, 0, sizeof(*out));
    if (rc < 0)
        return rc;
    if (value.len != sizeof(*out) && value.len != DB_BUDGET_BYTES_PLAIN)
        return -EILSEQ;
    memcpy(out, value.ptr, value.len);
    if (out->period == BUDGET_ROLLING &&
        (out->length_s < BUDGET_LENGTH_S_MIN || out->length_s > BUDGET_LENGTH_S_MAX))
        return -EILSEQ;
    return 0;
}

int
entity_budget_put(struct db_txn *txn, uint64_t id, const struct db_budget *budget)
{
    struct db_key key = db_key_of_u64(id);
    bool plain = budget->flags == 0 && budget->length_s == 0;

    ASSERT(id != 0);
    ASSERT(budget->kind < BUDGET_KIND_COUNT && budget->period < BUDGET_PERIOD_COUNT);
    ASSERT((budget->period == BUDGET_ROLLING) == (budget->length_s != 0));
    return db_put(txn, DB_BUDGET, &key,
                  (struct str){(const char *)budget,
                               plain ? DB_BUDGET_BYTES_PLAIN : sizeof(*budget)});
}

int
entity_tenant_zone(struct db_txn *txn, uint32_t id, char *zone)
{
    struct js_value doc;
    int rc = doc_get_id(txn, DB_TENANT, id, &doc);

    zone[0] = '\0';
    if (rc == 0)
        doc_text(doc, STR("zone"), zone, ZONE_NAME_LEN_MAX + 1);
    return rc;
}

int
entity_budget_open(struct db_txn *txn, uint64_t id, struct db_budget_open *out)
{
    struct db_key key = db_key_of_u64(id);
    int rc;

    memset(out, 0, sizeof(*out));
    rc = db_get_fixed(txn, DB_BUDGET_OPEN, &key, out, sizeof(*out));
    return rc == -ENOENT ? 0 : rc;
}

int
entity_budget_open_put(struct db_txn *txn, uint64_t id, const struct db_budget_open *open)
{
    struct db_key key = db_key_of_u64(id);

    return db_put(txn, DB_BUDGET_OPEN, &key, (struct str){(const char *)open, sizeof(*open)});
}

/* "5h", "7d". */
static bool
length_parse(struct str text, uint32_t *length_s)
{
    char unit = text.len > 0 ? text.ptr[text.len - 1] : '\0';
    uint64_t each_s = unit == 'h' ? 3600 : 86400, count;

    if ((unit != 'h' && unit != 'd') || !str_to_count((struct str){text.ptr, text.len - 1}, 9999, &count))
        return false;
    *length_s = (uint32_t)(count * each_s);
    return *length_s >= BUDGET_LENGTH_S_MIN && *length_s <= BUDGET_LENGTH_S_MAX;
}

bool
entity_budget_parse(struct str text, struct db_budget *out)
{
    struct str rest, mode = STR_NONE, amount = str_split(text, '/', &rest);
    uint32_t period = BUDGET_TOTAL;

    out->period = BUDGET_TOTAL;
    out->length_s = out->flags = 0;
    if (str_eq(rest, STR("shadow"))) {
        mode = rest;
    } else if (rest.ptr != NULL) {
        rest = str_split(rest, '/', &mode);
        for (period = BUDGET_DAY; period < BUDGET_ROLLING; period++)
            if (str_eq(rest, str_from(budget_period_name[period])))
                break;
        if (period == BUDGET_ROLLING && !length_parse(rest, &out->length_s))
            return false;
    }
    if (mode.ptr != NULL) {
        if (!str_eq(mode, STR("shadow")))
            return false;
        out->flags = DB_BUDGET_SHADOW;
    }
    out->period = period;
    return ucr_parse(amount, &out->limit_ucr) && out->limit_ucr >= 0 &&
           out->limit_ucr <= BUDGET_SPENT_MAX;
}

/* ---- secrets and texts ---- */

static const char key_letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

void
entity_key_text(char *text)
{
    size_t len = 3;

    memcpy(text, "sk-", 3);
    while (len < KEY_TEXT_LEN) {
        uint8_t bytes[64];

        rng_bytes(bytes, sizeof(bytes));
        /* The last 8 of 256 values would favour the first letters. */
        for (size_t i = 0; i < sizeof(bytes) && len < KEY_TEXT_LEN; i++)
            if (bytes[i] < 248)
                text[len++] = key_letters[bytes[i] % 62];
        explicit_bzero(bytes, sizeof(bytes));
    }
    text[len] = '\0';
    ASSERT(entity_key_well_formed((struct str){text, len}));
}

bool
entity_key_well_formed(struct str text)
{
    if (text.len != KEY_TEXT_LEN || !str_starts_with(text, STR("sk-")))
        return false;
    for (size_t i = 3; i < text.len; i++)
        if (memchr(key_letters, text.ptr[i], sizeof(key_letters) - 1) == NULL)
            return false;
    return true;
}

bool
entity_text_ok(struct str text, size_t max)
{
    if (text.len == 0 || text.len > max || text.ptr[0] == ' ' || text.ptr[text.len - 1] == ' ')
        return false;
    for (size_t i = 0; i < text.len; i++)
        if ((uint8_t)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f)
            return false;
    return true; /* it came through the JSON reader: the UTF-8 is good */
}

bool
entity_name_ok(struct str text)
{
    bool digits = true;

    for (size_t i = 0; i < text.len; i++)
        digits = digits && text.ptr[i] >= '0' && text.ptr[i] <= '9';
    return !digits && entity_text_ok(text, ENTITY_NAME_MAX);
}

bool
entity_email_ok(struct str text)
{
    size_t at = str_find(text, '@', 0);

    return entity_text_ok(text, ENTITY_EMAIL_MAX) && at > 0 && at + 1 < text.len &&
           str_find(text, '@', at + 1) == text.len && str_find(text, ' ', 0) == text.len;
}

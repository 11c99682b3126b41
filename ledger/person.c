#include "ledger/person.h"

#include "base/str.h"
#include "ledger/doc.h"

#include <errno.h>
#include <string.h>

#define EMAILS 0u /* the "tenant" under which DB_UNIQUE keeps them */
#define SUBJECTS 1u

static void
get_recovery(struct js_value doc, struct person *p)
{
    struct js_value name, value;
    struct js_iter it;

    for (js_iter_init(&it, js_get(doc, STR("recovery"))); js_next(&it, &name, &value);)
        if (p->recovery_count < PERSON_RECOVERY_MAX &&
            str_unhex(value.raw, p->recovery[p->recovery_count], HASH_LEN))
            p->recovery_count++;
}

int
person_get(struct db_txn *txn, uint32_t id, struct person *out)
{
    struct js_value doc;
    int rc = doc_get_id(txn, DB_PERSON, id, &doc);

    if (rc < 0)
        return rc;
    *out = (struct person){
        .id = id,
        .tenant_id = doc_u32(doc, STR("tenant")),
        .member_id = doc_u32(doc, STR("member")),
        .platform = doc_bool(doc, STR("platform")),
        .disabled = doc_bool(doc, STR("disabled")),
        .removed = doc_bool(doc, STR("removed")),
        .totp_on = doc_bool(doc, STR("totp_on")),
        .totp_step = doc_i64(doc, STR("totp_step")),
        .terms = doc_u32(doc, STR("terms")),
        .privacy = doc_u32(doc, STR("privacy")),
        .terms_us = doc_i64(doc, STR("terms_us")),
        .created_us = doc_i64(doc, STR("created_us")),
        .password_us = doc_i64(doc, STR("password_us")),
        .login_us = doc_i64(doc, STR("login_us")),
    };
    doc_text(doc, STR("email"), out->email, sizeof(out->email));
    doc_text(doc, STR("name"), out->name, sizeof(out->name));
    doc_text(doc, STR("phone"), out->phone, sizeof(out->phone));
    doc_text(doc, STR("locale"), out->locale, sizeof(out->locale));
    doc_text(doc, STR("password"), out->password, sizeof(out->password));
    doc_text(doc, STR("totp"), out->totp, sizeof(out->totp));
    doc_text(doc, STR("oidc_issuer"), out->oidc_issuer, sizeof(out->oidc_issuer));
    doc_text(doc, STR("oidc_subject"), out->oidc_subject, sizeof(out->oidc_subject));
    get_recovery(doc, out);
    return 0;
}

static void
put_second_factor(struct jw *jw, const struct person *p)
{
    char hex[2 * HASH_LEN + 1];

    jw_key_cstr(jw, "totp", p->totp);
    jw_key_bool(jw, "totp_on", p->totp_on);
    jw_key_i64(jw, "totp_step", p->totp_step);
    jw_key(jw, "recovery");
    jw_array(jw);
    for (uint32_t i = 0; i < p->recovery_count; i++) {
        str_hex(p->recovery[i], HASH_LEN, hex);
        jw_cstr(jw, hex);
    }
    jw_array_end(jw);
}

int
person_put(struct db_txn *txn, const struct person *p)
{
    struct doc doc;
    int rc;

    ASSERT(p->recovery_count <= PERSON_RECOVERY_MAX);
    ASSERT((p->tenant_id == 0) == (p->member_id == 0));
    /* Administrators are few, and found without a look at all the others. */
    rc = p->platform ? entity_child_put(txn, DB_PERSON, 0, p->id) : entity_child_drop(txn, DB_PERSON, 0, p->id);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    doc_start(&doc);
    jw_key_cstr(&doc.jw, "email", p->email);
    jw_key_cstr(&doc.jw, "name", p->name);
    jw_key_cstr(&doc.jw, "phone", p->phone);
    jw_key_cstr(&doc.jw, "locale", p->locale);
    jw_key_cstr(&doc.jw, "password", p->password);
    jw_key_u64(&doc.jw, "tenant", p->tenant_id);
    jw_key_u64(&doc.jw, "member", p->member_id);
    jw_key_bool(&doc.jw, "platform", p->platform);
    jw_key_bool(&doc.jw, "disabled", p->disabled);
    jw_key_bool(&doc.jw, "removed", p->removed);
    put_second_factor(&doc.jw, p);
    jw_key_cstr(&doc.jw, "oidc_issuer", p->oidc_issuer);
    jw_key_cstr(&doc.jw, "oidc_subject", p->oidc_subject);
    jw_key_u64(&doc.jw, "terms", p->terms);
    jw_key_u64(&doc.jw, "privacy", p->privacy);
    jw_key_i64(&doc.jw, "terms_us", p->terms_us);
    jw_key_i64(&doc.jw, "created_us", p->created_us);
    jw_key_i64(&doc.jw, "password_us", p->password_us);
    jw_key_i64(&doc.jw, "login_us", p->login_us);
    return doc_put_id(txn, DB_PERSON, p->id, &doc);
}

int
person_admins(struct db_txn *txn, struct db_walk *walk)
{
    return entity_children(txn, DB_PERSON, 0, walk);
}

int
person_new_id(struct db_txn *txn, uint32_t *id)
{
    struct str key, value;
    int rc = db_last(txn, DB_PERSON, &key, &value);

    if (rc < 0 && rc != -ENOENT)
        return rc;
    *id = rc == 0 ? db_u32(key, 0) + 1 : 1;
    return *id != 0 ? 0 : -ENOSPC;
}

static int
find(struct db_txn *txn, uint32_t kind, struct str text, struct person *out)
{
    uint32_t id;
    int rc = entity_find(txn, DB_PERSON, kind, text, &id);

    return rc < 0 ? rc : person_get(txn, id, out);
}

int
person_find(struct db_txn *txn, struct str email, struct person *out)
{
    char lower[ENTITY_EMAIL_MAX + 1];

    return person_email(email, lower) ? find(txn, EMAILS, str_from(lower), out) : -ENOENT;
}

int
person_email_take(struct db_txn *txn, const struct person *person)
{
    return entity_name_take(txn, DB_PERSON, EMAILS, str_from(person->email), person->id);
}

int
person_email_drop(struct db_txn *txn, const struct person *person)
{
    return entity_name_drop(txn, DB_PERSON, EMAILS, str_from(person->email));
}

/* Both together may be longer than a key. */
static void
subject_name(struct str issuer, struct str subject, char hex[2 * HASH_LEN + 1])
{
    uint8_t part[2][HASH_LEN], hash[HASH_LEN];

    hash_keyed(NULL, issuer.ptr, issuer.len, part[0]);
    hash_keyed(NULL, subject.ptr, subject.len, part[1]);
    hash_keyed(NULL, part, sizeof(part), hash);
    str_hex(hash, HASH_LEN, hex);
}

int
person_find_oidc(struct db_txn *txn, struct str issuer, struct str subject, struct person *out)
{
    char hex[2 * HASH_LEN + 1];

    subject_name(issuer, subject, hex);
    return find(txn, SUBJECTS, str_from(hex), out);
}

int
person_oidc_take(struct db_txn *txn, const struct person *p)
{
    char hex[2 * HASH_LEN + 1];

    subject_name(str_from(p->oidc_issuer), str_from(p->oidc_subject), hex);
    return entity_name_take(txn, DB_PERSON, SUBJECTS, str_from(hex), p->id);
}

int
person_oidc_drop(struct db_txn *txn, const struct person *p)
{
    char hex[2 * HASH_LEN + 1];
    int rc;

    if (p->oidc_subject[0] == '\0')
        return 0;
    subject_name(str_from(p->oidc_issuer), str_from(p->oidc_subject), hex);
    rc = entity_name_drop(txn, DB_PERSON, SUBJECTS, str_from(hex));
    return rc == -ENOENT ? 0 : rc;
}

bool
person_email(struct str text, char out[ENTITY_EMAIL_MAX + 1])
{
    out[0] = '\0';
    if (!entity_email_ok(text))
        return false;
    str_copy(text, out, ENTITY_EMAIL_MAX + 1);
    for (char *c = out; *c != '\0'; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + 'a' - 'A');
    return true;
}

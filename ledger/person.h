/*
 * Persons: who can sign in. One mail address (in lower case), one person, at most one tenant, in which
 * the person is a member. A platform administrator is a person, too, and may have no tenant. Persons are
 * never deleted: who was removed keeps an id and nothing else.
 */
#ifndef LEDGER_PERSON_H
#define LEDGER_PERSON_H

#include "base/hash.h"
#include "ledger/entity.h"

#define PERSON_PASSWORD_MAX 191
#define PERSON_PHONE_MAX 40
#define PERSON_LOCALE_MAX 15
#define PERSON_TOTP_MAX 191
#define PERSON_RECOVERY_MAX 10
#define PERSON_OIDC_MAX 255

struct person {
    uint32_t id, tenant_id, member_id; /* 0: no tenant */
    char email[ENTITY_EMAIL_MAX + 1];
    char name[ENTITY_NAME_MAX + 1];
    char phone[PERSON_PHONE_MAX + 1];
    char locale[PERSON_LOCALE_MAX + 1];
    char password[PERSON_PASSWORD_MAX + 1]; /* as argon2id writes it; "": cannot sign in by one */
    bool platform, disabled, removed;
    char totp[PERSON_TOTP_MAX + 1]; /* the secret, sealed; "": none */
    bool totp_on;                   /* it was confirmed: asked for at sign-in */
    int64_t totp_step;              /* the last that was used: none twice */
    uint8_t recovery[PERSON_RECOVERY_MAX][HASH_LEN]; /* of codes that are not used yet */
    uint32_t recovery_count;
    char oidc_issuer[PERSON_OIDC_MAX + 1], oidc_subject[PERSON_OIDC_MAX + 1];
    uint32_t terms, privacy; /* the versions that were agreed to; 0: none */
    int64_t terms_us, created_us, password_us, login_us;
};

int person_get(struct db_txn *txn, uint32_t id, struct person *out) MUST_CHECK; /* -ENOENT, -EILSEQ */
int person_put(struct db_txn *txn, const struct person *person) MUST_CHECK;
/* Administrators of the platform, in order of id, which is db_u32(key, ENTITY_CHILD_ID_AT). */
int person_admins(struct db_txn *txn, struct db_walk *walk) MUST_CHECK;
/* The next id. */
int person_new_id(struct db_txn *txn, uint32_t *id) MUST_CHECK;
/* By address. -ENOENT. */
int person_find(struct db_txn *txn, struct str email, struct person *out) MUST_CHECK;
int person_email_take(struct db_txn *txn, const struct person *person) MUST_CHECK; /* -EEXIST */
int person_email_drop(struct db_txn *txn, const struct person *person) MUST_CHECK;
/* By what an OpenID provider calls them. */
int person_find_oidc(struct db_txn *txn, struct str issuer, struct str subject,
                     struct person *out) MUST_CHECK;
int person_oidc_take(struct db_txn *txn, const struct person *person) MUST_CHECK; /* -EEXIST */
int person_oidc_drop(struct db_txn *txn, const struct person *person) MUST_CHECK;

/* Into out, in lower case; false when it is not a mail address. */
bool person_email(struct str text, char out[ENTITY_EMAIL_MAX + 1]) MUST_CHECK;

#endif

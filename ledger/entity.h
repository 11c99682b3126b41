/*
 * Tenants, members, projects and keys as they are kept: one JSON document each, under an id that is
 * never used again; names and addresses are unique. Budgets are fixed records of their own.
 */
#ifndef LEDGER_ENTITY_H
#define LEDGER_ENTITY_H

#include "base/base.h"
#include "base/jw.h"
#include "base/zone.h"
#include "ledger/db.h"
#include "ledger/search.h"
#include "shm/budget.h"
#include "shm/key.h"
#include "shm/quota.h"

#define ENTITY_NAME_MAX 96
#define ENTITY_EMAIL_MAX 254
#define ENTITY_REASON_MAX 300
#define ENTITY_CIDR_MAX 48
#define ENTITY_LABEL_MAX 64
#define ENTITY_PHONE_MAX 40
#define ENTITY_LABELS_BYTES 520
#define KEY_TEXT_LEN 46 /* "sk-" and 43 of 62 letters and digits: 256 random bits */

/* Besides those of keys: of a member, a project, a tenant (shm/quota.h). 0: no limit. */
struct entity_limits {
    uint32_t rpm, tpm, concurrency;
    uint32_t shadow; /* enum quota_shadow: these count only */
};

/* Which channels and models; none: any. */
struct entity_allow {
    char channels[KEY_CHANNELS_MAX][ENTITY_NAME_MAX + 1];
    uint32_t channel_count;
    char models[KEY_MODELS_BYTES]; /* globs, each ended by NUL, as in the region */
    uint32_t model_count, models_len;
};

#define ENTITY_DEAL_MODELS_MAX 128
/* Prices of a tenant's own: ledger/deal.h. */
struct entity_deal {
    char channel[ENTITY_NAME_MAX + 1];       /* "": of every channel */
    char models[ENTITY_DEAL_MODELS_MAX + 1]; /* a glob; "": every model */
    uint32_t deal_u;                         /* what it pays of the multiplier, in millionths */
};
struct entity_deals {
    struct entity_deal deal[KEY_DEALS_MAX];
    uint32_t count;
};

/* What a key is for: bits. */
enum entity_scope {
    SCOPE_INFERENCE = 1u, /* calls to models */
    SCOPE_USAGE = 2u,     /* reading what was used */
    SCOPE_MANAGE = 4u,    /* the management API */
    SCOPE_ALL = 7u,
};

struct entity_tenant {
    uint32_t id;
    char name[ENTITY_NAME_MAX + 1];
    int64_t created_us;
    bool disabled;
    /* Whom to write to, of the tenant; "": nobody said. */
    char contact[ENTITY_NAME_MAX + 1], contact_email[ENTITY_EMAIL_MAX + 1], contact_phone[ENTITY_PHONE_MAX + 1];
    bool pending; /* disabled since it registered itself: an operator has to look at it first */
    char reason[ENTITY_REASON_MAX + 1]; /* why it is disabled, for its people; "": not told */
    int64_t overdraft_ucr;
    uint64_t budget_id;
    char zone[ZONE_NAME_LEN_MAX + 1]; /* of the budgets' windows; "": UTC */
    struct entity_limits limits;
    struct entity_allow allow;
    struct entity_deals deals;
};

struct entity_member {
    uint32_t id, tenant_id;
    char email[ENTITY_EMAIL_MAX + 1];
    char role[16];
    int64_t created_us;
    bool removed;
    uint64_t budget_id;
    struct entity_limits limits;
    struct entity_allow allow;
    uint32_t person_id; /* who signs in as this member; 0: nobody so far */
};

struct entity_project {
    uint32_t id, tenant_id;
    char name[ENTITY_NAME_MAX + 1];
    int64_t created_us, deleted_us; /* 0: it is there */
    uint64_t budget_id;
    /* For auto names, in millionths; they count when has_weights. Else the auto's own do. */
    bool has_weights;
    uint32_t latency_u, cost_u, quality_u;
    struct entity_limits limits;
    struct entity_allow allow;
    char labels[ENTITY_LABELS_BYTES]; /* each ended by NUL */
    uint32_t label_count, labels_len;
};

struct entity_key {
    uint32_t id, tenant_id, member_id, project_id;
    char name[ENTITY_NAME_MAX + 1];
    char hint[8]; /* the last four of its text, to know it by */
    uint8_t hash[HASH_LEN];
    int64_t created_us, expires_us; /* 0: never */
    int64_t deleted_us; /* 0: it is there. What is deleted is known by name to records, and to nobody else */
    /* The secret that a rotation replaced, good until then; 0: there is none. */
    uint8_t old_hash[HASH_LEN];
    int64_t old_until_us;
    char old_hint[8];
    bool disabled;
    bool no_dearer; /* never in a channel that is dearer than its first */
    bool sibling;   /* also other models of the family, where a routing rule says so */
    struct entity_limits limits;
    uint32_t scopes; /* enum entity_scope */
    uint64_t budget_id;
    struct entity_allow allow;
    char cidrs[KEY_CIDRS_MAX][ENTITY_CIDR_MAX + 1];
    uint32_t cidr_count;
};

/* -ENOENT, -EILSEQ. */
int entity_tenant_get(struct db_txn *txn, uint32_t id, struct entity_tenant *out) MUST_CHECK;
int entity_member_get(struct db_txn *txn, uint32_t id, struct entity_member *out) MUST_CHECK;
int entity_project_get(struct db_txn *txn, uint32_t id, struct entity_project *out) MUST_CHECK;
int entity_key_get(struct db_txn *txn, uint32_t id, struct entity_key *out) MUST_CHECK;

/* With all that is derived from it: outlines (ledger/outline.h), what lists find (ledger/search.h). */
int entity_tenant_put(struct db_txn *txn, const struct entity_tenant *tenant) MUST_CHECK;
int entity_member_put(struct db_txn *txn, const struct entity_member *member) MUST_CHECK;
int entity_project_put(struct db_txn *txn, const struct entity_project *project) MUST_CHECK;
int entity_key_put(struct db_txn *txn, const struct entity_key *key) MUST_CHECK;

/* As lists find them; texts are the entity's own. */
struct search_thing entity_tenant_thing(const struct entity_tenant *tenant);
struct search_thing entity_member_thing(const struct entity_member *member);
struct search_thing entity_project_thing(const struct entity_project *project);
struct search_thing entity_key_thing(const struct entity_key *key);

/* Write members: "channels" and "models"; a key's, and that of its addresses; "rpm", "tpm",
 * "concurrency" and "shadow", an array of the names of those that count only. */
void entity_allow_write(struct jw *jw, const struct entity_allow *allow);
void entity_key_lists(struct jw *jw, const struct entity_key *key, const char *cidrs_name);
void entity_labels_write(struct jw *jw, const struct entity_project *project); /* "labels" */
void entity_limits_write(struct jw *jw, const struct entity_limits *limits);
extern const char *const entity_limit_name[3]; /* by bit of enum quota_shadow: "rpm", … */
extern const char *const entity_scope_name[3]; /* by bit of enum entity_scope: "inference", … */
bool entity_limits_any(const struct entity_limits *limits, const struct entity_allow *allow);

/* By unique text: tenants' names (tenant_id 0), members' addresses, projects' names. -ENOENT. */
int entity_find(struct db_txn *txn, enum db_table table, uint32_t tenant_id, struct str text,
                uint32_t *id) MUST_CHECK;
int entity_name_take(struct db_txn *txn, enum db_table table, uint32_t tenant_id, struct str text,
                     uint32_t id) MUST_CHECK; /* -EEXIST */
int entity_name_drop(struct db_txn *txn, enum db_table table, uint32_t tenant_id,
                     struct str text) MUST_CHECK;
/* Children of a tenant, in order of id, which is db_u32(key, ENTITY_CHILD_ID_AT). */
#define ENTITY_CHILD_ID_AT 5
int entity_child_put(struct db_txn *txn, enum db_table table, uint32_t tenant_id,
                     uint32_t id) MUST_CHECK;
int entity_child_drop(struct db_txn *txn, enum db_table table, uint32_t tenant_id,
                      uint32_t id) MUST_CHECK; /* 0 also when there is none */
int entity_children(struct db_txn *txn, enum db_table table, uint32_t tenant_id,
                    struct db_walk *walk) MUST_CHECK;

int entity_budget_get(struct db_txn *txn, uint64_t id, struct db_budget *out) MUST_CHECK;
int entity_budget_put(struct db_txn *txn, uint64_t id, const struct db_budget *budget) MUST_CHECK;
/* The zone of a tenant, "" for UTC: room for ZONE_NAME_LEN_MAX + 1. */
int entity_tenant_zone(struct db_txn *txn, uint32_t id, char *zone) MUST_CHECK;
/* All zero where the store knows of no window. */
int entity_budget_open(struct db_txn *txn, uint64_t id, struct db_budget_open *out) MUST_CHECK;
int entity_budget_open_put(struct db_txn *txn, uint64_t id,
                           const struct db_budget_open *open) MUST_CHECK;
/* "12.5", "100/day", "100/week", "100/month", "100/5h", "100/7d"; with "/shadow" behind it, in shadow
 * mode. Sets limit, period, length and flags. False when malformed. */
bool entity_budget_parse(struct str text, struct db_budget *budget) MUST_CHECK;

/*
 * Makes outlines and what lists find anew from the documents, unless who wrote last keeps them: once after a
 * program that does not, or a store that was restored from its backup. One transaction.
 */
struct db_tail;
int entity_derive(struct db *db, const struct db_tail *tail) MUST_CHECK;

/* New secrets: text has room for KEY_TEXT_LEN + 1. Only the hash is ever kept. */
void entity_key_text(char *text);
bool entity_key_well_formed(struct str text);

/* Valid UTF-8 without control characters, 1 to max bytes, no blank at either end. */
bool entity_text_ok(struct str text, size_t max);
/* Also not digits only, since an id may stand wherever a name may. */
bool entity_name_ok(struct str text);
bool entity_email_ok(struct str text);

#endif

/*
 * The audit log: who did what, to what, what it was before and what it is now.
 *
 * Every COMMAND_WRITE that changed something (but for those that are quiet) appends one entry in its own
 * transaction: no change without its entry, no entry without its change. Entries are numbered without
 * gaps and chained by their hashes; nothing changes or drops one. `turnpike audit` verifies the chain.
 *
 *     number as u64 -> JSON, hash of the entry before and this JSON
 *     {"seq":N,"time":…,"tenant":N,"actor":{"kind":…,"id":N,"name":…,"ip":…,"request":…},
 *      "action":"key.set","target":{"kind":"key","id":5,"name":…},"also":[{"kind":…,"id":N}],
 *      "mail_dropped":[…],"before":{…}|null,"after":{…}|null,"args":{…}}
 *
 * A command says what it is about, and mostly nothing else:
 *
 *     command_target(command, "key", k.id, k.tenant_id);
 *
 * For kinds that are documents under a u32 in a table of the same name (audit_log.c lists them), before is
 * what that document was when the transaction began, after what it is at its end, both without secrets;
 * for others the command writes them by command_before() and command_after(). One that does none of
 * this has its arguments in the entry, again without secrets. Secrets are members with the names that
 * audit_is_secret() knows: a document or argument that holds one must have one of those names.
 *
 * Times never go back from one entry to the next: when the clock was set back, entries have the time of
 * the one before until it has caught up. So entries of a time are found by halving.
 */
#ifndef LEDGER_AUDIT_LOG_H
#define LEDGER_AUDIT_LOG_H

#include "base/base.h"
#include "base/buf.h"
#include "base/hash.h"
#include "base/js.h"
#include "base/jw.h"
#include "ledger/db.h"

struct command;

#define AUDIT_ALSO_MAX 256

enum audit_by { AUDIT_BY_TENANT = 0, AUDIT_BY_ACTOR, AUDIT_BY_TARGET, AUDIT_BY_ACTION };

struct audit_thing {
    const char *kind; /* static text: "key"; NULL none */
    uint64_t id;      /* 0: it has none but its name */
};

struct audit_note { /* of one command; all zero at its start */
    const char *action; /* static text; NULL: the command's name */
    struct audit_thing target, also[AUDIT_ALSO_MAX];
    uint32_t also_count;
    uint32_t tenant_id; /* 0: of no tenant */
    uint32_t mail_dropped; /* bits by enum mail_kind: nobody is told of it by these */
    struct str name;    /* of the target, in the command's arena; "": that of its document */
    bool has_before, has_after;
    struct buf before_bytes, after_bytes;
    struct jw before, after;
};

/* What the command is about. kind: static text. Again: the last counts. */
void command_target(struct command *command, const char *kind, uint64_t id, uint32_t tenant_id);
/* For what has a name instead of an ID, or whose document has no "name" or "email". */
void command_target_name(struct command *command, struct str name);
/* What it changed besides, so that it is found by that, too. The first AUDIT_ALSO_MAX are kept. */
void command_also(struct command *command, const char *kind, uint64_t id);
/* Inside an object that is open and stays so: write its members. Never secrets. */
struct jw *command_before(struct command *command);
struct jw *command_after(struct command *command);
/* Something happened, which is called so (static text) whatever the command is; what it happened to was not changed by it. */
void command_event(struct command *command, const char *action);

/* ---- for the framework ---- */

/* Of the members' name alone: password, hash, secret, … */
bool audit_is_secret(struct str name);
/* Writes the value without its secrets, at any depth. */
void audit_write_plain(struct jw *jw, struct js_value value);
/* Appends the command's entry, within its transaction. */
int audit_log_append(struct command *command) MUST_CHECK;
void audit_note_free(struct audit_note *note);

/* meta "audit": where the log stands. */
struct audit_tail {
    uint64_t count;  /* the last entry's number */
    int64_t wall_us; /* its time */
    uint8_t hash[HASH_LEN];
};
_Static_assert(sizeof(struct audit_tail) == 48, "the store's form");
int audit_tail_get(struct db_txn *txn, struct audit_tail *tail) MUST_CHECK; /* zeros when empty */
/* All entries: numbered without gaps, chained, as many as there were, each in the indexes. */
struct audit;
int audit_log_verify(struct db_txn *txn, struct audit *audit) MUST_CHECK;
/* Splits an entry. -EILSEQ: it is too short. */
int audit_entry_read(struct str value, struct str *json, struct str *hash) MUST_CHECK;
/* The key of an index: what is asked for, to be followed by the number. */
void audit_key_tenant(struct db_key *key, uint32_t tenant_id);
void audit_key_actor(struct db_key *key, unsigned kind, uint64_t id);
bool audit_key_target(struct db_key *key, struct str kind, uint64_t id) MUST_CHECK; /* too long */
bool audit_key_action(struct db_key *key, struct str action) MUST_CHECK;

#endif

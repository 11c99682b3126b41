/*
 * Commands: what can be asked of the ledger, over the control socket or where no server runs.
 *
 * A request is one JSON object, one line:
 *
 *     {"cmd":"tenant.add","args":{…},
 *      "actor":{"kind":"person","id":7,"name":"Ada","ip":"192.0.2.1","request":"<its ID>"},
 *      "idem":"<text>","idem_of":"<text>"}
 *
 * actor: for whom the asker asks, one of person, key, cli, system; kind and id count, the rest is told
 * along. Without it the asker himself, by his user ID, is a cli. Who may do what has been decided by the
 * asker: whoever may open the socket may do all.
 *
 * idem: up to 128 bytes that name this request among the actor's; of a system without an id, among those
 * about the same "email" or "token". For a command that changes something the answer is kept for 24 hours
 * in the same transaction; asked again it is given again with `"repeated":true`, and nothing is done twice. Secrets are never kept: a repeat's answer lacks them, as
 * it lacks what is of the moment (a balance). idem_of tells requests apart: with the same idem and
 * another idem_of it is refused ("idempotency_mismatch"). It may be any digest of what was asked, without
 * its secrets; when it is absent, it is the command and its arguments without secrets.
 *
 * The answer is one object, too: {"ok":true,"result":{…}}, or
 *
 *     {"ok":false,"exit":N,"error":"tenant.add","why":…,"hint":…,"code":"taken","field":"name"}
 *
 * where exit is the exit status that the command line gives, code is stable and made for programs, and
 * field, which may be absent, names the argument that is wrong: "name", "models[2]". `"absent":true`
 * beside it says that what was asked for is not there and will not come.
 *
 * A command that changes something is one transaction, is committed and synced before its answer is
 * written, and is in the audit log (ledger/audit_log.h) by the same transaction: who asked, what was, what
 * is. Everything is checked here again, whatever the asker has checked.
 *
 * Codes, beside those that a command's own file names:
 *
 *     required               an argument is missing
 *     invalid                an argument is malformed; what a refusal with COMMAND_USAGE says by itself
 *     out_of_range           a number or amount is too small or too large
 *     too_long               a text or list is
 *     not_found              there is no such thing, or it is another tenant's
 *     taken                  somebody has that name
 *     conflict               it cannot be done as things stand; likewise of COMMAND_FAILED
 *     not_allowed            likewise of COMMAND_NOT_ALLOWED
 *     busy                   try again; likewise of COMMAND_BUSY
 *     idempotency_mismatch   that idem was used for something else
 *     unknown_command        there is no such command
 */
#ifndef LEDGER_COMMAND_H
#define LEDGER_COMMAND_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/base.h"
#include "base/buf.h"
#include "base/js.h"
#include "base/jw.h"
#include "ledger/audit_log.h"
#include "ledger/db.h"

#define COMMAND_REQUEST_BYTES_MAX (1u << 20)
#define COMMAND_ANSWER_BYTES_MAX (64u << 20)

enum command_exit { COMMAND_DONE = 0, COMMAND_FAILED = 1, COMMAND_USAGE = 2, COMMAND_BUSY = 75,
                    COMMAND_NOT_ALLOWED = 77 };

enum command_kind {
    COMMAND_READ = 0, /* runs on any thread, in a read transaction */
    COMMAND_MAIN,     /* reads, but needs the main thread's view of the region */
    COMMAND_WRITE,    /* one write transaction, on the main thread */
    COMMAND_ASK,      /* the master answers it: ledger/control.h */
    COMMAND_HAND,     /* likewise, at the connection itself, which becomes the master's */
};

struct ledger;
struct command;

struct command_def {
    const char *name;
    enum command_kind kind;
    /* Writes the result's members, or calls command_refuse(). Negative: the store failed. */
    int (*run)(struct command *command);
    /* Main thread, before run (of a COMMAND_READ); may be NULL. */
    int (*prepare)(struct command *command);
    /* prepare is only wanted when run set `missed`, and run is then called once more. */
    bool prepare_on_miss;
    bool is_long; /* a COMMAND_READ that may take seconds: db_read_long() */
    /* A COMMAND_READ that may take minutes, and is long, too: it has a thread of its own where there are threads. */
    bool apart;
    /* A COMMAND_WRITE that is nobody's act but the machinery's, as a queue's upkeep: not in the audit log. */
    bool quiet;
};

enum command_actor_kind { ACTOR_CLI = 0, ACTOR_SYSTEM, ACTOR_PERSON, ACTOR_KEY, ACTOR_KIND_COUNT };
#define ACTOR_TEXT_MAX 320 /* of its name: as long as any mail address */
extern const char *const command_actor_kind_name[ACTOR_KIND_COUNT];
struct command_actor {
    enum command_actor_kind kind;
    uint64_t id; /* of the person or key; of a cli his user ID */
    struct str name, ip, request; /* "" when they were not told */
};

enum command_action_kind { ACTION_TENANT, ACTION_TENANT_NEW, ACTION_KEY, ACTION_MEMBER, ACTION_PROJECT, ACTION_BUDGET,
                           ACTION_ZONE, /* a tenant's budgets, after its zone changed */
                           ACTION_CREDIT };
struct command_action { /* what memory has to be told after the commit */
    enum command_action_kind kind;
    uint64_t id; /* of the tenant, key, member, project or budget */
    int64_t delta_ucr;
};

struct command {
    const struct command_def *def;
    struct ledger *ledger;
    struct arena arena; /* ends with the command */
    struct js_value args;
    char by[32]; /* who asks: "uid 0", "person 7" */
    struct command_actor actor;
    struct str idem, idem_of; /* "": none */
    bool repeated; /* it was done before: the result is that answer */
    struct audit_note note; /* what the audit log is told */
    int fd; /* that came with the request, or -1; closed with the command */
    const _Atomic bool *stop; /* of one that is apart: give up; relaxed. May be NULL */
    struct db_txn txn;
    struct db_tail tail; /* of a COMMAND_WRITE: goes into the store with the rest */
    uint64_t summed_transfer; /* likewise: the last that is in the totals; 0: none was added */
    struct buf body;     /* the result's members */
    struct jw jw;
    bool missed;
    bool changed; /* something was put: commit */
    /* What was put stays although it is refused: a try that counts. Nothing else may have been put. */
    bool counted;
    /*
     * This was one step of what is too much for a transaction: it is committed, and run is called again, after
     * what else waits, until there is no more to do. Each step leaves all as it may be, for good if need be; the
     * last one alone writes the result. What run has to know of earlier steps is in state.
     */
    bool more;
    bool silent; /* what changed this time is no more than a count: not in the audit log */
    bool absent;  /* refused, since what was asked for is not there and will not come */
    struct command_action actions[256];
    uint32_t action_count;
    int (*after)(struct command *command); /* after commit and actions: may write more members */
    void *state; /* from prepare, or the step before, to run; in the arena */
    enum command_exit exit;
    char why[320], hint[192];
    char code[40], field[64];
};

/* Parses a request line (copied into the command's arena). False: the answer (an error) is ready. */
bool command_start(struct command *command, struct ledger *ledger, struct str line,
                   const char *by) MUST_CHECK;
/* Runs its stages. Each is called on the thread that it belongs to; a negative errno means that the
 * store failed and that the process has to end. */
int command_prepare(struct command *command) MUST_CHECK; /* main thread */
/* Main thread; all but READ. Again while command->more. */
int command_main(struct command *command) MUST_CHECK;
void command_read(struct command *command);              /* any thread; READ */
/* Appends the answer as one line with its newline, and ends the command. */
void command_finish(struct command *command, struct buf *answer);
bool command_stopped(const struct command *command);
/* All stages in order, on the main thread. */
int command_run(struct ledger *ledger, struct str line, const char *by, struct buf *answer) MUST_CHECK;
/* The same with a descriptor, which is the command's from then on; -1: none. */
int command_run_with(struct ledger *ledger, struct str line, const char *by, int fd,
                     struct buf *answer) MUST_CHECK;

/* ---- for the commands themselves ---- */

void command_refuse(struct command *command, enum command_exit status, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
/* The same with a code of its own, and with the argument that is wrong (NULL: none in particular). */
void command_refuse_field(struct command *command, enum command_exit status, const char *code,
                          const char *field, const char *fmt, ...) PRINTF_LIKE(5, 6);
void command_hint(struct command *command, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Tells a program that asks what "failed" means here: `"absent":true` in the answer, code not_found. */
void command_absent(struct command *command);
void command_act(struct command *command, enum command_action_kind kind, uint64_t id,
                 int64_t delta_ucr);

/* Arguments. Each is false when the argument is malformed (refused already); when absent, they give
 * STR_NONE, 0 or false, and refuse only when `must` is set. */
bool command_str(struct command *command, const char *name, bool must, struct str *out) MUST_CHECK;
bool command_u32(struct command *command, const char *name, uint32_t *out) MUST_CHECK;
bool command_credits(struct command *command, const char *name, bool must, int64_t *ucr) MUST_CHECK;
bool command_time(struct command *command, const char *name, int64_t *wall_us) MUST_CHECK;
bool command_flag(struct command *command, const char *name, bool *out) MUST_CHECK;
bool command_has(const struct command *command, const char *name);
/* A tenant by name or id; refused when there is none. */
bool command_tenant(struct command *command, const char *name, bool must,
                    uint32_t *tenant_id) MUST_CHECK;
/* A key's, member's or project's id, as a number or a string of digits. */
bool command_id(struct command *command, const char *name, bool must, uint32_t *id) MUST_CHECK;
/*
 * For what is found by its ID alone: whether an asker who said "tenant" may see what belongs to owner_id.
 * When not, refuse with the very words of there being no such thing, and command_absent().
 */
bool command_of_tenant(struct command *command, uint32_t owner_id) MUST_CHECK;
/* The next ID of a table that counts its own in the store (not one that struct db_tail counts). */
int command_next_id(struct command *command, enum db_table table, uint32_t *id) MUST_CHECK;

/* ---- tables of commands, by file ---- */

extern const struct command_def command_tenant_defs[], command_member_defs[], command_project_defs[], command_key_defs[],
    command_credit_defs[], command_query_defs[], command_call_defs[], command_calls_defs[],
    command_usage_defs[], command_stats_defs[], command_most_defs[], command_statement_defs[], command_audit_defs[], command_log_defs[], command_site_defs[], command_conf_defs[], command_approve_defs[],
    command_upstreams_defs[], command_top_defs[], command_latency_defs[], command_names_defs[],
    command_route_defs[], command_reload_defs[], command_kept_defs[],
    command_backup_defs[], command_tail_defs[], command_retention_defs[],
    command_mail_defs[], command_session_defs[], command_person_defs[], command_code_defs[],
    command_invite_defs[], command_role_defs[], command_factor_defs[], command_failed_defs[], command_register_defs[],
    command_webhook_defs[], command_delivery_defs[], command_alert_defs[], command_alert_look_defs[],
    command_grant_defs[], command_voucher_defs[], command_order_defs[];
const char *command_tenant_name(struct command *command, uint32_t tenant_id); /* "" if unknown */
int command_grant(struct command *command, uint32_t tenant_id, int64_t amount_ucr, struct str reason);

#endif

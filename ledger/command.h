/*
 * Commands: what can be asked of the ledger, over the control socket or where no server runs.
 *
 * A request is one JSON object, {"cmd":"tenant.add","args":{…}}; the answer is one too, either
 * {"ok":true,"result":{…}} or {"ok":false,"exit":N,"error":…,"why":…,"hint":…} where exit is the
 * exit status that the command line gives. A command that changes something is one transaction, is
 * committed and synced before its answer is written, and says who asked for it. Everything is
 * checked here again, whatever the asker has checked.
 */
#ifndef LEDGER_COMMAND_H
#define LEDGER_COMMAND_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/base.h"
#include "base/buf.h"
#include "base/js.h"
#include "base/jw.h"
#include "ledger/db.h"

#define COMMAND_REQUEST_BYTES_MAX 65536
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
};

enum command_action_kind { ACTION_TENANT, ACTION_TENANT_NEW, ACTION_KEY, ACTION_PROJECT, ACTION_BUDGET,
                           ACTION_CREDIT };
struct command_action { /* what memory has to be told after the commit */
    enum command_action_kind kind;
    uint64_t id; /* of the tenant, key, project or budget */
    int64_t delta_ucr;
};

struct command {
    const struct command_def *def;
    struct ledger *ledger;
    struct arena arena; /* ends with the command */
    struct js_value args;
    char by[32]; /* who asks: "uid 0" */
    int fd; /* that came with the request, or -1; closed with the command */
    const _Atomic bool *stop; /* of one that is apart: give up; relaxed. May be NULL */
    struct db_txn txn;
    struct db_tail tail; /* of a COMMAND_WRITE: goes into the store with the rest */
    struct buf body;     /* the result's members */
    struct jw jw;
    bool missed;
    bool changed; /* something was put: commit */
    bool absent;  /* refused, since what was asked for is not there and will not come */
    struct command_action actions[256];
    uint32_t action_count;
    int (*after)(struct command *command); /* after commit and actions: may write more members */
    void *state; /* from prepare to run; in the arena */
    enum command_exit exit;
    char why[320], hint[192];
};

/* Parses a request line (copied into the command's arena). False: the answer (an error) is ready. */
bool command_start(struct command *command, struct ledger *ledger, struct str line,
                   const char *by) MUST_CHECK;
/* Runs its stages. Each is called on the thread that it belongs to; a negative errno means that the
 * store failed and that the process has to end. */
int command_prepare(struct command *command) MUST_CHECK; /* main thread */
int command_main(struct command *command) MUST_CHECK;    /* main thread; all but READ */
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
void command_hint(struct command *command, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Tells a program that asks what "failed" means here: `"absent":true` in the answer. */
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

/* ---- tables of commands, by file ---- */

extern const struct command_def command_tenant_defs[], command_member_defs[], command_key_defs[],
    command_credit_defs[], command_query_defs[], command_call_defs[], command_calls_defs[],
    command_usage_defs[], command_audit_defs[],
    command_upstreams_defs[], command_top_defs[], command_latency_defs[], command_names_defs[],
    command_route_defs[], command_reload_defs[], command_kept_defs[],
    command_backup_defs[], command_tail_defs[], command_retention_defs[],
    command_mail_defs[];
const char *command_tenant_name(struct command *command, uint32_t tenant_id); /* "" if unknown */
int command_grant(struct command *command, uint32_t tenant_id, int64_t amount_ucr, struct str reason);

#endif

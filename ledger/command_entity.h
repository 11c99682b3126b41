/*
 * What the commands about tenants, members, projects and keys share. A negative answer says that the
 * store failed; what was refused is 0, and in command->exit.
 */
#ifndef LEDGER_COMMAND_ENTITY_H
#define LEDGER_COMMAND_ENTITY_H

#include "ledger/command.h"
#include "ledger/entity.h"

/* Of the argument "budget": puts the record, gives its id (0 when none was asked for). */
int command_budget_new(struct command *command, enum budget_kind kind, uint32_t tenant_id,
                       uint32_t owner_id, uint64_t *budget_id) MUST_CHECK;
/*
 * Changes it where there is an argument "budget": "" or "none" takes it away. One with windows of
 * another kind is a new budget, whose id is kept instead. The owner is to be published after it.
 */
int command_budget_set(struct command *command, enum budget_kind kind, uint32_t tenant_id,
                       uint32_t owner_id, uint64_t *budget_id) MUST_CHECK;
/* The member "budget" of what is written: an object, or null for none. */
void command_budget_write(struct command *command, uint64_t budget_id);

/* Shows each of a walk, which ends here, in an array of that name. The id is at id_at of the key. */
int command_list(struct command *command, struct db_walk *walk, size_t id_at, const char *name,
                 int (*show)(struct command *command, uint32_t id)) MUST_CHECK;

struct command_child { /* a member or project to be */
    enum db_table table;
    enum budget_kind budget_kind;
    uint32_t tenant_id, id;
    struct str text; /* unique in its tenant */
};
/* Puts all but its document. -EEXIST: the text is taken. */
int command_child_new(struct command *command, const struct command_child *child,
                      uint64_t *budget_id) MUST_CHECK;

/*
 * A tenant under a new id, with its wallet and first credit; overdraft and state are the caller's. Refused,
 * with that field, when the name cannot be one or is taken.
 */
int command_tenant_new(struct command *command, struct entity_tenant *tenant, const char *field,
                       struct str name, int64_t credit_ucr) MUST_CHECK;

/*
 * Arguments that limit: "channels", "models" (and the flags "any_channel", "any_model"); "allow_ip"
 * ("any_ip"); "rpm", "tpm", "concurrency" and "shadow", the names of those that count only; "scopes";
 * "labels" ("no_labels"). What is not said stays. False when refused.
 */
bool command_allow_args(struct command *command, struct entity_allow *allow) MUST_CHECK;
bool command_cidr_args(struct command *command, struct entity_key *key) MUST_CHECK;
bool command_limits_args(struct command *command, struct entity_limits *limits) MUST_CHECK;
bool command_scopes_args(struct command *command, uint32_t *scopes) MUST_CHECK;
bool command_labels_args(struct command *command, struct entity_project *project) MUST_CHECK;
/* "prices": anew, or "none". Likewise. */
bool command_deal_args(struct command *command, struct entity_deals *deals) MUST_CHECK;
/* A list of strings, or one string with commas. Calls take for each; false when refused. */
bool command_each_string(struct command *command, const char *name, void *out,
                         bool (*take)(struct command *command, void *out, struct str text)) MUST_CHECK;
/* Refuses with that field where routes.conf has no such channel. */
bool command_channel_is(struct command *command, const char *field, struct str name) MUST_CHECK;
/* Some of these arguments is there, though it be null; refused when none is. NULL ends them. */
bool command_says_some(struct command *command, const char *const *names) MUST_CHECK;
#define COMMAND_LIMIT_NAMES                                                                        \
    "budget", "rpm", "tpm", "concurrency", "shadow", "channels", "models", "any_channel", "any_model"

/*
 * May the tenant have one more of these (DB_KEY, DB_MEMBER, DB_PROJECT), by manage in routes.conf? Refused with
 * "too_many" when not; the command line always may. In a COMMAND_WRITE, before it is put.
 */
int command_room_for(struct command *command, enum db_table table, uint32_t tenant_id) MUST_CHECK;

/* By unique text; refused, with *id 0, when there is none. */
int command_find(struct command *command, enum db_table table, uint32_t tenant_id, struct str text,
                 const char *what, uint32_t *id) MUST_CHECK;
/* Arguments "member" and "project" of a key, by address or name, or by id; *id is 0 when absent or refused. */
int command_member(struct command *command, uint32_t tenant_id, uint32_t *id) MUST_CHECK;
int command_project(struct command *command, uint32_t tenant_id, uint32_t *id) MUST_CHECK;
/* The member at that address, however it is spelt; refused, with *id 0, when there is none. */
int command_member_at(struct command *command, uint32_t tenant_id, struct str email, uint32_t *id) MUST_CHECK;

#endif

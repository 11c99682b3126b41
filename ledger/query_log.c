/*
 * The audit log, page by page, the newest first or the oldest: by tenant, actor, target, action and time.
 * On any thread.
 *
 * An index leads to the entries of what was asked for, of several things the one that most likely has the
 * fewest; what is asked for besides is looked for in each. A page ends when it is full, or when many were
 * looked at in vain: then it says where to go on. What is appended later moves no place.
 */
#include "ledger/audit_log.h"
#include "ledger/command.h"
#include "ledger/core.h"

#include "base/clock.h"
#include "base/str.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ROWS_DEFAULT 50u
#define ROWS_MAX 1000u
#define LOOKS_MAX 20000u

struct asked {
    uint32_t tenant_id;
    bool has_actor, has_target, has_action, oldest_first;
    unsigned actor_kind;
    uint64_t actor_id, target_id;
    struct str target_kind, action;
    int64_t since_us, until_us; /* 0: open */
    uint32_t limit;
    uint64_t from, to; /* numbers: from <= n < to */
};

/* ---- arguments ---- */

/* "person:7" */
static bool
thing_arg(struct command *command, const char *name, bool *given, struct str *kind, uint64_t *id)
{
    struct str text, number;

    *id = 0;
    if (!command_str(command, name, false, &text))
        return false;
    *given = text.len > 0;
    if (!*given)
        return true;
    *kind = str_split(text, ':', &number);
    if (kind->len > 0 && number.ptr != NULL && str_to_u64(number, id))
        return true;
    command_refuse_field(command, COMMAND_USAGE, "invalid", name,
                         "%s: \"%.*s\" is no kind and number", name, (int)MIN(text.len, 40u),
                         text.ptr);
    command_hint(command, "write key:5, person:7, tenant:1");
    return false;
}

static bool
actor_arg(struct command *command, struct asked *asked)
{
    struct str kind = STR_NONE;

    if (!thing_arg(command, "actor", &asked->has_actor, &kind, &asked->actor_id))
        return false;
    for (unsigned k = 0; k < ACTOR_KIND_COUNT; k++)
        if (str_eq(kind, str_from(command_actor_kind_name[k]))) {
            asked->actor_kind = k;
            return true;
        }
    if (!asked->has_actor)
        return true;
    command_refuse_field(command, COMMAND_USAGE, "invalid", "actor", "actor: there is no kind \"%.*s\"",
                         (int)MIN(kind.len, 40u), kind.ptr);
    command_hint(command, "one of person, key, cli, system");
    return false;
}

static bool
cursor_arg(struct command *command, struct asked *asked)
{
    struct str text;
    uint64_t n;

    if (!command_str(command, "cursor", false, &text))
        return false;
    if (text.len == 0)
        return true;
    if (!str_to_u64(text, &n)) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "cursor",
                             "cursor: that is no page's end");
        command_hint(command, "give what the page before had as its \"next\"");
        return false;
    }
    if (asked->oldest_first)
        asked->from = n;
    else
        asked->to = n;
    return true;
}

static bool
asked_args(struct command *command, struct asked *asked)
{
    struct db_key key;

    asked->from = 1;
    asked->to = UINT64_MAX;
    if (!command_tenant(command, "tenant", false, &asked->tenant_id) ||
        !command_u32(command, "limit", &asked->limit) ||
        !command_time(command, "since", &asked->since_us) ||
        !command_time(command, "until", &asked->until_us) ||
        !command_flag(command, "oldest_first", &asked->oldest_first) || !actor_arg(command, asked) ||
        !thing_arg(command, "target", &asked->has_target, &asked->target_kind, &asked->target_id) ||
        !command_str(command, "action", false, &asked->action) || !cursor_arg(command, asked))
        return false;
    asked->has_action = asked->action.len > 0;
    if (asked->limit > ROWS_MAX) {
        command_refuse_field(command, COMMAND_USAGE, "out_of_range", "limit", "limit: at most %u",
                             ROWS_MAX);
        return false;
    }
    if (asked->limit == 0)
        asked->limit = ROWS_DEFAULT;
    if ((asked->has_target && !audit_key_target(&key, asked->target_kind, 0)) ||
        (asked->has_action && !audit_key_action(&key, asked->action))) {
        command_refuse_field(command, COMMAND_USAGE, "too_long",
                             asked->has_target ? "target" : "action", "that is too long");
        return false;
    }
    return true;
}

/* ---- entries ---- */

static int
entry_get(struct command *command, uint64_t seq, struct js_value *entry)
{
    struct db_key key = db_key_of_u64(seq);
    struct str value, json, hash;
    struct js_error err;
    int rc = db_get(&command->txn, DB_AUDIT, &key, &value);

    if (rc == 0)
        rc = audit_entry_read(value, &json, &hash);
    if (rc == 0 && !js_check(json, entry, &err))
        rc = -EILSEQ;
    return rc;
}

static int64_t
entry_time(struct js_value entry)
{
    int64_t wall_us;

    return clock_parse(js_get(entry, STR("time")).raw, &wall_us) ? wall_us : 0;
}

/* The first number from which on all are at that time or later: they go up with their numbers. */
static int
first_at(struct command *command, uint64_t count, int64_t wall_us, uint64_t *seq)
{
    uint64_t low = 1, high = count + 1;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct js_value entry;
        int rc = entry_get(command, middle, &entry);

        if (rc < 0)
            return rc == -ENOENT ? -EILSEQ : rc;
        if (entry_time(entry) < wall_us)
            low = middle + 1;
        else
            high = middle;
    }
    *seq = low;
    return 0;
}

static int
bound_by_time(struct command *command, struct asked *asked)
{
    struct audit_tail tail;
    uint64_t seq;
    int rc = audit_tail_get(&command->txn, &tail);

    asked->to = MIN(asked->to, tail.count + 1);
    if (rc == 0 && asked->since_us > 0) {
        rc = first_at(command, tail.count, asked->since_us, &seq);
        if (rc == 0)
            asked->from = MAX(asked->from, seq);
    }
    if (rc == 0 && asked->until_us > 0) {
        rc = first_at(command, tail.count, asked->until_us, &seq);
        if (rc == 0)
            asked->to = MIN(asked->to, seq);
    }
    return rc;
}

static bool
is_thing(struct js_value thing, struct str kind, uint64_t id)
{
    int64_t n = 0;
    struct js_value number = js_get(thing, STR("id"));

    return js_str_eq(js_get(thing, STR("kind")), kind) &&
           (js_is(number, JS_NONE) || js_i64(number, &n)) && (uint64_t)n == id;
}

static bool
is_target(struct js_value entry, struct str kind, uint64_t id)
{
    struct js_value key, thing;
    struct js_iter it;

    if (is_thing(js_get(entry, STR("target")), kind, id))
        return true;
    for (js_iter_init(&it, js_get(entry, STR("also"))); js_next(&it, &key, &thing);)
        if (is_thing(thing, kind, id))
            return true;
    return false;
}

static bool
is_wanted(const struct asked *asked, struct js_value entry)
{
    int64_t tenant = 0;

    if (asked->tenant_id != 0 &&
        (!js_i64(js_get(entry, STR("tenant")), &tenant) || tenant != asked->tenant_id))
        return false;
    if (asked->has_actor &&
        !is_thing(js_get(entry, STR("actor")), str_from(command_actor_kind_name[asked->actor_kind]),
                  asked->actor_id))
        return false;
    if (asked->has_target && !is_target(entry, asked->target_kind, asked->target_id))
        return false;
    return !asked->has_action || js_str_eq(js_get(entry, STR("action")), asked->action);
}

/* ---- the page ---- */

/* Where to walk, without the number at its end; DB_AUDIT itself when nothing was asked for. */
static enum db_table
walk_key(const struct asked *asked, struct db_key *key)
{
    bool fits = true;

    if (asked->has_target)
        fits = audit_key_target(key, asked->target_kind, asked->target_id);
    else if (asked->has_actor)
        audit_key_actor(key, asked->actor_kind, asked->actor_id);
    else if (asked->tenant_id != 0)
        audit_key_tenant(key, asked->tenant_id);
    else if (asked->has_action)
        fits = audit_key_action(key, asked->action);
    else
        db_key_start(key);
    ASSERT(fits);
    return key->len > 0 ? DB_AUDIT_INDEX : DB_AUDIT;
}

static int
write_page(struct command *command, const struct asked *asked, uint64_t *next)
{
    struct db_key key;
    struct db_walk walk;
    struct str bytes, value;
    enum db_table table = walk_key(asked, &key);
    size_t prefix_len = key.len;
    uint32_t written = 0, looks = 0;
    int rc;

    *next = 0;
    db_key_u64(&key, asked->oldest_first ? asked->from : asked->to);
    rc = asked->oldest_first ? db_walk_start(&command->txn, table, &key, prefix_len, &walk)
                             : db_walk_start_down(&command->txn, table, &key, prefix_len, &walk);
    while (rc == 0 && db_walk_next(&walk, &bytes, &value)) {
        uint64_t seq = db_u64(bytes, prefix_len);
        struct js_value entry;

        if (seq < asked->from || seq >= asked->to)
            break;
        if (written == asked->limit || looks++ == LOOKS_MAX) {
            *next = asked->oldest_first ? seq : seq + 1;
            break;
        }
        rc = entry_get(command, seq, &entry);
        if (rc == 0 && is_wanted(asked, entry)) {
            jw_js(&command->jw, entry);
            written++;
        }
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

static int
log_list(struct command *command)
{
    struct asked asked = {0};
    char text[24];
    uint64_t next = 0;
    int rc;

    if (!asked_args(command, &asked))
        return 0;
    rc = bound_by_time(command, &asked);
    jw_key(&command->jw, "entries");
    jw_array(&command->jw);
    if (rc == 0)
        rc = write_page(command, &asked, &next);
    jw_array_end(&command->jw);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)next);
    jw_key_cstr(&command->jw, "next", next != 0 ? text : NULL);
    jw_key_time(&command->jw, "since", asked.since_us);
    jw_key_time(&command->jw, "until", asked.until_us);
    return rc;
}

const struct command_def command_log_defs[] = {
    {.name = "log.list", .kind = COMMAND_READ, .run = log_list},
    {.name = NULL},
};

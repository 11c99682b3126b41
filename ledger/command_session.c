/* Commands about sessions: who is signed in, from where, until when. */
#include "ledger/command_person.h"

#include "base/hash.h"
#include "base/str.h"
#include "ledger/core.h"

#include <errno.h>
#include <string.h>

#define SESSION_S_MAX (366u * 86400u)
#define STALE_US (5 * MINUTE_US) /* its last use is written down no more often */

static void
write_session(struct command *command, const struct session *s)
{
    char id[SESSION_ID_LEN + 1];

    str_hex(s->hash, SESSION_ID_LEN / 2, id);
    jw_key_cstr(&command->jw, "id", id);
    jw_key_time(&command->jw, "created", s->created_us);
    jw_key_time(&command->jw, "expires", s->expires_us);
    jw_key_time(&command->jw, "seen", s->seen_us);
    jw_key_cstr(&command->jw, "ip", s->ip);
    jw_key_cstr(&command->jw, "agent", s->agent);
}

/* Of the argument "token": found is false when there is no such session; nothing is refused. */
static int
get_by_token(struct command *command, struct session *s, bool *found)
{
    uint8_t hash[HASH_LEN];
    struct str token;
    int rc;

    *found = false;
    if (!command_str(command, "token", true, &token) || !token_well_formed(token))
        return 0;
    session_hash(command->ledger->key_hash_key, token, hash);
    rc = session_get(&command->txn, hash, ledger_wall_us(command->ledger), s);
    *found = rc == 0 && ledger_wall_us(command->ledger) - s->seen_us <
                            command_rules(command).session_idle_us + STALE_US;
    return rc == -ENOENT ? 0 : rc;
}

static void
refuse_gone(struct command *command)
{
    command_refuse_field(command, COMMAND_FAILED, "token_gone", NULL, "there is no such session");
    command_absent(command);
}

/* ---- who it is ---- */

static int
write_tenant(struct command *command, const struct person *p)
{
    struct entity_tenant t;
    struct entity_member m;
    int rc;

    if (p->tenant_id == 0) {
        jw_key_cstr(&command->jw, "tenant", NULL);
        jw_key_cstr(&command->jw, "member", NULL);
        return 0;
    }
    rc = entity_tenant_get(&command->txn, p->tenant_id, &t);
    if (rc == 0)
        rc = entity_member_get(&command->txn, p->member_id, &m);
    if (rc < 0)
        return rc;
    jw_key(&command->jw, "tenant");
    jw_object(&command->jw);
    jw_key_u64(&command->jw, "id", t.id);
    jw_key_cstr(&command->jw, "name", t.name);
    jw_key_bool(&command->jw, "disabled", t.disabled);
    jw_key_bool(&command->jw, "pending", t.pending);
    jw_object_end(&command->jw);
    jw_key(&command->jw, "member");
    jw_object(&command->jw);
    jw_key_u64(&command->jw, "id", m.id);
    jw_key_cstr(&command->jw, "role", m.role);
    jw_object_end(&command->jw);
    return 0;
}

/* What the manage process has to know of every request that bears a session's cookie. */
static int
session_find(struct command *command)
{
    struct session s;
    struct person p = {0};
    bool found;
    int rc = get_by_token(command, &s, &found);

    if (rc == 0 && found)
        rc = person_get(&command->txn, s.person_id, &p);
    if (rc < 0)
        return rc;
    if (!found || p.disabled || p.removed) {
        refuse_gone(command);
        return 0;
    }
    write_session(command, &s);
    jw_key_cstr(&command->jw, "csrf", s.csrf);
    jw_key_bool(&command->jw, "stale", ledger_wall_us(command->ledger) - s.seen_us > STALE_US);
    jw_key(&command->jw, "person");
    jw_object(&command->jw);
    jw_key_u64(&command->jw, "id", p.id);
    jw_key_cstr(&command->jw, "email", p.email);
    jw_key_cstr(&command->jw, "name", p.name);
    jw_key_cstr(&command->jw, "locale", p.locale);
    jw_key_bool(&command->jw, "platform", p.platform);
    jw_key_bool(&command->jw, "second_factor", p.totp_on);
    jw_object_end(&command->jw);
    return write_tenant(command, &p);
}

/* ---- opening ---- */

static int
drop_oldest(struct command *command, uint32_t person_id)
{
    struct session *list = arena_alloc(&command->arena, SESSIONS_MAX * sizeof(*list));
    uint32_t count, oldest = 0;
    int rc;

    if (list == NULL)
        return -ENOMEM;
    rc = session_list(&command->txn, person_id, ledger_wall_us(command->ledger), list, &count);
    if (rc < 0 || count < SESSIONS_MAX)
        return rc;
    for (uint32_t i = 1; i < count; i++)
        if (list[i].created_us < list[oldest].created_us)
            oldest = i;
    return session_drop(&command->txn, &list[oldest]);
}

static int
open_session(struct command *command, struct person *p, uint32_t seconds)
{
    int64_t now_us = ledger_wall_us(command->ledger);
    struct session s = {.person_id = p->id, .created_us = now_us, .seen_us = now_us};
    char token[TOKEN_LEN + 1];
    int rc;

    s.expires_us = now_us + (int64_t)seconds * 1000000;
    if (!command_text(command, "ip", false, s.ip, sizeof(s.ip)) ||
        !command_text(command, "agent", false, s.agent, sizeof(s.agent)))
        return 0;
    token_new(token);
    token_new(s.csrf);
    session_hash(command->ledger->key_hash_key, str_from(token), s.hash);
    rc = session_sweep(&command->txn, now_us);
    if (rc == 0)
        rc = drop_oldest(command, p->id);
    if (rc == 0)
        rc = session_put(&command->txn, &s);
    p->login_us = now_us;
    if (rc == 0)
        rc = person_put(&command->txn, p);
    if (rc == 0)
        rc = command_failures_clear(command, p->email);
    command_target(command, "person", p->id, p->tenant_id);
    command->changed = true;
    jw_key_cstr(&command->jw, "token", token);
    jw_key_cstr(&command->jw, "csrf", s.csrf);
    jw_key_u64(&command->jw, "seconds", seconds);
    write_session(command, &s);
    explicit_bzero(token, sizeof(token));
    return rc;
}

static int
session_open(struct command *command)
{
    uint32_t seconds;
    struct person p;
    int rc;

    if (!command_u32(command, "seconds", &seconds))
        return 0;
    rc = command_person(command, "person", &p);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (seconds > SESSION_S_MAX) {
        command_refuse_field(command, COMMAND_USAGE, "out_of_range", "seconds", "at most a year");
        return 0;
    }
    if (p.disabled) {
        command_refuse_field(command, COMMAND_NOT_ALLOWED, "disabled", NULL,
                             "this person may not sign in");
        return 0;
    }
    if (seconds == 0)
        seconds = (uint32_t)(command_rules(command).session_us / 1000000);
    return open_session(command, &p, seconds);
}

static int
session_touch(struct command *command)
{
    struct session s;
    bool found;
    int rc = get_by_token(command, &s, &found);

    if (rc < 0 || !found) {
        if (rc == 0)
            refuse_gone(command);
        return rc;
    }
    if (!command_text(command, "ip", false, s.ip, sizeof(s.ip)))
        return 0;
    s.seen_us = ledger_wall_us(command->ledger);
    command->changed = true;
    return session_put(&command->txn, &s);
}

/* ---- listing and ending ---- */

static int
session_list_all(struct command *command)
{
    struct session *list = arena_alloc(&command->arena, SESSIONS_MAX * sizeof(*list)), own = {0};
    struct person p;
    uint32_t count;
    bool found = false;
    int rc = command_person(command, "person", &p);

    if (list == NULL)
        return -ENOMEM;
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (command_has(command, "token"))
        rc = get_by_token(command, &own, &found);
    if (rc == 0)
        rc = session_list(&command->txn, p.id, ledger_wall_us(command->ledger), list, &count);
    if (rc < 0)
        return rc;
    jw_key(&command->jw, "sessions");
    jw_array(&command->jw);
    for (uint32_t i = 0; i < count; i++) {
        jw_object(&command->jw);
        write_session(command, &list[i]);
        jw_key_bool(&command->jw, "current", found && hash_eq(list[i].hash, own.hash));
        jw_object_end(&command->jw);
    }
    jw_array_end(&command->jw);
    return 0;
}

/* By what it is called: of that person's only. */
static int
get_by_id(struct command *command, struct session *s, bool *found)
{
    struct session *list = arena_alloc(&command->arena, SESSIONS_MAX * sizeof(*list));
    char id[SESSION_ID_LEN + 1];
    struct person p;
    struct str wanted;
    uint32_t count;
    int rc;

    *found = false;
    if (list == NULL)
        return -ENOMEM;
    if (!command_str(command, "id", true, &wanted))
        return 0;
    rc = command_person(command, "person", &p);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    rc = session_list(&command->txn, p.id, ledger_wall_us(command->ledger), list, &count);
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        str_hex(list[i].hash, SESSION_ID_LEN / 2, id);
        if (!str_eq(wanted, str_from(id)))
            continue;
        *s = list[i];
        *found = true;
    }
    return rc;
}

static int
session_close(struct command *command)
{
    struct session s;
    bool found;
    int rc = command_has(command, "token") ? get_by_token(command, &s, &found)
                                           : get_by_id(command, &s, &found);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (!found) {
        refuse_gone(command);
        return 0;
    }
    command_target(command, "person", s.person_id, 0);
    command->changed = true;
    jw_key_bool(&command->jw, "closed", true);
    return session_drop(&command->txn, &s);
}

/* All of a person's, but for that of the argument "token" when there is one. */
static int
session_close_all(struct command *command)
{
    struct session own;
    struct person p;
    uint32_t count = 0;
    bool found = false;
    int rc = command_person(command, "person", &p);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (command_has(command, "token"))
        rc = get_by_token(command, &own, &found);
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = session_drop_all(&command->txn, p.id, found ? own.hash : NULL, &count);
    command_target(command, "person", p.id, p.tenant_id);
    command->changed = count > 0;
    jw_key_u64(&command->jw, "closed", count);
    return rc;
}

const struct command_def command_session_defs[] = {
    {.name = "session.open", .kind = COMMAND_WRITE, .run = session_open},
    {.name = "session.find", .kind = COMMAND_READ, .run = session_find},
    {.name = "session.touch", .kind = COMMAND_WRITE, .run = session_touch, .quiet = true},
    {.name = "session.list", .kind = COMMAND_READ, .run = session_list_all},
    {.name = "session.close", .kind = COMMAND_WRITE, .run = session_close},
    {.name = "session.close_all", .kind = COMMAND_WRITE, .run = session_close_all},
    {.name = NULL},
};

#include "ledger/mail.h"

#include "base/log.h"
#include "base/rng.h"
#include "base/seal.h"
#include "base/str.h"
#include "ledger/core.h"
#include "ledger/entity.h"
#include "ledger/outbox.h"

#include <errno.h>
#include <string.h>

#define QUEUE_MAX UINT64_C(100000)
#define SECURITY_ONLY (QUEUE_MAX / 4)
/* So long ago is due what goes first: before all that became due by itself. */
#define FIRST_US (1000 * OUTBOX_DAY_US)
#define NEXT_MAX 32u
#define TIDY_MAX 64u
#define FIRST_WAIT_US INT64_C(15000000)
#define WHAT_BYTES_MAX (128u << 10)
#define WHY_LEN_MAX 200u
#define ROLES_TOLD_MAX 8u
#define ROLES_LOOKED_AT_MAX 1000u
#define SEALED "mail"

const char *const mail_kind_name[MAIL_KIND_COUNT] = {
    [MAIL_VERIFY] = "verify",
    [MAIL_LOGIN] = "login",
    [MAIL_CHANGE_EMAIL] = "change-email",
    [MAIL_RESET] = "reset",
    [MAIL_REGISTERED] = "registered",
    [MAIL_INVITATION] = "invitation",
    [MAIL_ALERT_BUDGET] = "alert-budget",
    [MAIL_ALERT_BALANCE] = "alert-balance",
    [MAIL_APPROVAL] = "approval",
    [MAIL_APPROVED] = "approved",
    [MAIL_REFUSED] = "refused",
    [MAIL_PASSWORD_CHANGED] = "password-changed",
    [MAIL_EMAIL_CHANGED] = "email-changed",
    [MAIL_WEBHOOK_OFF] = "webhook-off",
};
_Static_assert(COUNT_OF(mail_kind_name) == MAIL_KIND_COUNT, "a new kind needs a name");
_Static_assert(MAIL_KIND_COUNT <= 32, "a bit each");

/* ---- into the queue ---- */

enum { WAITED_FOR = 1, SECURITY = 2 };
static const uint8_t nature[MAIL_KIND_COUNT] = {
    [MAIL_VERIFY] = WAITED_FOR | SECURITY,
    [MAIL_LOGIN] = WAITED_FOR | SECURITY,
    [MAIL_CHANGE_EMAIL] = WAITED_FOR | SECURITY,
    [MAIL_RESET] = WAITED_FOR | SECURITY,
    [MAIL_REGISTERED] = WAITED_FOR | SECURITY, /* in a code's place */
    [MAIL_INVITATION] = WAITED_FOR,
    [MAIL_PASSWORD_CHANGED] = SECURITY,
    [MAIL_EMAIL_CHANGED] = SECURITY,
};

uint64_t
mail_waiting(struct db_txn *txn)
{
    return db_size(txn, DB_MAIL).entries / 2; /* itself, and when it is due */
}

static bool
has_room(struct command *command, enum mail_kind kind)
{
    return mail_waiting(&command->txn) < ((nature[kind] & SECURITY) != 0 ? QUEUE_MAX : QUEUE_MAX - SECURITY_ONLY);
}

bool
mail_has_room(struct command *command, enum mail_kind kind)
{
    if (has_room(command, kind))
        return true;
    command_refuse(command, COMMAND_BUSY, "too much mail waits to be sent");
    return false;
}

int
mail_dropped(struct db_txn *txn, uint64_t *count)
{
    struct str value;
    int rc = db_meta_get(txn, "mail-dropped", &value);

    *count = 0;
    if (rc == 0 && value.len != sizeof(*count))
        return -EILSEQ;
    if (rc == 0)
        memcpy(count, value.ptr, sizeof(*count));
    return rc == -ENOENT ? 0 : rc;
}

static int
drop(struct command *command, const struct mail_new *mail)
{
    uint64_t count;
    int rc = mail_dropped(&command->txn, &count);

    log_warn("mail.dropped", "template=%s why=\"too much mail waits to be sent\"", mail_kind_name[mail->kind]);
    count++;
    command->changed = true;
    command->note.mail_dropped |= 1u << mail->kind;
    return rc < 0 ? rc : db_meta_put(&command->txn, "mail-dropped",
                                     (struct str){(const char *)&count, sizeof(count)});
}

static bool
value_ok(struct str value)
{
    for (size_t i = 0; i < value.len; i++)
        if ((uint8_t)value.ptr[i] < ' ' || value.ptr[i] == 0x7f)
            return false;
    return value.len <= MAIL_VALUE_LEN_MAX;
}

/* As it stands between "<" and ">", where nothing is quoted. */
bool
mail_can_go_to(struct str address)
{
    for (size_t i = 0; i < address.len; i++)
        if (strchr("<>()[]\\,;:\"", address.ptr[i]) != NULL)
            return false;
    return entity_email_ok(address);
}

static bool
mail_ok(struct command *command, const struct mail_new *mail)
{
    if (!mail_can_go_to(mail->to)) {
        command_refuse(command, COMMAND_USAGE, "\"%.*s\" is not a mail address",
                       (int)MIN(mail->to.len, 96u), mail->to.ptr);
        return false;
    }
    for (unsigned i = 0; i < mail->var_count; i++)
        if (!value_ok(mail->vars[i].value)) {
            command_refuse(command, COMMAND_USAGE, "%s does not fit into a mail",
                           mail->vars[i].name);
            return false;
        }
    return (nature[mail->kind] & WAITED_FOR) == 0 || mail_has_room(command, mail->kind);
}

static bool
vars_seal(struct command *command, const struct mail_new *mail, struct buf *hex)
{
    struct buf vars;
    struct jw jw;
    bool ok;

    buf_init(&vars, WHAT_BYTES_MAX / 4);
    jw_init(&jw, &vars);
    jw_object(&jw);
    for (unsigned i = 0; i < mail->var_count; i++)
        if (mail->vars[i].value.len > 0)
            jw_key_str(&jw, mail->vars[i].name, mail->vars[i].value);
    jw_object_end(&jw);
    ok = !vars.failed &&
         seal_close(command->ledger->key_hash_key, SEALED, buf_str(&vars), hex);
    if (vars.ptr != NULL)
        explicit_bzero(vars.ptr, vars.cap);
    buf_free(&vars);
    return ok;
}

static void
what_write(struct buf *out, const struct mail_new *mail, struct str sealed)
{
    struct jw jw;

    jw_init(&jw, out);
    jw_object(&jw);
    jw_key_cstr(&jw, "template", mail_kind_name[mail->kind]);
    jw_key_str(&jw, "to", mail->to);
    jw_key_str(&jw, "locale", mail->locale);
    jw_key_u64(&jw, "tenant", mail->tenant_id);
    jw_key_quoted(&jw, "sealed", sealed);
    jw_object_end(&jw);
}

int
mail_queue(struct command *command, const struct mail_new *mail)
{
    int64_t now_us = ledger_wall_us(command->ledger);
    struct outbox_item item = {.created_us = now_us, .due_us = now_us, .until_us = mail->until_us};
    struct buf sealed, what;
    int rc = -ENOMEM;

    ASSERT(command->def->kind == COMMAND_WRITE);
    ASSERT(mail->kind < MAIL_KIND_COUNT && mail->var_count <= MAIL_VARS_MAX);
    if (!mail_ok(command, mail))
        return 0;
    if (!has_room(command, mail->kind))
        return drop(command, mail);
    if ((nature[mail->kind] & SECURITY) != 0)
        item.due_us = MAX(now_us - FIRST_US, 1);
    if (item.until_us == 0)
        item.until_us = now_us + OUTBOX_DAY_US;
    buf_init(&sealed, WHAT_BYTES_MAX);
    buf_init(&what, WHAT_BYTES_MAX);
    if (vars_seal(command, mail, &sealed)) {
        what_write(&what, mail, buf_str(&sealed));
        item.what = buf_str(&what);
        if (!what.failed)
            rc = outbox_add(&command->txn, DB_MAIL, &item);
    }
    buf_free(&sealed);
    buf_free(&what);
    if (rc == 0)
        command->changed = true;
    return rc;
}

/* ---- to a tenant's people ---- */

static bool
has_role(const struct entity_member *member, const char *const *roles)
{
    while (*roles != NULL && strcmp(member->role, *roles) != 0)
        roles++;
    return *roles != NULL && !member->removed;
}

int
mail_queue_roles(struct command *command, struct mail_new *mail, const char *const *roles)
{
    struct entity_member *member = arena_alloc(&command->arena, sizeof(*member));
    uint32_t ids[ROLES_TOLD_MAX], count = 0, looked = 0;
    struct db_walk walk;
    struct str key, value;
    int rc;

    if (member == NULL)
        return -ENOMEM;
    rc = entity_children(&command->txn, DB_MEMBER, mail->tenant_id, &walk);
    if (rc < 0)
        return rc;
    /* The walk is over before anything is put. */
    while (rc == 0 && count < ROLES_TOLD_MAX && looked++ < ROLES_LOOKED_AT_MAX &&
           db_walk_next(&walk, &key, &value)) {
        ids[count] = db_u32(key, ENTITY_CHILD_ID_AT);
        rc = entity_member_get(&command->txn, ids[count], member);
        count += rc == 0 && has_role(member, roles);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        rc = entity_member_get(&command->txn, ids[i], member);
        mail->to = str_from(member->email);
        if (rc == 0 && mail_can_go_to(mail->to))
            rc = mail_queue(command, mail);
    }
    return rc;
}

/* ---- mail.put: the same for who is no command ---- */

static bool
arg_kind(struct command *command, enum mail_kind *kind)
{
    struct str name;

    if (!command_str(command, "template", true, &name))
        return false;
    for (int i = 0; i < MAIL_KIND_COUNT; i++)
        if (str_eq(name, str_from(mail_kind_name[i]))) {
            *kind = (enum mail_kind)i;
            return true;
        }
    command_refuse(command, COMMAND_USAGE, "there is no mail \"%.*s\"", (int)MIN(name.len, 40u),
                   name.ptr);
    return false;
}

static bool
arg_vars(struct command *command, struct mail_var *vars, unsigned *count)
{
    struct js_value object = js_get(command->args, STR("vars")), key, value;
    struct js_iter it;
    char *text;

    *count = 0;
    for (js_iter_init(&it, object); js_next(&it, &key, &value);) {
        text = arena_alloc(&command->arena, value.raw.len + 1);
        if (*count == MAIL_VARS_MAX || key.escaped || !entity_text_ok(key.raw, 32) ||
            !js_is(value, JS_STRING) || text == NULL) {
            command_refuse(command, COMMAND_USAGE, "vars are at most %u texts by their names",
                           MAIL_VARS_MAX);
            return false;
        }
        vars[*count].name = arena_copy(&command->arena, key.raw);
        vars[*count].value = js_unescape(value, text, value.raw.len + 1);
        if (vars[(*count)++].name == NULL)
            return false;
    }
    return true;
}

static int
mail_put(struct command *command)
{
    struct mail_var vars[MAIL_VARS_MAX];
    struct mail_new mail = {.vars = vars};

    if (!arg_kind(command, &mail.kind) || !command_str(command, "to", true, &mail.to) ||
        !command_str(command, "locale", false, &mail.locale) ||
        !command_u32(command, "tenant", &mail.tenant_id) ||
        !command_time(command, "until", &mail.until_us) ||
        !arg_vars(command, vars, &mail.var_count))
        return 0;
    return mail_queue(command, &mail);
}

/* ---- out of it ---- */

static struct str
text_of(struct command *command, struct js_value what, const char *name)
{
    struct js_value value = js_get(what, str_from(name));
    char *text = arena_alloc(&command->arena, value.raw.len + 1);

    return js_is(value, JS_STRING) && text != NULL ? js_unescape(value, text, value.raw.len + 1)
                                                   : STR("");
}

static void
give_up(struct command *command, const struct outbox_item *item, struct str why)
{
    struct js_value what;
    struct js_error err;

    if (!js_check(item->what, &what, &err))
        return;
    log_warn("mail.given-up", "id=%llu template=%.*s tries=%u why=%s", (unsigned long long)item->id,
             STR_ARGS(text_of(command, what, "template")), item->tries, log_quote(why));
}

static int
hand_out(struct command *command, struct outbox_item *item)
{
    struct jw *jw = &command->jw;
    struct js_value what;
    struct js_error err;
    struct buf vars;
    int64_t due_was_us = item->due_us;

    if (!js_check(item->what, &what, &err))
        return -EILSEQ;
    buf_init(&vars, WHAT_BYTES_MAX);
    if (!seal_open(command->ledger->key_hash_key, SEALED, js_get(what, STR("sealed")).raw, &vars)) {
        give_up(command, item, STR("its seal is broken"));
        return outbox_drop(&command->txn, DB_MAIL, item);
    }
    jw_object(jw);
    jw_key_u64(jw, "id", item->id);
    jw_key_u64(jw, "tries", item->tries);
    jw_key_i64(jw, "created_us", item->created_us);
    jw_key_js(jw, "template", js_get(what, STR("template")));
    jw_key_js(jw, "to", js_get(what, STR("to")));
    jw_key_js(jw, "locale", js_get(what, STR("locale")));
    jw_key(jw, "vars");
    jw_raw(jw, buf_str(&vars));
    jw_object_end(jw);
    if (vars.ptr != NULL)
        explicit_bzero(vars.ptr, vars.cap);
    buf_free(&vars);
    item->tries++;
    item->due_us = ledger_wall_us(command->ledger) + OUTBOX_LEASE_US;
    return outbox_put(&command->txn, DB_MAIL, item, due_was_us);
}

static int
mail_next(struct command *command)
{
    int64_t now_us = ledger_wall_us(command->ledger);
    struct outbox_item item;
    uint64_t ids[NEXT_MAX];
    uint32_t limit;
    unsigned count;
    int rc;

    if (!command_u32(command, "limit", &limit))
        return 0;
    limit = limit == 0 ? NEXT_MAX : MIN(limit, NEXT_MAX);
    rc = outbox_due(&command->txn, DB_MAIL, 0, now_us, ids, limit, &count);
    jw_key(&command->jw, "mails");
    jw_array(&command->jw);
    for (unsigned i = 0; rc == 0 && i < count; i++) {
        rc = outbox_get(&command->txn, DB_MAIL, ids[i], &item);
        if (rc < 0)
            break;
        command->changed = true;
        if (item.until_us > now_us) {
            rc = hand_out(command, &item);
            continue;
        }
        give_up(command, &item, STR("its time is over"));
        rc = outbox_drop(&command->txn, DB_MAIL, &item);
    }
    jw_array_end(&command->jw);
    return rc;
}

/* The one that the argument "id" names; *there is false when it is gone, which is no fault: it was said before. */
static int
load_item(struct command *command, struct outbox_item *item, bool *there)
{
    uint32_t id;
    int rc;

    *there = false;
    if (!command_id(command, "id", true, &id))
        return 0;
    rc = outbox_get(&command->txn, DB_MAIL, id, item);
    *there = rc == 0;
    return rc == -ENOENT ? 0 : rc;
}

static int
mail_done(struct command *command)
{
    struct outbox_item item;
    bool there;
    int rc = load_item(command, &item, &there);

    if (rc < 0 || !there)
        return rc;
    command->changed = true;
    return outbox_drop(&command->txn, DB_MAIL, &item);
}

static int
mail_failed(struct command *command)
{
    int64_t now_us = ledger_wall_us(command->ledger);
    struct outbox_item item;
    struct str why;
    bool there, for_good;
    int rc = load_item(command, &item, &there);

    if (rc < 0 || !there || !command_str(command, "why", false, &why) ||
        !command_flag(command, "for_good", &for_good))
        return rc;

    int64_t due_was_us = item.due_us;

    command->changed = true;
    why.len = MIN(why.len, WHY_LEN_MAX);
    item.due_us = now_us + outbox_wait_us(item.tries, FIRST_WAIT_US, rng_u64());
    if (!for_good && item.due_us < item.until_us)
        return outbox_put(&command->txn, DB_MAIL, &item, due_was_us);
    item.due_us = due_was_us;
    give_up(command, &item, why);
    return outbox_drop(&command->txn, DB_MAIL, &item);
}

/* Of those due from from_us on, the first. */
static int
tidy_from(struct command *command, int64_t from_us, uint64_t *dropped)
{
    int64_t now_us = ledger_wall_us(command->ledger);
    struct outbox_item item;
    uint64_t ids[TIDY_MAX];
    unsigned count;
    int rc = outbox_due(&command->txn, DB_MAIL, from_us, now_us, ids, TIDY_MAX, &count);

    for (unsigned i = 0; rc == 0 && i < count; i++) {
        rc = outbox_get(&command->txn, DB_MAIL, ids[i], &item);
        if (rc < 0)
            break;

        if (item.until_us > now_us)
            continue;
        command->changed = true;
        rc = outbox_drop(&command->txn, DB_MAIL, &item);
        ++*dropped;
    }
    return rc;
}

/* Where nobody sends: what is of no use any more goes, some of it each time, and of what goes first as of the others. */
static int
mail_tidy(struct command *command)
{
    uint64_t dropped = 0;
    int rc = tidy_from(command, 0, &dropped);

    if (rc == 0)
        rc = tidy_from(command, MAX(ledger_wall_us(command->ledger) - FIRST_US / 2, 0), &dropped);
    if (dropped > 0)
        log_warn("mail.dropped", "count=%llu why=\"nobody sent it\"", (unsigned long long)dropped);
    jw_key_u64(&command->jw, "dropped", dropped);
    return rc;
}

/* What waits: to whom and since when, not what it says. */
static int
mail_list(struct command *command)
{
    struct db_walk walk;
    struct db_key from;
    struct str key, value;
    struct outbox_item item;
    struct js_value what;
    struct js_error err;
    struct jw *jw = &command->jw;
    unsigned left = 1000;
    int rc;

    db_key_start(&from);
    db_key_u8(&from, 'i');
    rc = db_walk_start(&command->txn, DB_MAIL, &from, 1, &walk);
    if (rc < 0)
        return rc;
    jw_key(jw, "mails");
    jw_array(jw);
    while (rc == 0 && left-- > 0 && db_walk_next(&walk, &key, &value)) {
        rc = outbox_get(&command->txn, DB_MAIL, db_u64(key, 1), &item);
        if (rc < 0 || !js_check(item.what, &what, &err))
            continue;
        jw_object(jw);
        jw_key_u64(jw, "id", item.id);
        jw_key_js(jw, "template", js_get(what, STR("template")));
        jw_key_js(jw, "to", js_get(what, STR("to")));
        jw_key_u64(jw, "tries", item.tries);
        jw_key_time(jw, "created", item.created_us);
        jw_key_time(jw, "due", MAX(item.due_us, item.created_us));
        jw_object_end(jw);
    }
    jw_array_end(jw);
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}

const struct command_def command_mail_defs[] = {
    {.name = "mail.put", .kind = COMMAND_WRITE, .quiet = true, .run = mail_put},
    {.name = "mail.next", .kind = COMMAND_WRITE, .quiet = true, .run = mail_next},
    {.name = "mail.done", .kind = COMMAND_WRITE, .quiet = true, .run = mail_done},
    {.name = "mail.failed", .kind = COMMAND_WRITE, .quiet = true, .run = mail_failed},
    {.name = "mail.tidy", .kind = COMMAND_WRITE, .quiet = true, .run = mail_tidy},
    {.name = "mail.list", .kind = COMMAND_READ, .run = mail_list},
    {.name = NULL},
};

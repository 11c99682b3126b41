/*
 * Codes that are sent by mail, tickets, and failures to sign in.
 *
 * Who asks for a code never learns whether anybody has that address: the same is written down and
 * answered in either case, only what the mail says differs, or that there is none. A code is six digits,
 * for ten minutes; five tries are counted before each is looked at, so that many at once are no more.
 */
#include "ledger/command_person.h"

#include "base/hash.h"
#include "base/rng.h"
#include "base/str.h"
#include "ledger/core.h"
#include "ledger/mail.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CODE_MINUTES 10
#define CODE_TRIES 5u
#define CODE_AGAIN_US MINUTE_US
#define CODES_A_DAY 10u
#define TICKET_TRIES 5u
#define TICKET_MINUTES 15u
#define TICKET_MINUTES_MAX (30u * 24u * 60u)
#define FAILURES_FREE 5u

static struct brief
brief_for(struct command *command, char kind, const char *name, struct str a, struct str b)
{
    struct brief brief = {.table = DB_BRIEF, .kind = kind};

    brief_name(command->ledger->key_hash_key, name, a, b, brief.hash);
    return brief;
}

/* ---- codes ---- */

/* Of whom, too, where it is somebody's who proved who they are: a code that another asked for is none. */
static struct brief
code_brief(struct command *command, struct str purpose, const char *email, uint32_t person_id)
{
    char whose[ENTITY_EMAIL_MAX + 16];
    int len = snprintf(whose, sizeof(whose), person_id != 0 ? "%s %u" : "%s", email, person_id);

    return brief_for(command, BRIEF_CODE, "code", purpose, (struct str){whose, (size_t)len});
}

static void
code_new(char code[7])
{
    uint32_t n;

    do {
        rng_bytes(&n, sizeof(n));
    } while (n >= 4294000000u); /* the last that would favour the lower ones */
    snprintf(code, 7, "%06u", n % 1000000);
}

static void
code_hex(struct command *command, const struct brief *brief, struct str code, char hex[2 * HASH_LEN + 1])
{
    uint8_t hash[HASH_LEN];

    brief_name(command->ledger->key_hash_key, "code-text",
               (struct str){(const char *)brief->hash, HASH_LEN}, code, hash);
    str_hex(hash, HASH_LEN, hex);
}

/* Not one a second, nor a hundred a day. The count is of a day from the first on. */
static int
count_sent(struct command *command, struct str purpose, const char *email)
{
    struct brief sent = brief_for(command, BRIEF_FAILURES, "sent", purpose, str_from(email));
    int64_t now_us = ledger_wall_us(command->ledger), last_us = 0, until_us = now_us + DAY_US;
    uint32_t count = 0;
    struct js_value doc;
    struct doc next;
    int rc = brief_get(&command->txn, &sent, now_us, &doc);

    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (rc == 0) {
        count = doc_u32(doc, STR("count"));
        last_us = doc_i64(doc, STR("last_us"));
        until_us = sent.expires_us;
    }
    if (count >= CODES_A_DAY || (count > 0 && now_us - last_us < CODE_AGAIN_US)) {
        command_refuse_field(command, COMMAND_BUSY, "code_too_soon", NULL,
                             count >= CODES_A_DAY ? "too many codes were asked for today"
                                                  : "a code was asked for a moment ago");
        return 0;
    }
    doc_start(&next);
    jw_key_u64(&next.jw, "count", count + 1);
    jw_key_i64(&next.jw, "last_us", now_us);
    return brief_put(&command->txn, &sent, until_us, &next);
}

struct code_mail { /* what is sent, and to whom in which language */
    enum mail_kind kind;
    bool none, is_void; /* nothing at all; a mail without a code */
    char locale[PERSON_LOCALE_MAX + 1];
    uint32_t tenant_id;
};

static int
choose_mail(struct command *command, struct str purpose, const char *email, struct code_mail *mail)
{
    struct person p;
    bool known;
    int rc;

    if (!command_text(command, "locale", false, mail->locale, sizeof(mail->locale)))
        return 0;
    rc = person_find(&command->txn, str_from(email), &p);
    known = rc == 0;
    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (known) {
        mail->tenant_id = p.tenant_id;
        if (p.locale[0] != '\0')
            str_copy(str_from(p.locale), mail->locale, sizeof(mail->locale));
    }
    if (str_eq(purpose, STR("reset"))) {
        mail->kind = MAIL_RESET;
        mail->none = mail->is_void = !known || p.disabled;
    } else if (str_eq(purpose, STR("register")) || str_eq(purpose, STR("change-email"))) {
        mail->kind = known ? MAIL_REGISTERED
                           : str_eq(purpose, STR("register")) ? MAIL_VERIFY : MAIL_CHANGE_EMAIL;
        mail->is_void = known;
    } else {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "purpose", "there is no such purpose");
        command_hint(command, "one of register, reset, change-email");
    }
    return 0;
}

static int
send_code(struct command *command, const char *email, const struct code_mail *mail, const char *code)
{
    struct mail_var vars[3];
    struct mail_new new = {.kind = mail->kind,
                           .to = str_from(email),
                           .locale = str_from(mail->locale),
                           .tenant_id = mail->tenant_id,
                           .vars = vars};
    struct str link;

    if (!command_str(command, "link", false, &link))
        return 0;
    if (!mail->is_void) {
        vars[new.var_count++] = (struct mail_var){"code", str_from(code)};
        vars[new.var_count++] = (struct mail_var){"minutes", STR("10")};
        new.until_us = ledger_wall_us(command->ledger) + CODE_MINUTES * MINUTE_US;
    }
    if (link.len > 0)
        vars[new.var_count++] = (struct mail_var){"link", link};
    return mail_queue(command, &new);
}

static int
code_make(struct command *command)
{
    char email[ENTITY_EMAIL_MAX + 1], code[7], hex[2 * HASH_LEN + 1];
    struct code_mail mail = {.none = false};
    struct brief brief;
    struct str purpose;
    uint32_t person_id;
    struct doc doc;
    int rc;

    if (!command_str(command, "purpose", true, &purpose) ||
        !command_email(command, "email", true, email) ||
        !command_id(command, "person", str_eq(purpose, STR("change-email")), &person_id))
        return 0;
    if (str_eq(purpose, STR("register")) && !command_has(command, "invited") &&
        !command_may_register(command, email))
        return 0;
    rc = choose_mail(command, purpose, email, &mail);
    /* Also where none is sent: who is refused has not been told that somebody has that address. */
    if (rc == 0 && command->exit == COMMAND_DONE && !mail_has_room(command, mail.kind))
        return 0;
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = brief_sweep(&command->txn, DB_BRIEF, ledger_wall_us(command->ledger), NULL);
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = count_sent(command, purpose, email);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    code_new(code);
    brief = code_brief(command, purpose, email, person_id);
    code_hex(command, &brief, str_from(code), hex);
    doc_start(&doc);
    jw_key_cstr(&doc.jw, "hash", mail.is_void ? "" : hex);
    jw_key_u64(&doc.jw, "tries", 0);
    rc = brief_put(&command->txn, &brief,
                   ledger_wall_us(command->ledger) + CODE_MINUTES * MINUTE_US, &doc);
    if (rc == 0 && !mail.none)
        rc = send_code(command, email, &mail, code);
    explicit_bzero(code, sizeof(code));
    command->changed = true;
    jw_key_bool(&command->jw, "sent", true);
    jw_key_u64(&command->jw, "minutes", CODE_MINUTES);
    return rc;
}

void
command_code_wrong(struct command *command)
{
    command_refuse_field(command, COMMAND_USAGE, "code_wrong", "code",
                         "that is not the code, or it is over");
    command_hint(command, "ask for a new one");
}

int
command_code_use(struct command *command, struct str purpose, const char *email, uint32_t person_id)
{
    struct brief brief = code_brief(command, purpose, email, person_id);
    char hex[2 * HASH_LEN + 1], wanted[2 * HASH_LEN + 1];
    uint8_t a[HASH_LEN], b[HASH_LEN];
    struct js_value was;
    struct str code;
    uint32_t tries;
    struct doc doc;
    int rc;

    if (!command_str(command, "code", true, &code))
        return 0;
    rc = brief_get(&command->txn, &brief, ledger_wall_us(command->ledger), &was);
    tries = rc == 0 ? doc_u32(was, STR("tries")) : 0;
    if (rc == -ENOENT || (rc == 0 && tries >= CODE_TRIES)) {
        command_code_wrong(command);
        return 0;
    }
    if (rc < 0)
        return rc;
    doc_text(was, STR("hash"), wanted, sizeof(wanted));
    code_hex(command, &brief, code, hex);
    if (str_unhex(str_from(wanted), a, HASH_LEN) && str_unhex(str_from(hex), b, HASH_LEN) &&
        hash_eq(a, b))
        return brief_drop(&command->txn, &brief);
    doc_start(&doc);
    jw_key_cstr(&doc.jw, "hash", wanted);
    jw_key_u64(&doc.jw, "tries", tries + 1);
    command_code_wrong(command);
    command->counted = true;
    return brief_put(&command->txn, &brief, brief.expires_us, &doc);
}

/* ---- tickets ---- */

static struct brief
ticket_brief(struct command *command, struct str purpose, struct str token)
{
    return brief_for(command, BRIEF_TICKET, "ticket", purpose, token);
}

int
ticket_put(struct command *command, struct str purpose, const struct ticket *ticket,
           char token[TOKEN_LEN + 1])
{
    struct brief brief;
    struct doc doc;

    token_new(token);
    brief = ticket_brief(command, purpose, str_from(token));
    doc_start(&doc);
    jw_key_u64(&doc.jw, "person", ticket->person_id);
    jw_key_cstr(&doc.jw, "data", ticket->data);
    jw_key_u64(&doc.jw, "tries", 0);
    return brief_put(&command->txn, &brief, ticket->expires_us, &doc);
}

int
ticket_get(struct command *command, struct str purpose, struct str token, struct ticket *out)
{
    struct brief brief = ticket_brief(command, purpose, token);
    struct js_value doc;
    int rc = brief_get(&command->txn, &brief, ledger_wall_us(command->ledger), &doc);

    if (rc == -ENOENT) {
        command_refuse_field(command, COMMAND_FAILED, "token_gone", NULL,
                             "that link is not known, was used, or is over");
        command_absent(command);
        return 0;
    }
    if (rc < 0)
        return rc;
    *out = (struct ticket){.person_id = doc_u32(doc, STR("person")), .expires_us = brief.expires_us};
    doc_text(doc, STR("data"), out->data, sizeof(out->data));
    return 0;
}

int
ticket_drop(struct command *command, struct str purpose, struct str token)
{
    struct brief brief = ticket_brief(command, purpose, token);

    return brief_drop(&command->txn, &brief);
}

static int
ticket_make(struct command *command)
{
    struct ticket *ticket = arena_zalloc(&command->arena, sizeof(*ticket));
    char token[TOKEN_LEN + 1];
    struct str purpose;
    uint32_t minutes;
    int rc;

    if (ticket == NULL)
        return -ENOMEM;
    if (!command_str(command, "purpose", true, &purpose) ||
        !command_u32(command, "minutes", &minutes) || !command_u32(command, "person", &ticket->person_id) ||
        !command_text(command, "data", false, ticket->data, sizeof(ticket->data)))
        return 0;
    minutes = minutes == 0 ? TICKET_MINUTES : MIN(minutes, TICKET_MINUTES_MAX);
    ticket->expires_us = ledger_wall_us(command->ledger) + minutes * MINUTE_US;
    rc = brief_sweep(&command->txn, DB_BRIEF, ledger_wall_us(command->ledger), NULL);
    if (rc == 0)
        rc = ticket_put(command, purpose, ticket, token);
    command->changed = true;
    jw_key_cstr(&command->jw, "token", token);
    jw_key_time(&command->jw, "expires", ticket->expires_us);
    return rc;
}

/* With its arguments, what it says; refused when there is none. */
static int
show_ticket(struct command *command, struct str *purpose, struct str *token)
{
    struct ticket *ticket = arena_zalloc(&command->arena, sizeof(*ticket));
    int rc;

    if (ticket == NULL)
        return -ENOMEM;
    if (!command_str(command, "purpose", true, purpose) || !command_str(command, "token", true, token))
        return 0;
    rc = ticket_get(command, *purpose, *token, ticket);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    jw_key_u64(&command->jw, "person", ticket->person_id);
    jw_key_cstr(&command->jw, "data", ticket->data);
    jw_key_time(&command->jw, "expires", ticket->expires_us);
    return 0;
}

static int
ticket_find(struct command *command)
{
    struct str purpose, token;

    return show_ticket(command, &purpose, &token);
}

static int
ticket_use(struct command *command)
{
    struct str purpose, token;
    int rc = show_ticket(command, &purpose, &token);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    command->changed = true;
    return ticket_drop(command, purpose, token);
}

/* ---- failures to sign in ---- */

static struct brief
failures_of(struct command *command, const char *email)
{
    return brief_for(command, BRIEF_FAILURES, "login", str_from(email), STR(""));
}

int
command_failures_clear(struct command *command, const char *email)
{
    struct brief brief = failures_of(command, email);

    return brief_drop(&command->txn, &brief);
}

int
command_locked_until(struct command *command, const char *email, int64_t *until_us)
{
    struct brief brief = failures_of(command, email);
    struct js_value doc;
    int rc = brief_get(&command->txn, &brief, ledger_wall_us(command->ledger), &doc);

    *until_us = rc == 0 ? doc_i64(doc, STR("until_us")) : 0;
    if (*until_us <= ledger_wall_us(command->ledger))
        *until_us = 0;
    return rc == -ENOENT ? 0 : rc;
}

/* After the fifth in a row a minute, then two, four, eight, and a quarter of an hour. */
static int64_t
locked_until(int64_t now_us, uint32_t count)
{
    if (count < FAILURES_FREE)
        return 0;
    return now_us + MIN(MINUTE_US << MIN(count - FAILURES_FREE, 4u), 15 * MINUTE_US);
}

/* One more, unless they are locked: refused then. */
static int
count_failure(struct command *command, const char *email)
{
    int64_t now_us = ledger_wall_us(command->ledger), until_us = 0;
    struct brief brief = failures_of(command, email);
    struct js_value was;
    uint32_t count = 0;
    struct doc doc;
    int rc = brief_get(&command->txn, &brief, now_us, &was);

    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (rc == 0) {
        count = doc_u32(was, STR("count"));
        until_us = doc_i64(was, STR("until_us"));
    }
    if (until_us > now_us) {
        command_refuse_field(command, COMMAND_BUSY, "locked", NULL, "too many failures to sign in");
        command_hint(command, "try again in %lld seconds",
                     (long long)((until_us - now_us) / 1000000 + 1));
        return 0;
    }
    doc_start(&doc);
    jw_key_u64(&doc.jw, "count", count + 1);
    jw_key_i64(&doc.jw, "until_us", locked_until(now_us, count + 1));
    return brief_put(&command->txn, &brief, now_us + DAY_US, &doc);
}

/*
 * Before a password is looked at: counts it as a failure, which signing in then clears, so that many at
 * once are no more than the same one by one. Of addresses that nobody has, too. "person" is what the
 * password is compared with, or null.
 */
static int
login_begin(struct command *command)
{
    char email[ENTITY_EMAIL_MAX + 1];
    struct person p;
    int rc;

    if (!command_email(command, "email", true, email))
        return 0;
    rc = count_failure(command, email);
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    rc = person_find(&command->txn, str_from(email), &p);
    command->changed = true;
    jw_key(&command->jw, "person");
    if (rc == -ENOENT || (rc == 0 && p.removed)) {
        jw_null(&command->jw);
        return 0;
    }
    if (rc < 0)
        return rc;
    jw_object(&command->jw);
    command_person_write(command, &p);
    jw_key_cstr(&command->jw, "password", p.password);
    jw_object_end(&command->jw);
    return 0;
}

/* The password was right, of somebody who is signed in: forgets what was counted. */
static int
login_end(struct command *command)
{
    struct person p;
    int rc = command_person(command, "person", &p);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    command->changed = true;
    jw_key_u64(&command->jw, "person", p.id);
    return command_failures_clear(command, p.email);
}

/* A ticket says who it is, by another's word perhaps: however many somebody gets, what they try with them are
 * failures to sign in as that person. */
static int
count_of_person(struct command *command, uint32_t person_id)
{
    struct person p;
    int rc = person_id != 0 ? person_get(&command->txn, person_id, &p) : -ENOENT;

    if (rc == 0 && !p.removed)
        return count_failure(command, p.email);
    return rc == -ENOENT ? 0 : rc;
}

/* Counts a try of what the ticket is asked for besides (a code of an authenticator), before it is
 * looked at; the last one uses it up. */
static int
ticket_try(struct command *command)
{
    struct str purpose, token;
    struct js_value was;
    struct brief brief;
    struct doc doc;
    uint32_t tries;
    char data[1024];
    int rc = show_ticket(command, &purpose, &token);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    brief = ticket_brief(command, purpose, token);
    rc = brief_get(&command->txn, &brief, ledger_wall_us(command->ledger), &was);
    if (rc == 0)
        rc = count_of_person(command, doc_u32(was, STR("person")));
    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    rc = brief_get(&command->txn, &brief, ledger_wall_us(command->ledger), &was);
    if (rc < 0)
        return rc;
    tries = doc_u32(was, STR("tries")) + 1;
    command->changed = true;
    if (tries >= TICKET_TRIES)
        return brief_drop(&command->txn, &brief);
    doc_text(was, STR("data"), data, sizeof(data));
    doc_start(&doc);
    jw_key_u64(&doc.jw, "person", doc_u32(was, STR("person")));
    jw_key_cstr(&doc.jw, "data", data);
    jw_key_u64(&doc.jw, "tries", tries);
    return brief_put(&command->txn, &brief, brief.expires_us, &doc);
}

const struct command_def command_code_defs[] = {
    {.name = "code.make", .kind = COMMAND_WRITE, .run = code_make, .quiet = true},
    {.name = "ticket.make", .kind = COMMAND_WRITE, .run = ticket_make, .quiet = true},
    {.name = "ticket.find", .kind = COMMAND_READ, .run = ticket_find},
    {.name = "ticket.use", .kind = COMMAND_WRITE, .run = ticket_use, .quiet = true},
    {.name = "ticket.try", .kind = COMMAND_WRITE, .run = ticket_try, .quiet = true},
    {.name = "login.begin", .kind = COMMAND_WRITE, .run = login_begin, .quiet = true},
    {.name = "login.end", .kind = COMMAND_WRITE, .run = login_end, .quiet = true},
    {.name = NULL},
};

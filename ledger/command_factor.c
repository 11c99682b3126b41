/*
 * Commands about second factors: an authenticator's secret, which codes of it were used, and recovery
 * codes. The codes themselves are computed by who asks (manage/totp.h); here it is kept that none counts
 * twice, whoever asks at the same time.
 */
#include "ledger/command_person.h"

#include "base/hash.h"
#include "base/rng.h"
#include "base/seal.h"
#include "base/str.h"
#include "ledger/core.h"

#include <stdio.h>
#include <string.h>

#define RECOVERY_LEN 10

static int
put_changed(struct command *command, const struct person *p)
{
    command_target(command, "person", p->id, p->tenant_id);
    command->changed = true;
    jw_key_u64(&command->jw, "id", p->id);
    jw_key_bool(&command->jw, "second_factor", p->totp_on);
    jw_key_u64(&command->jw, "recovery_left", p->recovery_count);
    return person_put(&command->txn, p);
}

/* ---- recovery codes ---- */

/* Without letters and digits that are taken for each other, and without those that make words. */
static void
recovery_text(char text[RECOVERY_LEN + 1])
{
    static const char letters[] = "23456789bcdfghjkmnpqrstvwxz";
    size_t len = 0;

    while (len < RECOVERY_LEN) {
        uint8_t byte;

        rng_bytes(&byte, 1);
        if (byte < 243) /* 9 * 27: no letter is likelier */
            text[len++] = letters[byte % 27];
    }
    text[len] = '\0';
}

static void
recovery_hash(struct command *command, uint32_t person_id, struct str text, uint8_t hash[HASH_LEN])
{
    char id[16];
    struct str who = {id, (size_t)snprintf(id, sizeof(id), "%u", person_id)};

    brief_name(command->ledger->key_hash_key, "recovery", who, text, hash);
}

/* New ones, which are seen this once; the old ones are of no use any more. */
static void
recovery_new(struct command *command, struct person *p)
{
    char text[RECOVERY_LEN + 1];

    jw_key(&command->jw, "codes");
    jw_array(&command->jw);
    for (p->recovery_count = 0; p->recovery_count < PERSON_RECOVERY_MAX; p->recovery_count++) {
        recovery_text(text);
        recovery_hash(command, p->id, str_from(text), p->recovery[p->recovery_count]);
        jw_cstr(&command->jw, text);
    }
    jw_array_end(&command->jw);
    explicit_bzero(text, sizeof(text));
}

static int
recovery_make(struct command *command)
{
    struct person p;
    int rc = command_person(command, "id", &p);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (!p.totp_on) {
        command_refuse(command, COMMAND_FAILED, "there is no second factor to recover from");
        return 0;
    }
    recovery_new(command, &p);
    return put_changed(command, &p);
}

static int
recovery_use(struct command *command)
{
    uint8_t hash[HASH_LEN];
    struct person p;
    struct str code;
    int rc = command_person(command, "id", &p);

    if (rc < 0 || command->exit != COMMAND_DONE || !command_str(command, "code", true, &code))
        return rc;
    recovery_hash(command, p.id, code, hash);
    for (uint32_t i = 0; i < p.recovery_count; i++) {
        if (!hash_eq(hash, p.recovery[i]))
            continue;
        p.recovery_count--;
        if (i < p.recovery_count)
            memcpy(p.recovery[i], p.recovery[p.recovery_count], HASH_LEN);
        return put_changed(command, &p);
    }
    command_refuse_field(command, COMMAND_USAGE, "code_wrong", "code", "that is not one of the codes");
    return 0;
}

/* ---- the authenticator ---- */

/* A secret that is not asked for yet: it has to be confirmed by a code first. */
static int
totp_set(struct command *command)
{
    struct person p;
    struct str secret;
    struct buf sealed;
    int rc = command_person(command, "id", &p);

    if (rc < 0 || command->exit != COMMAND_DONE || !command_str(command, "secret", true, &secret))
        return rc;
    if (p.totp_on) {
        command_refuse(command, COMMAND_FAILED, "there is a second factor already");
        command_hint(command, "turn it off first");
        return 0;
    }
    buf_init(&sealed, 1024);
    if (!seal_close(command->ledger->key_hash_key, "totp", secret, &sealed) ||
        sealed.len >= sizeof(p.totp))
        command_refuse_field(command, COMMAND_USAGE, "too_long", "secret", "the secret is too long");
    else
        str_copy(buf_str(&sealed), p.totp, sizeof(p.totp));
    buf_free(&sealed);
    p.totp_step = 0;
    return command->exit == COMMAND_DONE ? put_changed(command, &p) : 0;
}

/* The step whose code was right: never that, or one before it, again. */
static bool
take_step(struct command *command, struct person *p)
{
    uint32_t step;

    if (!command_u32(command, "step", &step))
        return false;
    if (p->totp[0] == '\0' || step == 0) {
        command_refuse(command, COMMAND_FAILED, "there is no authenticator");
        return false;
    }
    if (step <= p->totp_step) {
        command_refuse_field(command, COMMAND_USAGE, "step_used", "code",
                             "that code was used already; wait for the next");
        return false;
    }
    p->totp_step = step;
    return true;
}

static int
totp_confirm(struct command *command)
{
    struct person p;
    int rc = command_person(command, "id", &p);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    if (p.totp_on) {
        command_refuse(command, COMMAND_FAILED, "it is confirmed already");
        return 0;
    }
    if (!take_step(command, &p))
        return 0;
    p.totp_on = true;
    recovery_new(command, &p);
    return put_changed(command, &p);
}

static int
totp_use(struct command *command)
{
    struct person p;
    int rc = command_person(command, "id", &p);

    if (rc < 0 || command->exit != COMMAND_DONE || !take_step(command, &p))
        return rc;
    return put_changed(command, &p);
}

static int
totp_off(struct command *command)
{
    struct person p;
    int rc = command_person(command, "id", &p);

    if (rc < 0 || command->exit != COMMAND_DONE)
        return rc;
    p.totp_on = false;
    p.totp[0] = '\0';
    p.recovery_count = 0;
    return put_changed(command, &p);
}

const struct command_def command_factor_defs[] = {
    {.name = "totp.set", .kind = COMMAND_WRITE, .run = totp_set},
    {.name = "totp.confirm", .kind = COMMAND_WRITE, .run = totp_confirm},
    {.name = "totp.use", .kind = COMMAND_WRITE, .run = totp_use},
    {.name = "totp.off", .kind = COMMAND_WRITE, .run = totp_off},
    {.name = "recovery.make", .kind = COMMAND_WRITE, .run = recovery_make},
    {.name = "recovery.use", .kind = COMMAND_WRITE, .run = recovery_use},
    {.name = NULL},
};

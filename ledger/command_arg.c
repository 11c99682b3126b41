/* Arguments of commands: read, checked, and refused by name. */
#include "ledger/command.h"

#include "base/clock.h"
#include "base/str.h"
#include "base/ucr.h"
#include "ledger/core.h"
#include "ledger/entity.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct js_value
arg(const struct command *command, const char *name)
{
    struct js_value value = js_get(command->args, str_from(name));

    return js_is(value, JS_NULL) ? (struct js_value){.type = JS_NONE} : value;
}

bool
command_flag(struct command *command, const char *name, bool *out)
{
    struct js_value value = arg(command, name);

    *out = js_bool(value, false);
    if (value.type == JS_NONE || value.type == JS_NULL || value.type == JS_TRUE ||
        value.type == JS_FALSE)
        return true;
    command_refuse_field(command, COMMAND_USAGE, "invalid", name, "%s is true or false", name);
    return false;
}

bool
command_has(const struct command *command, const char *name)
{
    return !js_is(arg(command, name), JS_NONE);
}

static bool
arg_missing(struct command *command, const char *name, bool must)
{
    if (must)
        command_refuse_field(command, COMMAND_USAGE, "required", name, "%s is missing", name);
    return !must;
}

bool
command_str(struct command *command, const char *name, bool must, struct str *out)
{
    struct js_value value = arg(command, name);
    char *scratch;

    *out = STR_NONE;
    if (js_is(value, JS_NONE))
        return arg_missing(command, name, must);
    if (!js_is(value, JS_STRING)) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", name, "%s must be a string", name);
        return false;
    }
    scratch = arena_alloc(&command->arena, value.raw.len + 1);
    if (scratch == NULL) {
        command_refuse(command, COMMAND_FAILED, "out of memory");
        return false;
    }
    *out = js_unescape(value, scratch, value.raw.len + 1);
    if (memchr(out->len > 0 ? out->ptr : "", '\0', out->len) != NULL) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", name, "%s holds a NUL", name);
        return false;
    }
    return out->len > 0 || arg_missing(command, name, must);
}

bool
command_u32(struct command *command, const char *name, uint32_t *out)
{
    struct js_value value = arg(command, name);
    uint64_t n = 0;

    *out = 0;
    if (js_is(value, JS_NONE))
        return true;
    if (!js_count(value, UINT32_MAX, &n)) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", name,
                             "%s must be a whole number up to %u", name, UINT32_MAX);
        return false;
    }
    *out = (uint32_t)n;
    return true;
}

bool
command_credits(struct command *command, const char *name, bool must, int64_t *ucr)
{
    struct str text;

    *ucr = 0;
    if (!command_str(command, name, must, &text))
        return false;
    if (text.len == 0)
        return true;
    if (!ucr_parse(text, ucr)) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", name,
                             "%s: \"%.*s\" is not an amount of credits", name,
                             (int)MIN(text.len, 40u), text.ptr);
        command_hint(command, "credits are a decimal number with at most six places, as 12.5");
        return false;
    }
    if (*ucr < 0 || *ucr > ACCOUNT_UCR_MAX) {
        command_refuse_field(command, COMMAND_USAGE, "out_of_range", name, "%s is out of range", name);
        return false;
    }
    return true;
}

bool
command_time(struct command *command, const char *name, int64_t *wall_us)
{
    struct str text;
    uint64_t ago_us;

    *wall_us = 0;
    if (!command_str(command, name, false, &text))
        return false;
    if (text.len == 0)
        return true;
    if (clock_parse_duration(text, &ago_us) && ago_us < (uint64_t)INT64_MAX) {
        int64_t now_us = ledger_wall_us(command->ledger);

        /* For the past in questions, for the future in an expiry. */
        *wall_us = strcmp(name, "expires") == 0 ? now_us + MIN((int64_t)ago_us, INT64_MAX - now_us)
                                                : MAX(now_us - (int64_t)ago_us, 1);
        return true;
    }
    if (!clock_parse(text, wall_us) || *wall_us <= 0) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", name, "%s: \"%.*s\" is not a time",
                             name, (int)MIN(text.len, 40u), text.ptr);
        command_hint(command, "write 2026-11-21, 2026-11-21T03:04:05Z, or a span as 24h or 7d");
        return false;
    }
    return true;
}

bool
command_id(struct command *command, const char *name, bool must, uint32_t *id)
{
    struct js_value value = arg(command, name);
    uint64_t n = 0;

    *id = 0;
    if (js_is(value, JS_NONE))
        return arg_missing(command, name, must);
    if ((js_is(value, JS_STRING) ? str_to_count(value.raw, UINT32_MAX, &n)
                                 : js_count(value, UINT32_MAX, &n)) &&
        n > 0) {
        *id = (uint32_t)n;
        return true;
    }
    command_refuse_field(command, COMMAND_USAGE, "invalid", name, "%s must be a number", name);
    return false;
}

bool
command_tenant(struct command *command, const char *name, bool must, uint32_t *tenant_id)
{
    struct js_value value = arg(command, name);
    struct entity_tenant tenant;
    struct str text = value.raw;
    uint64_t n = 0;

    *tenant_id = 0;
    if (js_is(value, JS_NONE))
        return arg_missing(command, name, must);
    if (!js_is(value, JS_NUMBER) && !command_str(command, name, true, &text))
        return false;
    if (str_to_count(text, UINT32_MAX, &n) && n > 0 &&
        entity_tenant_get(&command->txn, (uint32_t)n, &tenant) == 0) {
        *tenant_id = (uint32_t)n;
        return true;
    }
    if (entity_find(&command->txn, DB_TENANT, 0, text, tenant_id) == 0)
        return true;
    command_refuse_field(command, COMMAND_FAILED, "not_found", name, "there is no tenant \"%.*s\"",
                         (int)MIN(text.len, 96u), text.ptr);
    command_hint(command, "turnpike tenant list shows all");
    command_absent(command);
    return false;
}

const char *
command_tenant_name(struct command *command, uint32_t tenant_id)
{
    struct entity_tenant tenant;
    char *name;

    if (entity_tenant_get(&command->txn, tenant_id, &tenant) < 0)
        return "";
    name = arena_copy(&command->arena, str_from(tenant.name));
    return name != NULL ? name : "";
}

bool
command_of_tenant(struct command *command, uint32_t owner_id)
{
    struct js_value value = arg(command, "tenant");
    uint32_t tenant_id;

    if (js_is(value, JS_NONE))
        return true;
    if (js_is(value, JS_NUMBER) || js_is(value, JS_STRING)) {
        uint64_t n;

        if (str_to_count(value.raw, UINT32_MAX, &n))
            return n == owner_id;
        if (js_is(value, JS_STRING) && value.raw.len <= ENTITY_NAME_MAX && !value.escaped &&
            entity_find(&command->txn, DB_TENANT, 0, value.raw, &tenant_id) == 0)
            return tenant_id == owner_id;
    }
    return false;
}

int
command_next_id(struct command *command, enum db_table table, uint32_t *id)
{
    char name[40];
    struct str value;
    int rc;

    *id = 0;
    snprintf(name, sizeof(name), "last-%s", db_table_name[table]);
    rc = db_meta_get(&command->txn, name, &value);
    if (rc == 0 && value.len != sizeof(*id))
        return -EILSEQ;
    if (rc == 0)
        memcpy(id, value.ptr, sizeof(*id));
    else if (rc != -ENOENT)
        return rc;
    if (*id == UINT32_MAX)
        return -EOVERFLOW;
    ++*id;
    return db_meta_put(&command->txn, name, (struct str){(const char *)id, sizeof(*id)});
}

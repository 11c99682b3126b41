#include "cli/table.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/help.h"

/* ---- how answers are shown ---- */

/* The secret alone on its line, for scripts: it is not shown again. */
static void
show_secret(struct js_value result)
{
    char id[32], key[128];

    print_value(js_get(result, STR("id")), id, sizeof(id));
    print_value(js_get(result, STR("key")), key, sizeof(key));
    printf("%s\n", key);
    fflush(stdout);
    fprintf(stderr, "turnpike: this is key %s; it is shown only now\n", id);
    explicit_bzero(key, sizeof(key));
}

static void
show_key(struct js_value result)
{
    static const struct print_column fields[] = {
        {"id", "id", false},
        {"name", "name", false},
        {"hint", "key", false},
        {"tenant", "tenant", false},
        {"member", "member", false},
        {"project", "project", false},
        {"disabled", "disabled", false},
        {"created", "created", false},
        {"expires", "expires", false},
        {"last_used", "last used", false},
        {"replaced_hint", "replaced key", false},
        {"replaced_until", "works until", false},
        {"deleted", "deleted", false},
        {"scopes", "scopes", false},
        {"channels", "channels", false},
        {"no_dearer", "nothing dearer", false},
        {"models", "models", false},
        {"sibling", "siblings", false},
        {"allow_ip", "addresses", false},
        {"rpm", "requests/min", false},
        {"tpm", "tokens/min", false},
        {"concurrency", "at once", false},
        {"shadow", "count only", false},
        {"budget", "budget", false},
        PRINT_END,
    };

    print_fields(result, fields);
}

static void
show_keys(struct js_value result)
{
    static const struct print_column columns[] = {
        {"id", "ID", true},
        {"name", "NAME", false},
        {"hint", "KEY", false},
        {"member", "MEMBER", false},
        {"project", "PROJECT", false},
        {"budget", "BUDGET", false},
        {"disabled", "DISABLED", false},
        {"expires", "EXPIRES", false},
        {"last_used", "LAST USED", false},
        PRINT_END,
    };

    print_table(js_get(result, STR("keys")), columns, "no keys");
}

/* ---- options ---- */

static const struct cli_option key_add_options[] = {
    {"--name", "NAME", "name", CLI_TEXT, "to know it by"},
    {"--member", "EMAIL", "member", CLI_TEXT, "whose it is"},
    {"--project", "PROJECT", "project", CLI_TEXT, "name or id"},
    {"--channel", "C[,C…]", "channels", CLI_LIST, "channels it may use, in order"},
    {"--no-dearer", NULL, "no_dearer", CLI_FLAG, "never in a channel dearer than its first"},
    {"--model", "GLOB", "models", CLI_LIST, "models it may ask for; may be repeated"},
    {"--sibling", NULL, "sibling", CLI_FLAG, "other models of a family may serve, as rules say"},
    {"--allow-ip", "CIDR", "allow_ip", CLI_LIST, "addresses it may come from; may be repeated"},
    {"--rpm", "N", "rpm", CLI_COUNT, "requests a minute; 0: no limit"},
    {"--tpm", "N", "tpm", CLI_COUNT, "tokens a minute; 0: no limit"},
    {"--concurrency", "N", "concurrency", CLI_COUNT, "calls at once; 0: no limit"},
    CLI_OPTION_BUDGET,
    CLI_OPTION_SHADOW,
    {"--expires", "TIME", "expires", CLI_TEXT, "2026-12-31, a full time, or a span as 30d"},
    {"--scope", "SCOPE[,SCOPE…]", "scopes", CLI_LIST, "of inference, usage, manage; inference if not said"},
    CLI_NO_OPTION,
};

static const struct cli_option key_set_options[] = {
    {"--name", "NAME", "name", CLI_TEXT, "to know it by"},
    {"--member", "EMAIL", "member", CLI_TEXT, "whose it is"},
    {"--no-member", NULL, "no_member", CLI_FLAG, "nobody's"},
    {"--project", "PROJECT", "project", CLI_TEXT, "name or id"},
    {"--no-project", NULL, "no_project", CLI_FLAG, "in none"},
    {"--allow-ip", "CIDR", "allow_ip", CLI_LIST, "addresses it may come from; may be repeated"},
    {"--any-ip", NULL, "any_ip", CLI_FLAG, "from any address"},
    CLI_OPTIONS_LIMITS,
    {"--expires", "TIME", "expires", CLI_TEXT, "a date, a time, a span as 30d, or never"},
    {"--scope", "SCOPE[,SCOPE…]", "scopes", CLI_LIST, "of inference, usage, manage"},
    CLI_NO_OPTION,
};

static const struct cli_option key_list_options[] = {
    {"--only", "STATE", "state", CLI_TEXT, "only active, disabled or expired ones"},
    {"--member", "EMAIL", "member", CLI_TEXT, "only theirs"},
    {"--project", "PROJECT", "project", CLI_TEXT, "only of it"},
    CLI_OPTIONS_PAGE,
    CLI_NO_OPTION,
};

static const struct cli_option key_rotate_options[] = {
    {"--overlap", "SPAN", "overlap", CLI_TEXT, "how long the old secret works on, as 24h; up to 30d"},
    CLI_NO_OPTION,
};

static const struct cli_command commands[] = {
    {.noun = "key", .verb = "add", .cmd = "key.add", .arguments = {CLI_TENANT},
     .options = key_add_options, .summary = "make a key; prints it once", .show = show_secret},
    {.noun = "key", .verb = "list", .cmd = "key.list", .arguments = {CLI_TENANT},
     .options = key_list_options, .summary = "a tenant's keys", .pages = true, .show = show_keys},
    {.noun = "key", .verb = "show", .cmd = "key.show", .arguments = {{"ID", "id"}},
     .summary = "one key, without its secret", .show = show_key},
    {.noun = "key", .verb = "disable", .cmd = "key.disable", .arguments = {{"ID", "id"}},
     .summary = "refuse its calls", .show = show_key},
    {.noun = "key", .verb = "enable", .cmd = "key.enable", .arguments = {{"ID", "id"}},
     .summary = "serve it again", .show = show_key},
    {.noun = "key", .verb = "set", .cmd = "key.set", .arguments = {{"ID", "id"}},
     .options = key_set_options, .summary = "change what it may", .show = show_key},
    {.noun = "key", .verb = "rotate", .cmd = "key.rotate", .arguments = {{"ID", "id"}},
     .options = key_rotate_options, .summary = "give it a new secret", .show = show_secret},
    {.noun = "key", .verb = "delete", .cmd = "key.delete", .arguments = {{"ID", "id"}},
     .summary = "end it for good", .show = show_key},
    {.noun = NULL},
};

const struct cli_group cli_group_key = {"turnpike-key(1)", commands};

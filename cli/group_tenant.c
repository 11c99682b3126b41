#include "cli/table.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/help.h"

/* ---- how answers are shown ---- */

static void
show_tenant(struct js_value result)
{
    static const struct print_column fields[] = {
        {"id", "id", false},           {"name", "name", false},
        {"disabled", "disabled", false}, {"created", "created", false},
        {"credit", "first credit", false}, {"available", "available", false},
        {"overdraft", "overdraft", false}, {"budget", "budget", false},
        {"members", "members", false}, {"projects", "projects", false},
        {"keys", "keys", false},       {"zone", "time zone", false},
        {"contact", "contact", false}, {"contact_email", "address", false},
        {"contact_phone", "phone", false}, {"rpm", "requests/min", false},
        {"tpm", "tokens/min", false},  {"concurrency", "at once", false},
        {"shadow", "count only", false}, {"channels", "channels", false},
        {"models", "models", false},   {"prices", "prices", false},
        PRINT_END,
    };

    print_fields(result, fields);
}

static void
show_tenants(struct js_value result)
{
    static const struct print_column columns[] = {
        {"id", "ID", true},
        {"name", "NAME", false},
        {"available", "AVAILABLE", true},
        {"budget", "BUDGET", false},
        {"disabled", "DISABLED", false},
        {"created", "CREATED", false},
        PRINT_END,
    };

    print_table(js_get(result, STR("tenants")), columns, "no tenants");
}

static void
show_member(struct js_value result)
{
    static const struct print_column fields[] = {
        {"id", "id", false},         {"email", "email", false},   {"role", "role", false},
        {"budget", "budget", false}, {"created", "created", false},
        {"keys_disabled", "keys disabled", false}, {"keys_handed_over", "keys handed over", false}, {"rpm", "requests/min", false},
        {"tpm", "tokens/min", false}, {"concurrency", "at once", false},
        {"shadow", "count only", false}, {"channels", "channels", false},
        {"models", "models", false}, PRINT_END,
    };

    print_fields(result, fields);
}

static void
show_invite(struct js_value result)
{
    static const struct print_column fields[] = {
        {"id", "id", false},     {"role", "role", false}, {"email", "email", false}, {"uses", "uses", false},
        {"link", "link", false}, {"expires", "good until", false}, PRINT_END,
    };

    print_fields(result, fields);
}

static void
show_members(struct js_value result)
{
    static const struct print_column columns[] = {
        {"id", "ID", true},           {"email", "EMAIL", false},    {"role", "ROLE", false},
        {"budget", "BUDGET", false}, {"created", "CREATED", false}, PRINT_END,
    };

    print_table(js_get(result, STR("members")), columns, "no members");
}

static void
show_project(struct js_value result)
{
    static const struct print_column fields[] = {
        {"id", "id", false},
        {"name", "name", false},
        {"budget", "budget", false},
        {"weights.latency", "latency", false},
        {"weights.cost", "cost", false},
        {"weights.quality", "quality", false},
        {"created", "created", false},
        {"labels", "labels", false},
        {"rpm", "requests/min", false},
        {"tpm", "tokens/min", false},
        {"concurrency", "at once", false},
        {"shadow", "count only", false},
        {"channels", "channels", false},
        {"models", "models", false},
        {"deleted", "deleted", false},
        PRINT_END,
    };

    print_fields(result, fields);
}

static void
show_projects(struct js_value result)
{
    static const struct print_column columns[] = {
        {"id", "ID", true},
        {"name", "NAME", false},
        {"budget", "BUDGET", false},
        {"weights.latency", "LATENCY", true},
        {"weights.cost", "COST", true},
        {"weights.quality", "QUALITY", true},
        {"created", "CREATED", false},
        PRINT_END,
    };

    print_table(js_get(result, STR("projects")), columns, "no projects");
}

/* ---- options ---- */

static const struct cli_option tenant_add_options[] = {
    {"--credit", "N", "credit", CLI_TEXT, "grant so many credits at once"},
    CLI_OPTION_BUDGET,
    {"--overdraft", "N", "overdraft", CLI_TEXT, "how far below zero a call may go"},
    CLI_NO_OPTION,
};

static const struct cli_option tenant_reason_options[] = {
    {"--reason", "TEXT", "reason", CLI_TEXT, "told to the tenant's people"},
    CLI_NO_OPTION,
};

static const struct cli_option tenant_set_options[] = {
    {"--name", "NAME", "name", CLI_TEXT, "another name"},
    {"--zone", "ZONE", "zone", CLI_TEXT, "time zone of its days and budgets, as Asia/Shanghai"},
    {"--contact", "NAME", "contact", CLI_TEXT, "whom to ask for"},
    {"--contact-email", "ADDRESS", "contact_email", CLI_TEXT, "where to write to"},
    {"--contact-phone", "NUMBER", "contact_phone", CLI_TEXT, "where to call"},
    {"--overdraft", "N", "overdraft", CLI_TEXT, "how far below zero a call may go"},
    {"--price", "CHANNEL[:MODELS]=FACTOR", "prices", CLI_LIST,
     "pays so much of the channel's multiplier; * is every channel, none takes all away"},
    CLI_OPTIONS_LIMITS,
    CLI_NO_OPTION,
};

static const struct cli_option tenant_list_options[] = {
    {"--only", "STATE", "state", CLI_TEXT, "only active, disabled or pending ones"},
    CLI_OPTIONS_PAGE,
    CLI_NO_OPTION,
};

static const struct cli_option member_list_options[] = {
    {"--role", "ROLE", "role", CLI_TEXT, "only those with it"},
    CLI_OPTIONS_PAGE,
    CLI_NO_OPTION,
};

static const struct cli_option member_limits_options[] = {
    CLI_OPTIONS_LIMITS,
    {"--raise", "N", "raise", CLI_TEXT, "so many credits more than the budget is now"},
    {"--lower", "N", "lower", CLI_TEXT, "so many less"},
    CLI_NO_OPTION,
};

static const struct cli_option project_list_options[] = {
    {"--label", "LABEL", "label", CLI_TEXT, "only those that have it"},
    CLI_OPTIONS_PAGE,
    CLI_NO_OPTION,
};

static const struct cli_option member_add_options[] = {
    {"--role", "ROLE", "role", CLI_TEXT, "owner, admin, billing, developer or viewer"},
    CLI_OPTION_BUDGET,
    CLI_NO_OPTION,
};

static const struct cli_option member_invite_options[] = {
    {"--role", "ROLE", "role", CLI_TEXT, "owner, admin, billing, developer or viewer; must be told"},
    {"--email", "EMAIL", "email", CLI_TEXT, "for this address alone, without proving it; else for whoever has the link"},
    {"--uses", "N", "uses", CLI_COUNT, "so many may come; 1 unless told"},
    {"--days", "N", "days", CLI_COUNT, "so long it is good, 90 at most; as routes.conf says unless told"},
    CLI_NO_OPTION,
};

static const struct cli_option member_remove_options[] = {
    {"--hand-over-to", "EMAIL", "hand_over_to", CLI_TEXT, "whose the keys are from then on"},
    CLI_NO_OPTION,
};

#define OPTIONS_WEIGHTS                                                                            \
    {"--latency", "N", "latency", CLI_TEXT, "weight of a short wait for auto names, from 0 to 1"}, \
        {"--cost", "N", "cost", CLI_TEXT, "weight of a low price"},                                \
        {"--quality", "N", "quality", CLI_TEXT, "weight of the model's quality"}
static const struct cli_option project_add_options[] = {CLI_OPTION_BUDGET, OPTIONS_WEIGHTS,
                                                        CLI_NO_OPTION};

static const struct cli_option project_set_options[] = {
    {"--name", "NAME", "name", CLI_TEXT, "another name"},
    OPTIONS_WEIGHTS,
    {"--no-weights", NULL, "no_weights", CLI_FLAG, "weigh as routes.conf does"},
    CLI_OPTIONS_LIMITS,
    {"--label", "LABEL", "labels", CLI_LIST, "its labels, in place of what it has; may be repeated"},
    {"--no-labels", NULL, "no_labels", CLI_FLAG, "no labels"},
    CLI_NO_OPTION,
};

static const struct cli_command commands[] = {
    {.noun = "tenant", .verb = "add", .cmd = "tenant.add", .arguments = {{"NAME", "name"}},
     .options = tenant_add_options, .summary = "add a tenant: who pays", .show = show_tenant},
    {.noun = "tenant", .verb = "set", .cmd = "tenant.set", .arguments = {CLI_TENANT},
     .options = tenant_set_options, .summary = "change what it is and may", .show = show_tenant},
    {.noun = "tenant", .verb = "list", .cmd = "tenant.list", .options = tenant_list_options,
     .summary = "all tenants",
     .pages = true, .show = show_tenants},
    {.noun = "tenant", .verb = "show", .cmd = "tenant.show", .arguments = {CLI_TENANT},
     .summary = "one tenant", .show = show_tenant},
    {.noun = "tenant", .verb = "disable", .cmd = "tenant.disable", .arguments = {CLI_TENANT},
     .options = tenant_reason_options, .summary = "refuse its calls", .show = show_tenant},
    {.noun = "tenant", .verb = "enable", .cmd = "tenant.enable", .arguments = {CLI_TENANT},
     .summary = "serve it again", .show = show_tenant},
    {.noun = "tenant", .verb = "approve", .cmd = "tenant.approve", .arguments = {CLI_TENANT},
     .summary = "serve one that registered itself, and waits", .show = show_tenant},
    {.noun = "tenant", .verb = "refuse", .cmd = "tenant.refuse", .arguments = {CLI_TENANT},
     .options = tenant_reason_options, .summary = "leave one that waits as it is: disabled",
     .show = show_tenant},
    {.noun = "member", .verb = "add", .cmd = "member.add",
     .arguments = {CLI_TENANT, {"EMAIL", "email"}}, .options = member_add_options,
     .summary = "add a person to a tenant", .show = show_member},
    {.noun = "member", .verb = "list", .cmd = "member.list", .arguments = {CLI_TENANT},
     .options = member_list_options, .summary = "a tenant's members", .pages = true, .show = show_members},
    {.noun = "member", .verb = "limits", .cmd = "member.limits",
     .arguments = {CLI_TENANT, {"EMAIL", "member"}}, .options = member_limits_options,
     .summary = "change what they may spend and use", .show = show_member},
    {.noun = "member", .verb = "invite", .cmd = "invite.add", .arguments = {CLI_TENANT},
     .options = member_invite_options, .summary = "a link by which somebody becomes a member", .show = show_invite},
    {.noun = "member", .verb = "role", .cmd = "member.role",
     .arguments = {CLI_TENANT, {"EMAIL", "email"}, {"ROLE", "role"}}, .summary = "change what a member may do",
     .show = show_member},
    {.noun = "member", .verb = "remove", .cmd = "member.remove", .patient = true,
     .arguments = {CLI_TENANT, {"EMAIL", "email"}}, .options = member_remove_options,
     .summary = "remove a person and disable or hand over their keys", .show = show_member},
    {.noun = "project", .verb = "add", .cmd = "project.add",
     .arguments = {CLI_TENANT, {"NAME", "name"}}, .options = project_add_options,
     .summary = "add a project to a tenant", .show = show_project},
    {.noun = "project", .verb = "set", .cmd = "project.set",
     .arguments = {CLI_TENANT, {"PROJECT", "project"}}, .options = project_set_options,
     .summary = "change a project", .show = show_project},
    {.noun = "project", .verb = "delete", .cmd = "project.delete",
     .arguments = {CLI_TENANT, {"PROJECT", "project"}},
     .summary = "delete a project that has no keys", .show = show_project},
    {.noun = "project", .verb = "list", .cmd = "project.list",
     .arguments = {CLI_TENANT}, .options = project_list_options,
     .summary = "a tenant's projects", .pages = true,
     .show = show_projects},
    {.noun = NULL},
};

const struct cli_group cli_group_tenant = {"turnpike-tenant(1)", commands};

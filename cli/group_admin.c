#include "cli/table.h"

#include <stdio.h>

#include "base/str.h"

static void
show_admin(struct js_value result)
{
    static const struct print_column fields[] = {
        {"id", "id", false},
        {"email", "email", false},
        {"link", "link", false},
        {"expires", "good until", false},
        PRINT_END,
    };

    print_fields(result, fields);
    if (js_is(js_get(result, STR("link")), JS_STRING))
        printf("\nThe link is for one use: it sets the password. It is shown only now.\n");
}

static void
show_admins(struct js_value result)
{
    static const struct print_column columns[] = {
        {"id", "ID", true},
        {"email", "EMAIL", false},
        {"name", "NAME", false},
        {"has_password", "PASSWORD", false},
        {"second_factor", "SECOND FACTOR", false},
        {"last_login", "LAST LOGIN", false},
        PRINT_END,
    };

    print_table(js_get(result, STR("admins")), columns, "no administrators");
}

static const struct cli_option add_options[] = {
    {"--name", "NAME", "name", CLI_TEXT, "what the person is called, of somebody new"},
    CLI_NO_OPTION,
};

static const struct cli_command commands[] = {
    {.noun = "admin", .verb = "add", .cmd = "admin.add", .arguments = {{"EMAIL", "email"}}, .options = add_options,
     .summary = "make a person an administrator of the platform", .show = show_admin},
    {.noun = "admin", .verb = "list", .cmd = "admin.list", .summary = "those who are", .pages = true,
     .show = show_admins},
    {.noun = "admin", .verb = "remove", .cmd = "admin.remove", .arguments = {{"EMAIL", "email"}},
     .summary = "take that from a person, and sign them out", .show = show_admin},
    {.noun = NULL},
};

const struct cli_group cli_group_admin = {"turnpike-admin(1)", commands};

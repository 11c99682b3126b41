#include "cli/table.h"

#include <stdio.h>

#include "base/str.h"
#include "cli/content.h"

/* ---- how answers are shown ---- */

static void
show_terms(struct js_value result)
{
    static const struct print_column fields[] = {
        {"kind", "kind", false}, {"version", "version", false}, {"created", "since", false},
        {"note", "note", false}, PRINT_END,
    };

    print_fields(result, fields);
    if (js_is(js_get(result, STR("en")), JS_STRING)) {
        printf("\n");
        content_print(js_get(result, STR("en")));
    }
    if (js_is(js_get(result, STR("zh")), JS_STRING)) {
        printf("\n");
        content_print(js_get(result, STR("zh")));
    }
}

static void
show_terms_list(struct js_value result)
{
    static const struct print_column columns[] = {
        {"kind", "KIND", false}, {"version", "VERSION", true}, {"created", "SINCE", false},
        {"note", "NOTE", false}, PRINT_END,
    };

    print_table(js_get(result, STR("terms")), columns, "no terms: nobody is asked to agree to any");
}

static void
show_notice(struct js_value result)
{
    static const struct print_column fields[] = {
        {"id", "id", false},       {"level", "level", false}, {"from", "from", false},
        {"until", "until", false}, {"en", "en", false},       {"zh", "zh", false}, PRINT_END,
    };

    print_fields(result, fields);
}

static void
show_notices(struct js_value result)
{
    static const struct print_column columns[] = {
        {"id", "ID", true},        {"level", "LEVEL", false}, {"from", "FROM", false},
        {"until", "UNTIL", false}, {"en", "TEXT", false},     PRINT_END,
    };

    print_table(js_get(result, STR("notices")), columns, "no announcements");
}

static void
show_texts(struct js_value result)
{
    static const struct print_column fields[] = {
        {"support_email", "support email", false}, {"support_url", "support url", false},
        {"welcome_en", "welcome en", false},       {"welcome_zh", "welcome zh", false},
        {"footer_en", "footer en", false},         {"footer_zh", "footer zh", false}, PRINT_END,
    };

    print_fields(result, fields);
}

static void
show_config(struct js_value result)
{
    content_print(js_get(result, STR("text")));
}

static void
show_checked(struct js_value result)
{
    static const struct print_column columns[] = {
        {"line", "LINE", true}, {"warning", "WARNING", false}, {"message", "MESSAGE", false},
        {"file", "FILE", false}, PRINT_END,
    };
    char why[512];

    if (js_is(js_get(result, STR("refused")), JS_STRING)) {
        print_value(js_get(result, STR("refused")), why, sizeof(why));
        printf("not to be changed from here: %s\n", why);
    }
    print_table(js_get(result, STR("faults")), columns, "no faults");
}

static enum cli_exit
judge_checked(struct js_value result, bool json)
{
    (void)json;
    return js_bool(js_get(result, STR("good")), false) ? CLI_DONE : CLI_BAD_CONF;
}

static void
show_put(struct js_value result)
{
    static const struct print_column fields[] = {
        {"version", "version", false}, {"digest", "digest", false}, {"bytes", "bytes", false},
        {"changed", "changed", false}, PRINT_END,
    };

    print_fields(result, fields);
    if (js_bool(js_get(result, STR("changed")), false))
        printf("\nIt is written, and in force after: turnpike reload\n");
}

static void
show_history(struct js_value result)
{
    static const struct print_column columns[] = {
        {"version", "VERSION", true}, {"time", "TIME", false},   {"by", "BY", false},
        {"name", "NAME", false},      {"bytes", "BYTES", true}, {"note", "NOTE", false}, PRINT_END,
    };
    char next[64];

    print_table(js_get(result, STR("versions")), columns, "no history");
    if (js_is(js_get(result, STR("next")), JS_STRING)) {
        print_value(js_get(result, STR("next")), next, sizeof(next));
        printf("\nolder ones: --cursor %s\n", next);
    }
}

static void
show_diff(struct js_value result)
{
    if (js_bool(js_get(result, STR("same")), false))
        printf("nothing differs\n");
    else
        content_print(js_get(result, STR("diff")));
}

/* ---- options ---- */

static const struct cli_option terms_put_options[] = {
    {"--en", "FILE", "en", CLI_CONTENT, "the text in English; - is standard input; must be told"},
    {"--zh", "FILE", "zh", CLI_CONTENT, "the text in Simplified Chinese"},
    {"--note", "TEXT", "note", CLI_TEXT, "what is another, for those who run the server"},
    CLI_NO_OPTION,
};
static const struct cli_option terms_show_options[] = {
    {"--version-number", "N", "version", CLI_COUNT, "this one; the one that holds unless told"},
    CLI_NO_OPTION,
};

#define NOTICE_OPTIONS                                                                             \
    {"--en", "TEXT", "en", CLI_TEXT, "the text in English"},                                       \
        {"--zh", "TEXT", "zh", CLI_TEXT, "the text in Simplified Chinese"},                        \
        {"--level", "info|warning|critical", "level", CLI_TEXT, "how much it matters; info unless told"}, \
        {"--from", "TIME", "from", CLI_TEXT, "from when it shows; a full time, or a date"},        \
        {"--until", "TIME", "until", CLI_TEXT, "until when; for good unless told"}
static const struct cli_option notice_options[] = {NOTICE_OPTIONS, CLI_NO_OPTION};
static const struct cli_option notice_list_options[] = {
    {"--current", NULL, "current", CLI_FLAG, "only those that show now"},
    CLI_NO_OPTION,
};

static const struct cli_option text_options[] = {
    {"--support-email", "EMAIL", "support_email", CLI_TEXT, "where people ask for help; empty: nowhere"},
    {"--support-url", "URL", "support_url", CLI_TEXT, "likewise"},
    {"--welcome-en", "TEXT", "welcome_en", CLI_TEXT, "what who signs in reads first, in English"},
    {"--welcome-zh", "TEXT", "welcome_zh", CLI_TEXT, "likewise in Simplified Chinese"},
    {"--footer-en", "TEXT", "footer_en", CLI_TEXT, "at the end of each page, in English"},
    {"--footer-zh", "TEXT", "footer_zh", CLI_TEXT, "likewise in Simplified Chinese"},
    CLI_NO_OPTION,
};

#define OPTION_FILE {"--file", "FILE", "text", CLI_CONTENT, "the text; - is standard input; must be told"}
static const struct cli_option config_check_options[] = {OPTION_FILE, CLI_NO_OPTION};
static const struct cli_option config_put_options[] = {
    OPTION_FILE,
    {"--base", "DIGEST", "base", CLI_TEXT, "refuse when the file is not that one any more"},
    {"--note", "TEXT", "note", CLI_TEXT, "what was changed, for the history"},
    CLI_NO_OPTION,
};
static const struct cli_option config_rollback_options[] = {
    {"--base", "DIGEST", "base", CLI_TEXT, "refuse when the file is not that one any more"},
    {"--note", "TEXT", "note", CLI_TEXT, "why, for the history"},
    CLI_NO_OPTION,
};
static const struct cli_option config_history_options[] = {
    {"--limit", "N", "limit", CLI_COUNT, "so many at most; 50 unless told, 100 at most"},
    {"--cursor", "PLACE", "cursor", CLI_TEXT, "go on from where the last page ended"},
    CLI_NO_OPTION,
};
static const struct cli_option config_diff_options[] = {
    {"--from", "VERSION", "from", CLI_COUNT, "one of the history; the file as it is unless told"},
    {"--to", "VERSION", "to", CLI_COUNT, "likewise"},
    {"--file", "FILE", "text", CLI_CONTENT, "in place of --to: this text; - is standard input"},
    CLI_NO_OPTION,
};

static const struct cli_command commands[] = {
    {.noun = "terms", .verb = "put", .cmd = "terms.put", .arguments = {{"terms|privacy", "kind"}},
     .options = terms_put_options, .summary = "a new version, to which people agree from now on",
     .show = show_terms},
    {.noun = "terms", .verb = "show", .cmd = "terms.show", .arguments = {{"terms|privacy", "kind"}},
     .options = terms_show_options, .summary = "a version with its texts", .pages = true, .show = show_terms},
    {.noun = "terms", .verb = "list", .cmd = "terms.list", .summary = "all versions", .pages = true,
     .show = show_terms_list},
    {.noun = "notice", .verb = "add", .cmd = "notice.add", .options = notice_options,
     .summary = "announce something to all who sign in", .show = show_notice},
    {.noun = "notice", .verb = "set", .cmd = "notice.set", .arguments = {{"ID", "id"}}, .options = notice_options,
     .summary = "change an announcement; what is not told stays", .show = show_notice},
    {.noun = "notice", .verb = "remove", .cmd = "notice.remove", .arguments = {{"ID", "id"}},
     .summary = "take an announcement away", .show = show_notice},
    {.noun = "notice", .verb = "list", .cmd = "notice.list", .options = notice_list_options,
     .summary = "announcements, the newest first", .pages = true, .show = show_notices},
    {.noun = "text", .verb = "show", .cmd = "setting.show", .summary = "what the operator tells people",
     .pages = true, .show = show_texts},
    {.noun = "text", .verb = "set", .cmd = "setting.set", .options = text_options,
     .summary = "change it; an empty text takes one away", .show = show_texts},
    {.noun = "config", .verb = "show", .cmd = "config.show", .needs_server = true,
     .summary = "routes.conf as it is", .pages = true, .show = show_config},
    {.noun = "config", .verb = "check", .cmd = "config.check", .needs_server = true,
     .options = config_check_options, .summary = "what the server would say to a text; 78 when it has a fault",
     .show = show_checked, .judge = judge_checked},
    {.noun = "config", .verb = "put", .cmd = "config.put", .needs_server = true, .options = config_put_options,
     .summary = "replace routes.conf, when the text is good", .show = show_put},
    {.noun = "config", .verb = "history", .cmd = "config.history", .needs_server = true,
     .options = config_history_options, .summary = "texts that were in force, the newest first", .pages = true,
     .show = show_history},
    {.noun = "config", .verb = "version", .cmd = "config.version", .needs_server = true,
     .arguments = {{"VERSION", "version"}}, .summary = "one of them", .pages = true, .show = show_config},
    {.noun = "config", .verb = "diff", .cmd = "config.diff", .needs_server = true, .options = config_diff_options,
     .summary = "what differs, as diff -u writes it", .pages = true, .show = show_diff},
    {.noun = "config", .verb = "rollback", .cmd = "config.rollback", .needs_server = true,
     .arguments = {{"VERSION", "version"}}, .options = config_rollback_options,
     .summary = "an earlier text again", .show = show_put},
    {.noun = NULL},
};

const struct cli_group cli_group_site = {"turnpike-site(1)", commands};

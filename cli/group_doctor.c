#include "cli/init.h"
#include "cli/table.h"

static const struct cli_option init_options[] = {
    {"--provider", "P[,P…]", "provider", CLI_LIST,
     "openai, anthropic, gemini, deepseek, mock …; may be repeated"},
    {"--key-env", "[P=]NAME", "key_env", CLI_LIST, "the variable that holds a provider's key"},
    {"--key-file", "[P=]FILE", "key_file", CLI_LIST,
     "the file that holds it, readable for its owner alone"},
    {"--listen", "ADDR:PORT", "listen", CLI_TEXT, "where it will listen; 127.0.0.1:8080 unless told"},
    {"--tenant", "NAME", "tenant", CLI_TEXT, "the first tenant; me unless told"},
    {"--credit", "N", "credit", CLI_TEXT, "its credit; 10 unless told, none with --tenant"},
    {"--no-tenant", NULL, "no_tenant", CLI_FLAG, "write the file only"},
    {"--config", "FILE", "config", CLI_TEXT, "what to write; ./routes.conf unless told"},
    {"--force", NULL, "force", CLI_FLAG, "write over it when it is there"},
    CLI_NO_OPTION,
};

static const struct cli_command commands[] = {
    {.noun = "init", .run = init_run, .options = init_options,
     .summary = "write a first routes.conf; make a tenant and its key"},
    {.noun = NULL},
};

const struct cli_group cli_group_doctor = {"turnpike-doctor(1)", commands};

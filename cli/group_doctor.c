#include "cli/doctor.h"
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
    {"--no-tenant", NULL, "no_tenant", CLI_FLAG, "make no tenant and no key"},
    {"--admin", "EMAIL", "admin", CLI_TEXT, "the first administrator of the platform; a link sets the password"},
    {"--config", "FILE", "config", CLI_TEXT, "what to write; ./routes.conf unless told"},
    {"--force", NULL, "force", CLI_FLAG, "write over it when it is there"},
    CLI_NO_OPTION,
};

static const struct cli_option doctor_options[] = {
    {"--config", "FILE", "config", CLI_TEXT,
     "routes.conf; ./routes.conf if there is one, else /etc/turnpike/routes.conf"},
    {"--listen", "ADDR:PORT", "listen", CLI_LIST, "look whether it is free; may be repeated"},
    {"--tls-cert", "FILE", "tls_cert", CLI_LIST, "a certificate that serve is to have"},
    {"--tls-key", "FILE", "tls_key", CLI_LIST, "its private key; in the same order"},
    {"--timeout", "SECONDS", "timeout", CLI_COUNT, "of each check; 10 unless told"},
    {"--offline", NULL, "offline", CLI_FLAG, "leave upstreams alone"},
    CLI_NO_OPTION,
};

static const struct cli_command commands[] = {
    {.noun = "init", .run = init_run, .options = init_options,
     .summary = "write a first routes.conf; make a tenant and its key"},
    {.noun = "doctor", .run = doctor_run, .options = doctor_options,
     .summary = "look whether machine, files and providers are fit; 1 when something is not"},
    {.noun = NULL},
};

const struct cli_group cli_group_doctor = {"turnpike-doctor(1)", commands};

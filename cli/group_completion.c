#include "cli/complete.h"
#include "cli/table.h"

static const struct cli_command commands[] = {
    {.noun = "completion", .run = completion_run, .no_json = true,
     .arguments = {{"bash|zsh|fish", "shell"}},
     .summary = "what a shell reads to complete these commands"},
    {.noun = NULL},
};

const struct cli_group cli_group_completion = {"turnpike(1)", commands};

#include "cli/complete.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "cli/complete_names.h"
#include "cli/help.h"
#include "cli/shipped.h"

/* What was read of the words before the one under the cursor. */
struct line {
    char **words;
    int count;
    const char *current;
    const char *state_dir;
    const char *noun, *verb; /* NULL: not there yet */
    const struct cli_command *command;
    const char *arguments[CLI_ARGUMENTS_MAX];
    unsigned argument_count;
    const char *tenant;               /* that --tenant or the first argument names */
    const struct cli_option *waiting; /* an option, the word before, that wants its value; NULL: none */
    const struct cli_option *given[64]; /* options that stand there already */
    unsigned given_count;
};

/* ---- reading ---- */

static const struct cli_option *
option_in(const struct cli_option *options, const char *word, size_t len)
{
    for (; options != NULL && options->flag != NULL; options++) {
        const char *letter = cli_letter(options->flag);

        if ((strlen(options->flag) == len && strncmp(options->flag, word, len) == 0) ||
            (letter != NULL && strlen(letter) == len && strncmp(letter, word, len) == 0))
            return options;
    }
    return NULL;
}

/* The option that a word is, with its value behind it or not. */
static const struct cli_option *
option_of(const struct line *line, const char *word)
{
    size_t len = strcspn(word, "=");
    const struct cli_option *option = option_in(cli_globals, word, len);

    if (option == NULL && line->command != NULL)
        option = option_in(line->command->options, word, len);
    return option;
}

static bool
has_verbs(const char *noun)
{
    const struct cli_command *command;
    struct cli_iter it = {0};

    while ((command = cli_next(&it, NULL)) != NULL)
        if (strcmp(command->noun, noun) == 0 && command->verb != NULL)
            return true;
    return false;
}

static void
take_value(struct line *line, const struct cli_option *option, const char *value)
{
    if (strcmp(option->flag, "--state") == 0)
        line->state_dir = value;
    else if (strcmp(option->flag, "--tenant") == 0)
        line->tenant = value;
}

static void
take_option(struct line *line, const char *word)
{
    const struct cli_option *option = option_of(line, word);
    const char *value = strchr(word, '=');

    if (option == NULL)
        return;
    if (line->given_count < COUNT_OF(line->given))
        line->given[line->given_count++] = option;
    if (option->kind == CLI_FLAG)
        return;
    if (value != NULL)
        take_value(line, option, value + 1);
    else
        line->waiting = option;
}

static void
take_word(struct line *line, const char *word)
{
    if (line->noun == NULL) {
        line->noun = word;
        line->command = find_command(word, NULL, NULL);
        return;
    }
    if (line->verb == NULL && line->argument_count == 0 && has_verbs(line->noun)) {
        const struct cli_command *command = find_command(line->noun, word, NULL);

        if (command != NULL && command->verb != NULL) {
            line->verb = word;
            line->command = command;
            return;
        }
    }
    if (line->argument_count < CLI_ARGUMENTS_MAX)
        line->arguments[line->argument_count++] = word;
    if (line->command != NULL && line->command->arguments[0].help != NULL &&
        strcmp(line->command->arguments[0].help, "TENANT") == 0 && line->tenant == NULL)
        line->tenant = word;
}

static void
read_line(struct line *line)
{
    for (int i = 0; i < line->count; i++) {
        const char *word = line->words[i];

        if (line->waiting != NULL) {
            take_value(line, line->waiting, word);
            line->waiting = NULL;
        } else if (word[0] == '-' && word[1] != '\0') {
            take_option(line, word);
        } else {
            take_word(line, word);
        }
    }
}

/* ---- saying ---- */

static void
say_place(const struct line *line, const char *of, const char *prefix, const char *begun)
{
    struct complete_place place = {
        .state_dir = line->state_dir,
        .of = of,
        .noun = line->noun != NULL ? line->noun : "",
        .tenant = line->tenant,
        .prefix = prefix,
        .begun = begun,
    };

    complete_place(&place);
}

/* The value of an option. The ID of a call is asked for by a name of its own. */
static void
say_value(const struct line *line, const struct cli_option *option, const char *prefix,
          const char *begun)
{
    const char *of = option->value != NULL ? option->value : "";

    if (strcmp(option->flag, "--key") == 0)
        of = "KEY";
    else if (strcmp(option->flag, "--call") == 0)
        of = "CALL";
    say_place(line, of, prefix, begun);
}

static bool
is_given(const struct line *line, const struct cli_option *option)
{
    for (unsigned i = 0; i < line->given_count; i++)
        if (line->given[i] == option && option->kind != CLI_LIST)
            return true;
    return false;
}

static void
say_options(const struct line *line)
{
    const struct cli_option *const lists[] = {
        line->command != NULL ? line->command->options : NULL, cli_globals};

    for (size_t i = 0; i < COUNT_OF(lists); i++)
        for (const struct cli_option *o = lists[i]; o != NULL && o->flag != NULL; o++)
            if (!is_given(line, o) && (line->command == NULL || lists[i] != cli_globals ||
                                       cli_takes(line->command, o)))
                complete_say("", line->current, o->flag, o->help);
}

/* Nouns once each, with what the first command of each is for. */
static void
say_nouns(const struct line *line)
{
    const struct cli_command *command;
    const char *last = "";
    struct cli_iter it = {0};

    while ((command = cli_next(&it, NULL)) != NULL) {
        if (!command->hidden && strcmp(command->noun, last) != 0)
            complete_say("", line->current, command->noun,
                         command->verb == NULL ? command->summary : NULL);
        last = command->noun;
    }
}

static void
say_verbs(const struct line *line)
{
    const struct cli_command *command;
    struct cli_iter it = {0};

    while ((command = cli_next(&it, NULL)) != NULL)
        if (strcmp(command->noun, line->noun) == 0 && command->verb != NULL && !command->hidden)
            complete_say("", line->current, command->verb, command->summary);
}

static void
say_argument(const struct line *line)
{
    const struct cli_argument *argument;
    char of[64];

    if (line->command == NULL || line->argument_count >= CLI_ARGUMENTS_MAX)
        return;
    argument = &line->command->arguments[line->argument_count];
    if (argument->help == NULL)
        return;
    /* "[FILE]" may be left out. */
    str_copy(str_from(argument->help + (argument->help[0] == '[')), of, sizeof(of));
    of[strcspn(of, argument->help[0] == '[' ? "]" : "")] = '\0';
    say_place(line, of, "", line->current);
}

static void
say(const struct line *line)
{
    const char *value = strchr(line->current, '=');
    const struct cli_option *option;
    char prefix[128];

    if (line->waiting != NULL) {
        say_value(line, line->waiting, "", line->current);
        return;
    }
    if (line->current[0] == '-' && value != NULL) {
        option = option_of(line, line->current);
        snprintf(prefix, sizeof(prefix), "%.*s", (int)(value + 1 - line->current), line->current);
        if (option != NULL && option->kind != CLI_FLAG)
            say_value(line, option, prefix, value + 1);
        return;
    }
    if (line->current[0] == '-') {
        say_options(line);
        return;
    }
    if (line->noun == NULL) {
        say_nouns(line);
        return;
    }
    if (line->verb == NULL && line->argument_count == 0)
        say_verbs(line);
    say_argument(line);
}

int
complete_main(int argc, char **argv)
{
    const char *state = getenv("TURNPIKE_STATE");
    struct line line = {.state_dir = state != NULL && state[0] != '\0' ? state : STATE_DEFAULT};

    if (argc > 0 && strcmp(argv[0], "--") == 0) {
        argc--;
        argv++;
    }
    if (argc > 1 && strcmp(argv[0], "help") == 0) { /* of the command that follows */
        argc--;
        argv++;
    }
    line.words = argv;
    line.count = argc > 0 ? argc - 1 : 0;
    line.current = argc > 0 ? argv[argc - 1] : "";
    read_line(&line);
    say(&line);
    return fflush(stdout) == 0 ? CLI_DONE : CLI_FAILED;
}

enum cli_exit
completion_run(const struct cli_local *local)
{
    static const char *const shells[] = {"bash", "zsh", "fish"};

    for (size_t i = 0; i < COUNT_OF(shells); i++)
        if (strcmp(local->arguments[0], shells[i]) == 0) {
            struct str text = shipped_completion(shells[i]);

            fwrite(text.ptr, 1, text.len, stdout);
            return fflush(stdout) == 0 ? CLI_DONE : CLI_FAILED;
        }
    return complain(CLI_USAGE, local->arguments[0], "there are no completions for it",
                    "one of bash, zsh, fish");
}

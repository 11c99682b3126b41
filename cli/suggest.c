#include "cli/suggest.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/nearest.h"
#include "base/str.h"
#include "cli/help.h"

/* The words that may follow a noun: "add, list or show". */
static void
list_verbs(struct buf *out, const char *noun)
{
    const struct cli_command *command, *last = NULL;
    struct cli_iter it = {0};
    unsigned count = 0;

    while ((command = cli_next(&it, NULL)) != NULL) {
        if (strcmp(command->noun, noun) != 0 || command->verb == NULL)
            continue;
        if (last != NULL)
            buf_add_fmt(out, "%s%s", count > 1 ? ", " : "", last->verb);
        last = command;
        count++;
    }
    if (last != NULL)
        buf_add_fmt(out, "%s%s", count > 1 ? " or " : "", last->verb);
}

/* Of a noun that takes a word which is missing, or is another. */
static enum cli_exit
no_such_verb(const char *noun, const char *verb)
{
    const struct cli_command *command;
    struct nearest near = {STR_NONE, 0};
    struct cli_iter it = {0};
    struct buf hint;
    char why[128];
    enum cli_exit rc;

    while (verb != NULL && (command = cli_next(&it, NULL)) != NULL)
        if (strcmp(command->noun, noun) == 0 && command->verb != NULL)
            nearest_try(&near, str_from(verb), str_from(command->verb));
    if (verb != NULL)
        snprintf(why, sizeof(why), "\"%.40s\" is none of its commands", verb);
    else
        snprintf(why, sizeof(why), "a word is missing after it");
    buf_init(&hint, 256);
    if (near.best.ptr != NULL) {
        buf_add_fmt(&hint, "did you mean %.*s?", STR_ARGS(near.best));
    } else {
        buf_add_fmt(&hint, "one of ");
        list_verbs(&hint, noun);
    }
    buf_add_char(&hint, '\0');
    rc = complain(CLI_USAGE, noun, why, hint.failed ? NULL : hint.ptr);
    buf_free(&hint);
    return rc;
}

/* The one command that a word is the second word of: "grant" is "credit grant". NULL: none, or several. */
static const struct cli_command *
by_verb(const char *verb)
{
    const struct cli_command *command, *found = NULL;
    struct cli_iter it = {0};

    while ((command = cli_next(&it, NULL)) != NULL) {
        if (command->verb == NULL || strcmp(command->verb, verb) != 0)
            continue;
        if (found != NULL)
            return NULL;
        found = command;
    }
    return found;
}

enum cli_exit
no_such(const char *noun, const char *verb)
{
    const struct cli_command *command, *meant = by_verb(noun);
    struct nearest near = {STR_NONE, 0};
    char hint[128] = "see turnpike --help";
    struct cli_iter it = {0};

    if (noun[0] == '-')
        return complain(CLI_USAGE, noun, "there is no such option before a subcommand", hint);
    if (cli_knows(noun))
        return no_such_verb(noun, verb);
    while ((command = cli_next(&it, NULL)) != NULL)
        if (!command->hidden)
            nearest_try(&near, str_from(noun), str_from(command->noun));
    if (near.best.ptr != NULL)
        snprintf(hint, sizeof(hint), "did you mean %.*s?", STR_ARGS(near.best));
    else if (meant != NULL)
        snprintf(hint, sizeof(hint), "did you mean %s %s?", meant->noun, meant->verb);
    return complain(CLI_USAGE, noun, "there is no such subcommand", hint);
}

enum cli_exit
no_such_use(const struct cli_command *command, const char *what, const char *why)
{
    char hint[96];

    snprintf(hint, sizeof(hint), "see turnpike %s%s%s --help", command->noun,
             command->verb != NULL ? " " : "", command->verb != NULL ? command->verb : "");
    return complain(CLI_USAGE, what, why, hint);
}

static bool
is_flag(struct str typed, const struct cli_option *option)
{
    return option->kind == CLI_FLAG && str_eq(typed, str_from(option->flag));
}

enum cli_exit
no_such_option(const struct cli_command *command, const char *word)
{
    struct str typed = {word, strcspn(word, "=")};
    const struct cli_option *const lists[] = {command->options, cli_globals};
    struct nearest near = {STR_NONE, 0};
    char hint[96];

    for (size_t i = 0; i < COUNT_OF(lists); i++)
        for (const struct cli_option *o = lists[i]; o != NULL && o->flag != NULL; o++) {
            if (is_flag(typed, o))
                return no_such_use(command, word, "it takes no value");
            /* Of the letters alone: dashes are no likeness. */
            if (typed.len > 2 && (lists[i] != cli_globals || cli_takes(command, o)))
                nearest_try(&near, (struct str){word + 2, typed.len - 2}, str_from(o->flag + 2));
        }
    if (near.best.ptr == NULL)
        return no_such_use(command, word, "there is no such option");
    snprintf(hint, sizeof(hint), "did you mean --%.*s?", STR_ARGS(near.best));
    return complain(CLI_USAGE, word, "there is no such option", hint);
}

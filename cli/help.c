#include "cli/help.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"

enum cli_exit
complain(enum cli_exit status, const char *what, const char *why, const char *hint)
{
    fprintf(stderr, "turnpike: %s: %s", what, why);
    fprintf(stderr, hint != NULL && hint[0] != '\0' ? "; %s\n" : "\n", hint);
    return status;
}

static void
help_line(struct buf *out, const struct cli_command *command)
{
    buf_add_fmt(out, "turnpike %s", command->noun);
    if (command->verb != NULL)
        buf_add_fmt(out, " %s", command->verb);
    for (unsigned i = 0; i < CLI_ARGUMENTS_MAX && command->arguments[i].help != NULL; i++)
        buf_add_fmt(out, " %s", command->arguments[i].help);
    if (command->options != NULL)
        buf_add_fmt(out, " [options]");
}

void
help_command(struct buf *out, const struct cli_command *command)
{
    buf_add_fmt(out, "usage: ");
    help_line(out, command);
    buf_add_fmt(out, "\n\n%s\n\n", command->summary);
    for (const struct cli_option *o = command->options; o != NULL && o->flag != NULL; o++) {
        char flag[64];

        snprintf(flag, sizeof(flag), "%s %s", o->flag, o->value != NULL ? o->value : "");
        buf_add_fmt(out, "  %-32s %s\n", flag, o->help);
    }
    buf_add_fmt(out, "  %-32s %s\n", "-s, --state DIR",
                "state directory; $TURNPIKE_STATE, else " STATE_DEFAULT);
    buf_add_fmt(out, "  %-32s %s\n", "--json", "one JSON document instead of text");
}

void
cli_list(struct buf *out)
{
    for (const struct cli_command *command = cli_commands; command->noun != NULL; command++) {
        struct buf line;

        buf_init(&line, 512);
        help_line(&line, command);
        buf_add_fmt(out, "  %-40.*s %s\n", STR_ARGS(buf_str(&line)), command->summary);
        buf_free(&line);
    }
}

enum cli_exit
help_all(FILE *to, const char *noun)
{
    struct buf out;

    buf_init(&out, 65536);
    if (noun == NULL)
        buf_add_fmt(&out,
                    "usage: turnpike SUBCOMMAND … [-s DIR] [--json]\n\n"
                    "  %-40s %s\n  %-40s %s\n",
                    "turnpike serve [options]", "run the gateway in the foreground",
                    "turnpike check [-c routes.conf]", "check the configuration");
    for (const struct cli_command *command = cli_commands; command->noun != NULL; command++)
        if (noun != NULL && strcmp(noun, command->noun) == 0) {
            help_command(&out, command);
            buf_add_char(&out, '\n');
        }
    if (noun == NULL)
        cli_list(&out);
    fwrite(out.ptr != NULL ? out.ptr : "", 1, out.len, to);
    buf_free(&out);
    return CLI_DONE;
}

bool
cli_knows(const char *subcommand)
{
    for (const struct cli_command *command = cli_commands; command->noun != NULL; command++)
        if (strcmp(command->noun, subcommand) == 0)
            return true;
    return false;
}

const struct cli_command *
find_command(const char *noun, const char *verb)
{
    for (const struct cli_command *command = cli_commands; command->noun != NULL; command++)
        if (strcmp(command->noun, noun) == 0 &&
            (command->verb == NULL || (verb != NULL && strcmp(command->verb, verb) == 0)))
            return command;
    return NULL;
}

/* What somebody may have meant by a word that is none. */
static const char *
nearest(const char *noun, const char *verb)
{
    const char *best = NULL;
    unsigned best_distance = 3;

    for (const struct cli_command *command = cli_commands; command->noun != NULL; command++) {
        const char *word = verb == NULL ? command->noun : command->verb;
        unsigned distance;

        if (word == NULL || (verb != NULL && strcmp(noun, command->noun) != 0))
            continue;
        distance = str_distance(str_from(verb == NULL ? noun : verb), str_from(word), 2);
        if (distance < best_distance) {
            best_distance = distance;
            best = word;
        }
    }
    return best;
}

/* The words that may follow a noun: "add, list or show". */
static void
list_verbs(struct buf *out, const char *noun)
{
    const struct cli_command *last = NULL;
    unsigned count = 0;

    for (const struct cli_command *command = cli_commands; command->noun != NULL; command++) {
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
    const char *near = verb != NULL ? nearest(noun, verb) : NULL;
    struct buf hint;
    char why[128];
    enum cli_exit rc;

    if (verb != NULL)
        snprintf(why, sizeof(why), "\"%.40s\" is none of its commands", verb);
    else
        snprintf(why, sizeof(why), "a word is missing after it");
    buf_init(&hint, 256);
    if (near != NULL) {
        buf_add_fmt(&hint, "did you mean %s?", near);
    } else {
        buf_add_fmt(&hint, "one of ");
        list_verbs(&hint, noun);
    }
    buf_add_char(&hint, '\0');
    rc = complain(CLI_USAGE, noun, why, hint.failed ? NULL : hint.ptr);
    buf_free(&hint);
    return rc;
}

enum cli_exit
no_such(const char *noun, const char *verb)
{
    const char *near;
    char hint[128] = "see turnpike --help";

    if (cli_knows(noun))
        return no_such_verb(noun, verb);
    near = nearest(noun, NULL);
    if (near != NULL)
        snprintf(hint, sizeof(hint), "did you mean %s?", near);
    return complain(CLI_USAGE, noun, "there is no such subcommand", hint);
}

#include "cli/help.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"

#define OPTION_WIDTH 34
#define COMMAND_WIDTH 37

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
    buf_add_fmt(out, "%s", command->noun);
    if (command->verb != NULL)
        buf_add_fmt(out, " %s", command->verb);
    for (unsigned i = 0; i < CLI_ARGUMENTS_MAX && command->arguments[i].help != NULL; i++)
        buf_add_fmt(out, " %s", command->arguments[i].help);
    if (command->options != NULL)
        buf_add_fmt(out, " [options]");
}

/* Text and, from column `width` on, what it means; on a line of its own where it does not fit. */
static void
help_row(struct buf *out, unsigned width, const char *text, const char *meaning)
{
    size_t len = 0;

    for (const char *c = text; *c != '\0'; c++)
        len += ((unsigned char)*c & 0xc0) != 0x80;
    buf_add_fmt(out, "  %s", text);
    if (len > width)
        buf_add_fmt(out, "\n  %*s %s\n", (int)width, "", meaning);
    else
        buf_add_fmt(out, "%*s %s\n", (int)(width - len), "", meaning);
}

static void
help_option(struct buf *out, const struct cli_option *option)
{
    const char *letter = cli_letter(option->flag);
    char text[96];

    snprintf(text, sizeof(text), "%s%s%s%s%s", letter != NULL ? letter : "",
             letter != NULL ? ", " : "", option->flag, option->value != NULL ? " " : "",
             option->value != NULL ? option->value : "");
    help_row(out, OPTION_WIDTH, text, option->help);
}

void
help_command(struct buf *out, const struct cli_command *command, const char *page)
{
    buf_add_fmt(out, "usage: turnpike ");
    help_line(out, command);
    buf_add_fmt(out, "\n\n%s\n\n", command->summary);
    for (const struct cli_option *o = command->options; o != NULL && o->flag != NULL; o++)
        help_option(out, o);
    for (const struct cli_option *o = cli_globals; o->flag != NULL; o++)
        if (!command->no_json || strcmp(o->flag, "--json") != 0)
            help_option(out, o);
    buf_add_fmt(out, "\nThe manual: %s\n", page);
}

static void
help_list(struct buf *out)
{
    struct cli_iter it = {0};
    const struct cli_command *command;

    while ((command = cli_next(&it, NULL)) != NULL) {
        struct buf line;

        if (command->hidden)
            continue;
        buf_init(&line, 512);
        help_line(&line, command);
        buf_add_char(&line, '\0');
        help_row(out, COMMAND_WIDTH, line.failed ? "" : line.ptr, command->summary);
        buf_free(&line);
    }
}

/* Every command of a noun; false: there is none. */
static bool
help_noun(struct buf *out, const char *noun)
{
    const struct cli_group *group;
    const struct cli_command *command;
    struct cli_iter it = {0};
    bool any = false;

    while ((command = cli_next(&it, &group)) != NULL)
        if (strcmp(noun, command->noun) == 0) {
            if (any)
                buf_add_char(out, '\n');
            help_command(out, command, group->page);
            any = true;
        }
    return any;
}

enum cli_exit
help_all(FILE *to, const char *noun)
{
    struct buf out;

    buf_init(&out, 65536);
    if (noun == NULL) {
        buf_add_fmt(&out, "usage: turnpike SUBCOMMAND … [-s DIR] [--json]\n\n");
        help_list(&out);
        buf_add_fmt(&out, "\n--help after a subcommand says what it takes. The manual: turnpike(1)\n");
    } else {
        (void)help_noun(&out, noun);
    }
    fwrite(out.ptr != NULL ? out.ptr : "", 1, out.len, to);
    buf_free(&out);
    return CLI_DONE;
}

void
cli_help(const char *subcommand)
{
    (void)help_all(stdout, subcommand);
}

bool
cli_knows(const char *subcommand)
{
    const struct cli_command *command;
    struct cli_iter it = {0};

    while ((command = cli_next(&it, NULL)) != NULL)
        if (strcmp(command->noun, subcommand) == 0)
            return true;
    return false;
}

const struct cli_command *
find_command(const char *noun, const char *verb, const struct cli_group **group)
{
    const struct cli_command *command;
    struct cli_iter it = {0};

    while ((command = cli_next(&it, group)) != NULL)
        if (strcmp(command->noun, noun) == 0 &&
            (command->verb == NULL || (verb != NULL && strcmp(command->verb, verb) == 0)))
            return command;
    return NULL;
}

/* What somebody may have meant by a word that is none. */
static const char *
nearest(const char *noun, const char *verb)
{
    const struct cli_command *command;
    struct cli_iter it = {0};
    const char *best = NULL;
    unsigned best_distance = 3;

    while ((command = cli_next(&it, NULL)) != NULL) {
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

#include "cli/help.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/str.h"
#include "base/term.h"

/* Columns where meanings begin. */
#define OPTION_COLUMN 36
#define COMMAND_COLUMN 40
#define TEXT_WIDTH_MAX 100

enum cli_exit
complain(enum cli_exit status, const char *what, const char *why, const char *hint)
{
    fprintf(stderr, "%sturnpike:%s %s: %s", term_on(stderr, TERM_BAD), term_off(stderr, TERM_BAD),
            what, why);
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

static size_t
width_of(const char *text, size_t len)
{
    size_t width = 0;

    for (size_t i = 0; i < len; i++)
        width += ((unsigned char)text[i] & 0xc0) != 0x80;
    return width;
}

/* Words, from column `from` on, in lines no longer than the terminal is wide. */
static void
help_text(struct buf *out, unsigned from, const char *text)
{
    size_t width = MIN(MAX(term_width(), from + 20), TEXT_WIDTH_MAX), at = from;

    for (const char *word = text; *word != '\0';) {
        size_t len = strcspn(word, " ");
        size_t cells = width_of(word, len);

        if (at > from && at + 1 + cells > width) {
            buf_add_fmt(out, "\n%*s", (int)from, "");
            at = from;
        }
        buf_add_fmt(out, "%s%.*s", at > from ? " " : "", (int)len, word);
        at += cells + (at > from);
        word += len + strspn(word + len, " ");
    }
    buf_add_char(out, '\n');
}

/* What is typed and, from column `from` on, what it means; on a line of its own where it does not fit. */
static void
help_row(struct buf *out, unsigned from, const char *typed, const char *meaning)
{
    size_t width = width_of(typed, strlen(typed)) + 2;

    buf_add_fmt(out, "  %s%s%s", term_on(stdout, TERM_HEAD), typed, term_off(stdout, TERM_HEAD));
    if (width >= from)
        buf_add_fmt(out, "\n%*s", (int)from, "");
    else
        buf_add_fmt(out, "%*s", (int)(from - width), "");
    help_text(out, from, meaning);
}

static void
help_option(struct buf *out, const struct cli_option *option)
{
    const char *letter = cli_letter(option->flag);
    char text[96];

    snprintf(text, sizeof(text), "%s%s%s%s%s", letter != NULL ? letter : "",
             letter != NULL ? ", " : "", option->flag, option->value != NULL ? " " : "",
             option->value != NULL ? option->value : "");
    help_row(out, OPTION_COLUMN, text, option->help);
}

static void
help_globals(struct buf *out, const struct cli_command *command, const char *page)
{
    for (const struct cli_option *o = cli_globals; o->flag != NULL; o++)
        if (cli_takes(command, o))
            help_option(out, o);
    buf_add_fmt(out, "\nThe manual: %s\n", page);
}

/* Usage, meaning and its own options. */
static void
help_own(struct buf *out, const struct cli_command *command)
{
    buf_add_fmt(out, "usage: turnpike ");
    help_line(out, command);
    buf_add_fmt(out, "\n\n");
    help_text(out, 0, command->summary);
    buf_add_char(out, '\n');
    for (const struct cli_option *o = command->options; o != NULL && o->flag != NULL; o++)
        help_option(out, o);
}

void
help_command(struct buf *out, const struct cli_command *command, const char *page)
{
    help_own(out, command);
    help_globals(out, command, page);
}

static void
help_list(struct buf *out)
{
    const struct cli_group *group, *last = NULL;
    struct cli_iter it = {0};
    const struct cli_command *command;

    while ((command = cli_next(&it, &group)) != NULL) {
        struct buf line;

        if (command->hidden)
            continue;
        if (group != last)
            buf_add_fmt(out, "%s%s%s%s:\n", last != NULL ? "\n" : "", term_on(stdout, TERM_HEAD),
                        group->page, term_off(stdout, TERM_HEAD));
        last = group;
        buf_init(&line, 512);
        help_line(&line, command);
        buf_add_char(&line, '\0');
        help_row(out, COMMAND_COLUMN, line.failed ? "" : line.ptr, command->summary);
        buf_free(&line);
    }
}

/* Every command of a noun, and what all of them take. */
static void
help_noun(struct buf *out, const char *noun)
{
    const struct cli_group *group, *last_group = NULL;
    const struct cli_command *command, *last = NULL;
    struct cli_iter it = {0};

    while ((command = cli_next(&it, &group)) != NULL)
        if (strcmp(noun, command->noun) == 0) {
            help_own(out, command);
            if (command->options != NULL)
                buf_add_char(out, '\n');
            last = command;
            last_group = group;
        }
    if (last != NULL)
        help_globals(out, last, last_group->page);
}

enum cli_exit
help_all(FILE *to, const char *noun)
{
    struct buf out;

    buf_init(&out, 65536);
    if (noun == NULL) {
        buf_add_fmt(&out, "usage: turnpike SUBCOMMAND … [options]\n\n");
        help_list(&out);
        buf_add_fmt(&out, "\nof every command:\n");
        for (const struct cli_option *o = cli_globals; o->flag != NULL; o++)
            help_option(&out, o);
        buf_add_fmt(&out, "\nturnpike SUBCOMMAND --help says what it takes.\n"
                          "The manual: turnpike(1)\n");
    } else {
        help_noun(&out, noun);
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

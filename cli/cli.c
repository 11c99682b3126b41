#include "cli/cli.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/jw.h"
#include "base/log.h"
#include "base/str.h"
#include "base/term.h"
#include "base/version.h"
#include "cli/ask.h"
#include "cli/complete.h"
#include "cli/content.h"
#include "cli/help.h"
#include "cli/local.h"
#include "cli/pager.h"
#include "cli/route.h"
#include "cli/suggest.h"
#include "cli/table.h"

#define REQUEST_BYTES_MAX ((1u << 20) - 1) /* as long as a line of the control socket with its end */

struct run {
    const char *state_dir;
    bool json, help;
    const struct cli_command *command;
    const char *arguments[CLI_ARGUMENTS_MAX];
    unsigned argument_count;
    struct buf request;
};

static enum cli_exit
version(bool json)
{
    printf(json ? "{\"version\":\"%s\"}\n" : "turnpike %s\n", turnpike_version);
    return CLI_DONE;
}

/* ---- options ---- */

/* The words of a command line, after the global options were taken out. */
struct words {
    char **at;
    int count;
};

/* "--flag value" or "--flag=value" at word i. NULL: it is not this flag. *missing: it is, but there is
 * no value. */
static const char *
option_value(const struct words *words, int *i, const char *flag, bool *missing)
{
    size_t len = strlen(flag);
    const char *word = words->at[*i];

    *missing = false;
    if (strncmp(word, flag, len) != 0)
        return NULL;
    if (word[len] == '=')
        return word + len + 1;
    if (word[len] != '\0')
        return NULL;
    if (*i + 1 >= words->count) {
        *missing = true;
        return NULL;
    }
    return words->at[++*i];
}

static enum cli_exit
take_globals(struct run *run, int argc, char **argv, struct words *out, bool *want_version)
{
    struct words in = {argv, argc};
    bool only_words = false;

    for (int i = 1; i < argc; i++) {
        const char *value;
        bool missing;

        if (only_words || argv[i][0] != '-') {
            out->at[out->count++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            only_words = true;
            out->at[out->count++] = argv[i];
        } else if (strcmp(argv[i], "--json") == 0) {
            run->json = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            run->help = true;
        } else if (strcmp(argv[i], "--version") == 0) {
            *want_version = true;
        } else if ((value = option_value(&in, &i, "--state", &missing)) != NULL || missing ||
                   (value = option_value(&in, &i, "-s", &missing)) != NULL || missing) {
            if (missing || value[0] == '\0')
                return complain(CLI_USAGE, argv[i], "a directory must follow", NULL);
            run->state_dir = value;
        } else if ((value = option_value(&in, &i, "--color", &missing)) != NULL || missing) {
            if (missing || !term_color(value))
                return complain(CLI_USAGE, "--color", "auto, always or never must follow", NULL);
        } else {
            out->at[out->count++] = argv[i];
        }
    }
    return CLI_DONE;
}

static enum cli_exit
take_option(struct run *run, const struct words *words, int *i, struct cli_given *given)
{
    for (unsigned o = 0; run->command->options != NULL && run->command->options[o].flag; o++) {
        const struct cli_option *option = &run->command->options[o];
        const char *value;
        bool missing = false;

        if (option->kind == CLI_FLAG) {
            if (strcmp(words->at[*i], option->flag) != 0)
                continue;
            value = "";
        } else {
            value = option_value(words, i, option->flag, &missing);
            if (value == NULL && !missing && cli_letter(option->flag) != NULL)
                value = option_value(words, i, cli_letter(option->flag), &missing);
        }
        if (missing)
            return complain(CLI_USAGE, option->flag, "a value must follow", NULL);
        if (value == NULL)
            continue;
        if (given[o].count == COUNT_OF(given[o].at) ||
            (option->kind != CLI_LIST && given[o].count > 0))
            return complain(CLI_USAGE, option->flag, "it is there more than once", NULL);
        given[o].at[given[o].count++] = value;
        return CLI_DONE;
    }
    return no_such_option(run->command, words->at[*i]);
}

static enum cli_exit
take_words(struct run *run, const struct words *words, int from, struct cli_given *given)
{
    bool only_words = false;

    for (int i = from; i < words->count; i++) {
        enum cli_exit rc;

        if (!only_words && strcmp(words->at[i], "--") == 0) {
            only_words = true;
            continue;
        }
        /* A negative amount is an argument, refused where amounts are read; "-" stands for a stream. */
        if (only_words || words->at[i][0] != '-' || words->at[i][1] == '\0' ||
            (words->at[i][1] >= '0' && words->at[i][1] <= '9')) {
            if (run->argument_count == CLI_ARGUMENTS_MAX ||
                run->command->arguments[run->argument_count].name == NULL)
                return no_such_use(run->command, words->at[i], "one word too many");
            run->arguments[run->argument_count++] = words->at[i];
            continue;
        }
        rc = take_option(run, words, &i, given);
        if (rc != CLI_DONE)
            return rc;
    }
    if (run->argument_count < CLI_ARGUMENTS_MAX &&
        run->command->arguments[run->argument_count].name != NULL &&
        run->command->arguments[run->argument_count].help[0] != '[')
        return no_such_use(run->command, run->command->arguments[run->argument_count].help,
                           "it is missing");
    return CLI_DONE;
}

/* ---- the request ---- */

/* The value of another option of the same command, or NULL. */
static const char *
value_given(const struct run *run, const struct cli_given *given, const char *name)
{
    for (unsigned o = 0; run->command->options[o].flag != NULL; o++)
        if (strcmp(run->command->options[o].name, name) == 0 && given[o].count > 0)
            return given[o].at[0];
    return NULL;
}

static enum cli_exit
write_option(struct jw *jw, const struct cli_option *option, const struct cli_given *given)
{
    bool empty = false;
    uint64_t n;

    jw_key(jw, option->name);
    switch (option->kind) {
    case CLI_FLAG: jw_bool(jw, true); break;
    case CLI_TEXT: jw_cstr(jw, given->at[0]); break;
    case CLI_COUNT:
        if (!str_to_count(str_from(given->at[0]), UINT32_MAX, &n)) {
            jw_null(jw);
            return complain(CLI_USAGE, option->flag, "it takes a whole number", NULL);
        }
        jw_u64(jw, n);
        break;
    case CLI_LIST:
        jw_array(jw);
        for (unsigned i = 0; i < given->count; i++) {
            struct str rest = str_from(given->at[i]);

            while (rest.ptr != NULL) {
                struct str part = str_trim(str_split(rest, ',', &rest));

                empty = empty || part.len == 0;
                jw_str(jw, part);
            }
        }
        jw_array_end(jw);
        if (empty)
            return complain(CLI_USAGE, option->flag, "it takes names, and one of them is empty",
                            "leave the option out where everything is allowed");
        break;
    case CLI_CONTENT: return content_write(given->at[0], jw);
    case CLI_REQUEST: jw_bool(jw, true); break;
    }
    return CLI_DONE;
}

static enum cli_exit
write_request(struct run *run, const struct cli_given *given)
{
    enum cli_exit rc = CLI_DONE;
    struct jw jw;

    jw_init(&jw, &run->request);
    jw_object(&jw);
    jw_key_cstr(&jw, "cmd", run->command->cmd);
    jw_key(&jw, "args");
    jw_object(&jw);
    for (unsigned i = 0; i < run->argument_count; i++)
        jw_key_cstr(&jw, run->command->arguments[i].name, run->arguments[i]);
    for (unsigned o = 0; run->command->options != NULL && run->command->options[o].flag; o++)
        if (given[o].count > 0 && rc == CLI_DONE) {
            rc = write_option(&jw, &run->command->options[o], &given[o]);
            if (rc == CLI_DONE && run->command->options[o].kind == CLI_REQUEST)
                rc = route_request(given[o].at[0], value_given(run, given, "protocol"), &jw);
        }
    jw_object_end(&jw);
    jw_object_end(&jw);
    if (run->request.failed)
        return complain(CLI_USAGE, run->command->noun, "that is too much text", NULL);
    return rc;
}

/* ---- the answer ---- */

static enum cli_exit
show_answer(const struct run *run, struct str answer)
{
    struct js_value result;
    enum cli_exit rc;
    char what[64];

    snprintf(what, sizeof(what), "%s%s%s", run->command->noun,
             run->command->verb != NULL ? " " : "",
             run->command->verb != NULL ? run->command->verb : "");
    rc = ask_result(what, answer, &result);
    if (rc != CLI_DONE)
        return rc;
    if (run->json) {
        fwrite(result.raw.ptr, 1, result.raw.len, stdout);
        putchar('\n');
    } else {
        if (run->command->pages)
            pager_begin();
        run->command->show(result);
        pager_end();
    }
    if (fflush(stdout) != 0)
        return complain(CLI_FAILED, run->command->noun, "the answer cannot be written", NULL);
    if (run->command->judge != NULL)
        return run->command->judge(result, run->json);
    return CLI_DONE;
}

static enum cli_exit
ask(const struct run *run)
{
    const struct ask_of of = {
        .state_dir = run->state_dir,
        .noun = run->command->noun,
        .needs_server = run->command->needs_server,
        .patient = run->command->patient,
        /* The first tenant may be added before the first start. */
        .makes_dir = strcmp(run->command->cmd, "tenant.add") == 0,
    };
    struct buf answer;
    enum cli_exit status = ask_ledger(&of, buf_str(&run->request), &answer);

    if (status == CLI_DONE)
        status = show_answer(run, buf_str(&answer));
    ask_forget(&answer);
    return status;
}

/* ---- entry ---- */

/* What carries itself out. */
static enum cli_exit
run_local(const struct run *run, const struct cli_given *given)
{
    const struct cli_local local = {
        .command = run->command,
        .state_dir = run->state_dir,
        .json = run->json,
        .arguments = run->arguments,
        .given = given,
    };

    enum cli_exit status;

    if (run->command->pages && !run->json)
        pager_begin();
    status = run->command->run(&local);
    pager_end();
    return status;
}

static enum cli_exit
run_command(struct run *run, const struct words *words)
{
    struct cli_given given[CLI_OPTIONS_MAX] = {0};
    int from = run->command->verb != NULL ? 2 : 1;
    enum cli_exit rc = take_words(run, words, from, given);

    if (rc != CLI_DONE)
        return rc;
    if (run->command->run != NULL)
        return run_local(run, given);
    if (run->command->cmd == NULL)
        return complain(CLI_USAGE, run->command->noun, "that is too many words", NULL);
    rc = write_request(run, given);
    return rc == CLI_DONE ? ask(run) : rc;
}

static enum cli_exit
dispatch(struct run *run, const struct words *words, bool want_version)
{
    const char *noun = words->count > 0 ? words->at[0] : NULL;
    const char *verb = words->count > 1 ? words->at[1] : NULL;
    const struct cli_group *group;

    if (want_version)
        return version(run->json);
    if (noun == NULL && run->help)
        return help_all(stdout, NULL);
    if (noun == NULL) {
        help_all(stderr, NULL);
        return CLI_USAGE;
    }
    run->command = find_command(noun, verb, &group);
    if (run->help && run->command == NULL && cli_knows(noun))
        return help_all(stdout, noun);
    if (run->command == NULL)
        return no_such(noun, verb);
    if (run->help) {
        struct buf out;

        buf_init(&out, 65536);
        help_command(&out, run->command, group->page);
        fwrite(out.ptr, 1, out.len, stdout);
        buf_free(&out);
        return CLI_DONE;
    }
    return run_command(run, words);
}

/* "help key add" is "key add --help". */
static void
take_help(struct run *run, struct words *words)
{
    if (words->count == 0 || strcmp(words->at[0], "help") != 0)
        return;
    run->help = true;
    words->count--;
    memmove(words->at, words->at + 1, (size_t)words->count * sizeof(words->at[0]));
}

int
cli_main(int argc, char **argv)
{
    struct log_setup log = {.process = "turnpike", .level_max = LOG_LEVEL_WARN};
    const char *state = getenv("TURNPIKE_STATE");
    struct run run = {.state_dir = state != NULL && state[0] != '\0' ? state : STATE_DEFAULT};
    struct words words = {.at = NULL};
    bool want_version = false;
    enum cli_exit rc;

    /* Its words are another command's: nothing of them is ours. */
    if (argc > 1 && strcmp(argv[1], "complete") == 0)
        return complete_main(argc - 2, argv + 2);
    words.at = calloc((size_t)argc + 1, sizeof(char *));
    if (words.at == NULL)
        return CLI_FAILED;
    log_setup(&log);
    term_init();
    (void)signal(SIGPIPE, SIG_IGN);
    buf_init(&run.request, REQUEST_BYTES_MAX);
    rc = take_globals(&run, argc, argv, &words, &want_version);
    take_help(&run, &words);
    if (rc == CLI_DONE)
        rc = dispatch(&run, &words, want_version);
    buf_free(&run.request);
    free(words.at);
    return (int)rc;
}

#include "cli/init.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/help.h"

#define TRIES 5

typedef const char *(*answer_fn)(void *to, struct str answer, const char **hint);

/* One line of the terminal, without blanks around it; the default for an empty one. False: no more come. */
static bool
read_line(const char *question, const char *def, char *out, size_t cap)
{
    struct str got;
    size_t len;

    fprintf(stderr, def[0] != '\0' ? "%s [%s]: " : "%s: ", question, def);
    fflush(stderr);
    if (fgets(out, (int)cap, stdin) == NULL) {
        fputc('\n', stderr);
        return false;
    }
    len = strlen(out);
    /* A line longer than any answer: its rest is no answer to the next question. */
    if (len + 1 == cap && out[len - 1] != '\n')
        for (int c = getchar(); c != '\n' && c != EOF; c = getchar())
            ;
    got = str_trim(str_split(str_from(out), '\n', &(struct str){NULL, 0}));
    if (got.len == 0)
        got = str_from(def);
    memmove(out, got.ptr, got.len);
    out[got.len] = '\0';
    return true;
}

static enum cli_exit
question(const char *text, const char *def, answer_fn take, void *to)
{
    char line[INIT_TEXT_MAX];

    for (int tries = 0; tries < TRIES; tries++) {
        const char *hint = NULL, *why;

        if (!read_line(text, def, line, sizeof(line)))
            return complain(CLI_FAILED, "init", "the answers ended", "nothing was written");
        why = take(to, str_from(line), &hint);
        explicit_bzero(line, sizeof(line)); /* who pastes a key where its name belongs */
        if (why == NULL)
            return CLI_DONE;
        fprintf(stderr, hint != NULL ? "  %s; %s\n" : "  %s\n", why, hint);
    }
    return complain(CLI_USAGE, "init", "no answer that will do", "nothing was written");
}

/* ---- the answers ---- */

static const char *
take_makers(void *to, struct str answer, const char **hint)
{
    struct init_plan *plan = to;
    const char *why = NULL;

    plan->source_count = 0;
    while (answer.ptr != NULL && why == NULL) {
        size_t end = 0;
        struct str name;

        while (end < answer.len && answer.ptr[end] != ' ' && answer.ptr[end] != ',')
            end++;
        name = (struct str){answer.ptr, end};
        answer = end < answer.len ? (struct str){answer.ptr + end + 1, answer.len - end - 1} : STR_NONE;
        if (name.len > 0)
            why = init_add_maker(plan, name, hint);
    }
    if (why == NULL && plan->source_count == 0) {
        *hint = init_maker_names();
        why = "at least one of them";
    }
    return why;
}

static const char *
take_key(void *to, struct str answer, const char **hint)
{
    return str_contains(answer, STR("/")) ? init_set_file(to, answer, hint)
                                          : init_set_env(to, answer, hint);
}

static const char *
take_listen(void *to, struct str answer, const char **hint)
{
    return init_set_listen(to, answer, hint);
}

static const char *
take_tenant(void *to, struct str answer, const char **hint)
{
    return init_set_tenant(to, answer, hint);
}

static const char *
take_credit(void *to, struct str answer, const char **hint)
{
    return init_set_credit(to, answer, hint);
}

static const char *
take_state(void *to, struct str answer, const char **hint)
{
    struct init_plan *plan = to;

    (void)hint;
    if (answer.len == 0 || answer.len >= sizeof(plan->state_dir))
        return "this is no path";
    str_copy(answer, plan->state_dir, sizeof(plan->state_dir));
    return NULL;
}

/* ---- the questions ---- */

/* Those whose keys are in the environment already. */
static void
makers_at_hand(char *out, size_t cap)
{
    size_t len = 0;

    out[0] = '\0';
    for (const struct init_maker *maker = init_makers; maker->name != NULL; maker++) {
        if (maker->key_env == NULL || getenv(maker->key_env) == NULL)
            continue;
        len += str_copy(len > 0 ? STR(" ") : STR(""), out + len, cap - len);
        len += str_copy(str_from(maker->name), out + len, cap - len);
    }
}

static enum cli_exit
ask_makers(struct init_plan *plan)
{
    char def[256];

    makers_at_hand(def, sizeof(def));
    fprintf(stderr,
            "This writes %s, and makes a first tenant and its key. Ctrl-C leaves all as it is.\n\n"
            "Providers: %s\n",
            plan->conf_path, init_maker_names());
    return question("Which of them", def, take_makers, plan);
}

static enum cli_exit
ask_key(struct init_source *source)
{
    char text[128];

    snprintf(text, sizeof(text), "%s: the variable that holds its key, or the path of a file",
             source->maker->title);
    return question(text, source->maker->key_env, take_key, source);
}

enum cli_exit
init_ask(struct init_plan *plan, bool ask_state)
{
    enum cli_exit rc = plan->source_count > 0 ? CLI_DONE : ask_makers(plan);

    for (unsigned i = 0; i < plan->source_count && rc == CLI_DONE; i++) {
        struct init_source *source = &plan->source[i];

        if (source->maker->key_env != NULL && source->key_env[0] == '\0' &&
            source->key_file[0] == '\0')
            rc = ask_key(source);
    }
    if (rc == CLI_DONE && ask_state)
        rc = question("Folder for balances, keys and records", plan->state_dir, take_state, plan);
    if (rc == CLI_DONE && plan->listen[0] == '\0')
        rc = question("Listen on", "127.0.0.1:8080", take_listen, plan);
    if (rc == CLI_DONE && plan->tenant[0] == '\0') {
        rc = question("First tenant", "me", take_tenant, plan);
        if (rc == CLI_DONE && plan->credit[0] == '\0')
            rc = question("Its credit, in US dollars of list price", "10", take_credit, plan);
    }
    return rc;
}

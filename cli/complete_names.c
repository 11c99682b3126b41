#include "cli/complete_names.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/js.h"
#include "base/jw.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/print.h"

#define ASK_MS 1000u /* somebody waits for it with a finger on the key */
#define ANSWER_BYTES_MAX (4u << 20)

void
complete_say(const char *prefix, const char *begun, const char *word, const char *note)
{
    if (strncmp(word, begun, strlen(begun)) != 0)
        return;
    printf("%s%s", prefix, word);
    if (note != NULL && note[0] != '\0')
        printf("\t%s", note);
    putchar('\n');
}

/* ---- words that are always the same ---- */

static const struct {
    const char *of, *words;
} fixed[] = {
    {"ROLE", "owner|admin|billing|developer|viewer"},
    {"PROTOCOL", "openai|responses|anthropic|gemini"},
    {"OUTCOME", "ok|no-usage|client-gone|cut|upstream-error|hold-ended|cancelled|unknown"},
    {"SPAN", "24h|7d|30d|90d"},
    {"TIME", "1h|24h|7d|30d"},
};

static void
say_words(const struct complete_place *place, const char *words)
{
    struct str rest = str_from(words);

    while (rest.ptr != NULL) {
        char word[64];

        str_copy(str_split(rest, '|', &rest), word, sizeof(word));
        complete_say(place->prefix, place->begun, word, NULL);
    }
}

/* ---- names that the server knows ---- */

/* A list that the server is asked for, and where in its rows name and note are. */
struct list {
    const char *of;    /* how the help calls one */
    const char *cmd;
    const char *kind;  /* its argument "of"; NULL: none */
    bool of_tenant;    /* it wants the tenant */
    const char *member, *name, *note;
};

static const struct list lists[] = {
    {"TENANT", "names", "tenants", false, "names", "name", "note"},
    {"KEY", "names", "keys", false, "names", "name", "note"},
    {"MODEL", "names", "models", false, "names", "name", "note"},
    {"GLOB", "names", "models", false, "names", "name", "note"},
    {"CHANNEL", "names", "channels", false, "names", "name", "note"},
    {"PROJECT", "project.list", NULL, true, "projects", "name", "id"},
    {"EMAIL", "member.list", NULL, true, "members", "email", "role"},
    {"CALL", "call.list", NULL, false, "calls", "id", "model"},
};

static void
write_request(const struct complete_place *place, const struct list *list, struct buf *out)
{
    struct jw jw;

    jw_init(&jw, out);
    jw_object(&jw);
    jw_key_cstr(&jw, "cmd", list->cmd);
    jw_key(&jw, "args");
    jw_object(&jw);
    if (list->kind != NULL)
        jw_key_cstr(&jw, "of", list->kind);
    if (list->of_tenant)
        jw_key_cstr(&jw, "tenant", place->tenant);
    jw_object_end(&jw);
    jw_object_end(&jw);
}

static void
say_rows(const struct complete_place *place, const struct list *list, struct str answer)
{
    struct js_value value, key, row;
    struct js_error err;
    struct js_iter it;

    if (!js_check(answer, &value, &err))
        return;
    for (js_iter_init(&it, js_path(value, "result", list->member, NULL)); js_next(&it, &key, &row);) {
        char name[256], note[256];

        print_value(js_get(row, str_from(list->name)), name, sizeof(name));
        print_value(js_get(row, str_from(list->note)), note, sizeof(note));
        complete_say(place->prefix, place->begun, name, strcmp(note, "-") == 0 ? NULL : note);
    }
}

static void
say_list(const struct complete_place *place, const struct list *list)
{
    struct buf request, answer;
    int fd;

    if (list->of_tenant && place->tenant == NULL)
        return;
    fd = client_connect(place->state_dir);
    if (fd < 0)
        return;
    buf_init(&request, 4096);
    buf_init(&answer, ANSWER_BYTES_MAX);
    write_request(place, list, &request);
    if (!request.failed && client_ask(fd, buf_str(&request), &answer, ASK_MS) == 0)
        say_rows(place, list, buf_str(&answer));
    close(fd);
    buf_free(&request);
    buf_free(&answer);
}

/* ---- places ---- */

/* Of a list as "C[,C…]" only what stands behind the last comma. */
static void
say_behind_comma(const struct complete_place *place, const char *of)
{
    const char *comma = strrchr(place->begun, ',');
    struct complete_place last = *place;
    char prefix[512];

    last.of = of;
    if (comma != NULL) {
        snprintf(prefix, sizeof(prefix), "%s%.*s", place->prefix, (int)(comma + 1 - place->begun),
                 place->begun);
        last.prefix = prefix;
        last.begun = comma + 1;
    }
    complete_place(&last);
}

/* "ID" is many things: of a key, but of a call where those are looked at. */
static const char *
id_of(const struct complete_place *place)
{
    return strcmp(place->noun, "call") == 0 ? "CALL" : "KEY";
}

void
complete_place(const struct complete_place *place)
{
    const char *of = strcmp(place->of, "ID") == 0 ? id_of(place) : place->of;

    if (strcmp(of, "FILE") == 0 || strcmp(of, "DIR") == 0) {
        printf(strcmp(of, "FILE") == 0 ? ":files\n" : ":dirs\n");
        return;
    }
    if (strcmp(of, "C[,C…]") == 0) {
        say_behind_comma(place, "CHANNEL");
        return;
    }
    if (strchr(of, '|') != NULL && strchr(of, '[') == NULL) {
        say_words(place, of);
        return;
    }
    for (size_t i = 0; i < COUNT_OF(fixed); i++)
        if (strcmp(of, fixed[i].of) == 0)
            say_words(place, fixed[i].words);
    for (size_t i = 0; i < COUNT_OF(lists); i++)
        if (strcmp(of, lists[i].of) == 0)
            say_list(place, &lists[i]);
}

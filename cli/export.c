#include "cli/export.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/jw.h"
#include "base/str.h"
#include "base/ucr.h"
#include "cli/apart.h"
#include "cli/ask.h"
#include "cli/help.h"
#include "cli/local.h"
#include "cli/outfile.h"
#include "cli/progress.h"

#define PAGE_ROWS 1000
#define REQUEST_BYTES_MAX 65000
#define LINES_BYTES_MAX (64u << 20)

static const char *const format_name[] = {[EXPORT_CSV] = "csv", [EXPORT_JSONL] = "jsonl"};
_Static_assert(COUNT_OF(format_name) == EXPORT_FORMAT_COUNT, "each format has a name");

struct exporting {
    const struct export_set *set;
    struct ask_of of;
    struct outfile out;
    const struct cli_local *local;
    enum export_format format;
    /* From page to page. */
    char since[64], until[64], after[64]; /* as the first page said them; "": none, as given */
    uint64_t rows;
    int64_t charge_ucr;
    char dropped_until[64];
};

/* ---- a page ---- */

static void
write_arg(struct jw *jw, const char *name, const char *value)
{
    if (value != NULL && value[0] != '\0')
        jw_key_cstr(jw, name, value);
}

static void
write_request(const struct exporting *exporting, struct buf *out)
{
    const struct cli_local *local = exporting->local;
    bool first = exporting->after[0] == '\0';
    struct jw jw;

    jw_init(&jw, out);
    jw_object(&jw);
    jw_key_cstr(&jw, "cmd", exporting->set->cmd);
    jw_key(&jw, "args");
    jw_object(&jw);
    jw_key_bool(&jw, "oldest_first", true);
    jw_key_u64(&jw, "limit", PAGE_ROWS);
    for (const char *const *name = exporting->set->args; *name != NULL; name++)
        write_arg(&jw, *name, local_value(local, *name));
    write_arg(&jw, "since", first ? local_value(local, "since") : exporting->since);
    write_arg(&jw, "until", first ? local_value(local, "until") : exporting->until);
    write_arg(&jw, exporting->set->place, exporting->after);
    jw_object_end(&jw);
    jw_object_end(&jw);
}

static void
keep_text(struct js_value result, const char *name, char *out, size_t cap)
{
    struct js_value value = js_get(result, str_from(name));

    str_copy(js_is(value, JS_STRING) ? value.raw : STR_NONE, out, cap);
}

static enum cli_exit
write_all(const struct exporting *exporting, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(exporting->out.fd, bytes.ptr, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return complain(CLI_FAILED, exporting->out.path, strerror(errno),
                            errno == ENOSPC ? "make room there, or name another place" : NULL);
        bytes = (struct str){bytes.ptr + n, bytes.len - (size_t)n};
    }
    return CLI_DONE;
}

static enum cli_exit
write_rows(struct exporting *exporting, struct js_value result)
{
    struct js_value none, row;
    struct js_iter it;
    struct buf lines;
    int64_t charge_ucr;
    enum cli_exit status;

    buf_init(&lines, LINES_BYTES_MAX);
    if (exporting->after[0] == '\0')
        exporting->set->head(exporting->format, &lines);
    for (js_iter_init(&it, js_get(result, str_from(exporting->set->rows))); js_next(&it, &none, &row);) {
        exporting->set->row(exporting->format, row, &lines);
        exporting->rows++;
        if (exporting->set->charges && ucr_parse(js_get(row, STR("charge")).raw, &charge_ucr) &&
            !ucr_add(exporting->charge_ucr, charge_ucr, &exporting->charge_ucr))
            exporting->charge_ucr = INT64_MAX;
    }
    status = lines.failed ? complain(CLI_FAILED, exporting->set->noun, "out of memory", NULL)
                          : write_all(exporting, buf_str(&lines));
    buf_free(&lines);
    return status;
}

/* *more: there is another page. */
static enum cli_exit
export_page(struct exporting *exporting, struct ask_link *link, bool *more)
{
    struct js_value result;
    struct buf request, answer;
    enum cli_exit status;

    buf_init(&request, REQUEST_BYTES_MAX);
    write_request(exporting, &request);
    status = ask_link_ask(&exporting->of, link, buf_str(&request), -1, &answer);
    if (status == CLI_DONE)
        status = ask_result(exporting->set->noun, buf_str(&answer), &result);
    if (status == CLI_DONE)
        status = write_rows(exporting, result);
    if (status == CLI_DONE) {
        if (exporting->after[0] == '\0') {
            keep_text(result, "since", exporting->since, sizeof(exporting->since));
            keep_text(result, "until", exporting->until, sizeof(exporting->until));
        }
        keep_text(result, "dropped_until", exporting->dropped_until,
                  sizeof(exporting->dropped_until));
        keep_text(result, "next", exporting->after, sizeof(exporting->after));
    }
    *more = status == CLI_DONE && exporting->after[0] != '\0';
    ask_forget(&answer);
    buf_free(&request);
    return status;
}

/* ---- all of them ---- */

static void
look(void *arg, uint64_t *done_bytes, uint64_t *about_bytes)
{
    const struct exporting *exporting = arg;
    struct stat st;

    (void)about_bytes;
    if (!exporting->out.is_stream && fstat(exporting->out.fd, &st) == 0)
        *done_bytes = (uint64_t)st.st_size;
}

static void
say_summary(const struct exporting *exporting, struct apart_said *said)
{
    struct buf out;
    struct jw jw;

    buf_init(&out, APART_SAID_MAX);
    jw_init(&jw, &out);
    jw_object(&jw);
    jw_key_u64(&jw, "records", exporting->rows);
    if (exporting->set->charges)
        jw_key_ucr(&jw, "charge", exporting->charge_ucr);
    jw_key_cstr(&jw, "since", exporting->since[0] != '\0' ? exporting->since : NULL);
    jw_key_cstr(&jw, "until", exporting->until);
    jw_key_cstr(&jw, "dropped_until",
                exporting->dropped_until[0] != '\0' ? exporting->dropped_until : NULL);
    jw_object_end(&jw);
    apart_say(said, buf_str(&out));
    buf_free(&out);
}

static enum cli_exit
work(void *arg, struct apart_said *said)
{
    struct exporting *exporting = arg;
    struct progress progress = {.what = exporting->set->noun, .look = look, .arg = exporting};
    struct ask_link link;
    enum cli_exit status = ask_link_open(&exporting->of, &link);
    bool more = true;

    progress_start(&progress);
    while (status == CLI_DONE && more)
        status = export_page(exporting, &link, &more);
    progress_end(&progress);
    ask_link_close(&link);
    if (status == CLI_DONE)
        say_summary(exporting, said);
    return status;
}

/* ---- what is said of it ---- */

static enum cli_exit
finish(struct exporting *exporting, const struct apart *apart)
{
    struct str text = {apart->said->text, apart->said->len};
    struct js_value result;
    struct js_error err;
    char since[40], dropped[40], records[24], charge[40];
    bool stream = exporting->out.is_stream;
    enum cli_exit status = outfile_keep(&exporting->out);

    if (status != CLI_DONE || !js_check(text, &result, &err))
        return status;
    print_value(js_get(result, STR("since")), since, sizeof(since));
    print_value(js_get(result, STR("dropped_until")), dropped, sizeof(dropped));
    if (js_is(js_get(result, STR("dropped_until")), JS_STRING) && strcmp(since, dropped) <= 0)
        fprintf(stderr, "turnpike: export: records up to %s were dropped, and are not in it\n",
                dropped);
    if (stream)
        return CLI_DONE;
    if (exporting->local->json) {
        printf("%.*s\n", STR_ARGS(text));
        return CLI_DONE;
    }
    print_value(js_get(result, STR("records")), records, sizeof(records));
    print_value(js_get(result, STR("charge")), charge, sizeof(charge));
    printf("%s %s", records,
           strcmp(records, "1") == 0 ? exporting->set->one : exporting->set->many);
    if (exporting->set->charges)
        printf(", %s credits", charge);
    printf(", in %s\n", exporting->out.path);
    return CLI_DONE;
}

static enum cli_exit
read_options(struct exporting *exporting)
{
    const char *format = local_value(exporting->local, "format");
    const char *key = exporting->set->charges ? local_value(exporting->local, "key") : NULL;
    uint64_t number;

    if (exporting->set->since_must && local_value(exporting->local, "since") == NULL)
        return complain(CLI_USAGE, "--since", "it is missing",
                        "a date, a full time, or a span before now as 30d");
    if (key != NULL && !str_to_count(str_from(key), UINT32_MAX, &number))
        return complain(CLI_USAGE, "--key", "it takes a key's number", "turnpike key list shows all");
    if (format == NULL)
        return CLI_DONE;
    for (int i = 0; i < EXPORT_FORMAT_COUNT; i++)
        if (strcmp(format, format_name[i]) == 0) {
            exporting->format = (enum export_format)i;
            return CLI_DONE;
        }
    return complain(CLI_USAGE, "--format", "it is csv or jsonl", NULL);
}

enum cli_exit
export_set_run(const struct cli_local *local, const struct export_set *set)
{
    struct exporting exporting = {
        .set = set,
        .of = {.state_dir = local->state_dir, .noun = set->noun},
        .local = local,
    };
    struct apart apart = {.work = work, .arg = &exporting};
    const char *path = local_value(local, "output");
    enum cli_exit status = read_options(&exporting);

    if (status == CLI_DONE)
        status = outfile_open(&exporting.out, set->noun, path != NULL ? path : "-",
                              local_value(local, "force") != NULL);
    if (status != CLI_DONE)
        return status;
    status = apart_run(&apart, set->noun);
    if (status == CLI_DONE)
        status = finish(&exporting, &apart);
    else
        outfile_drop(&exporting.out);
    apart_end(&apart);
    return status;
}

enum cli_exit
export_run(const struct cli_local *local)
{
    static const char *const args[] = {"tenant", "key", "member", "project", "model", "channel", NULL};
    static const struct export_set calls = {
        .noun = "export", .cmd = "call.list", .rows = "calls", .place = "after", .args = args,
        .one = "record", .many = "records", .since_must = true, .charges = true,
        .head = export_head, .row = export_row,
    };

    return export_set_run(local, &calls);
}

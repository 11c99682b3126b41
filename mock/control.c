/* /sim/…: what tests ask of the upstream itself. Needs no key, is no call, is in no record. */
#include "mock/sim.h"

#include "base/jw.h"
#include "base/str.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void
control_send(struct conn *c, int status, const char *type, struct str body)
{
    struct buf out;

    buf_init(&out, SIZE_MAX);
    buf_add_fmt(&out, "HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %zu\r\n\r\n", status,
                status_text(status), type, body.len);
    buf_add_str(&out, body);
    conn_send(c, out.ptr, out.len);
    buf_free(&out);
}

static void
control_fail(struct conn *c, int status, const char *why)
{
    char body[256];

    snprintf(body, sizeof(body), "{\"error\":\"%s\"}\n", why);
    control_send(c, status, "application/json", str_from(body));
}

/* {"sim":{…},"next":N}: for the next N calls; without next for all, until the next order. */
static void
faults_order(struct conn *c, struct str text)
{
    struct js_value body;
    struct js_error err;
    struct faults f;
    uint64_t next = UINT64_MAX;
    char why[160];

    faults_clear(&f);
    if (!js_check(text, &body, &err) || !js_is(js_get(body, STR("sim")), JS_OBJECT)) {
        control_fail(c, 400, "want {'sim':{...},'next':N}");
        return;
    }
    if (!faults_read_object(&f, js_get(body, STR("sim")), why, sizeof(why))) {
        control_fail(c, 400, why);
        return;
    }
    struct js_value count = js_get(body, STR("next"));
    if (count.type != JS_NONE && !js_count(count, UINT32_MAX, &next)) {
        control_fail(c, 400, "next must be a count");
        return;
    }
    faults_default_set(&f, faults_any(&f) ? next : 0);
    control_send(c, 200, "application/json", STR("{\"ok\":true}\n"));
}

static void
stats_send(struct conn *c)
{
    const struct {
        const char *name;
        uint64_t n;
    } rows[] = {
        {"pid", (uint64_t)getpid()},
        {"open_connections", stats.open_connections},
        {"open_connections_max", stats.open_connections_max},
        {"connections", stats.connections},
        {"open_calls", stats.open_calls},
        {"open_calls_max", stats.open_calls_max},
        {"requests", stats.requests},
        {"completed", stats.completed},
        {"aborted", stats.aborted},
        {"refused", stats.refused},
        {"malformed", stats.malformed},
        {"tls_handshakes", stats.tls_handshakes},
        {"tls_resumed", stats.tls_resumed},
        {"tls_failed", stats.tls_failed},
    };
    struct buf out;
    struct jw jw;

    buf_init(&out, 4096);
    jw_init(&jw, &out);
    jw_object(&jw);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        jw_key_u64(&jw, rows[i].name, rows[i].n);
    jw_object_end(&jw);
    buf_add_char(&out, '\n');
    control_send(c, 200, "application/json", buf_str(&out));
    buf_free(&out);
}

static void
calls_send(struct conn *c, struct str query)
{
    uint64_t after = 0;
    struct buf out;

    if (str_starts_with(query, STR("after=")) &&
        !str_to_u64((struct str){query.ptr + 6, query.len - 6}, &after)) {
        control_fail(c, 400, "after must be a count");
        return;
    }
    buf_init(&out, SIZE_MAX);
    calls_print(&out, after);
    control_send(c, 200, "application/x-ndjson", buf_str(&out));
    buf_free(&out);
}

static void
last_send(struct conn *c, struct str part)
{
    struct buf out;

    buf_init(&out, SIZE_MAX);
    if (!str_eq(part, STR("/body")))
        buf_add_str(&out, last_head());
    if (!str_eq(part, STR("/head")))
        buf_add_str(&out, last_body());
    control_send(c, 200, "application/octet-stream", buf_str(&out));
    buf_free(&out);
}

void
control_request(struct conn *c, const struct request *req)
{
    struct str what = {req->path.ptr + 5, req->path.len - 5}; /* behind "/sim/" */

    if (!req->keep_alive)
        conn_close_soon(c, false);
    if (!req->is_get && str_eq(what, STR("faults"))) {
        faults_order(c, req->body);
    } else if (!req->is_get && str_eq(what, STR("reset"))) {
        struct faults none;

        faults_clear(&none);
        faults_default_set(&none, 0);
        faults_forget_times();
        calls_reset();
        files_forget();
        control_send(c, 200, "application/json", STR("{\"ok\":true}\n"));
    } else if (!req->is_get && str_eq(what, STR("batches"))) {
        if (files_batches(req->body))
            control_send(c, 200, "application/json", STR("{\"ok\":true}\n"));
        else
            control_fail(c, 400, "want {'hold':true} or {'hold':false}");
    } else if (req->is_get && str_eq(what, STR("calls"))) {
        calls_send(c, req->query);
    } else if (req->is_get && str_eq(what, STR("stats"))) {
        stats_send(c);
    } else if (req->is_get && str_starts_with(what, STR("last"))) {
        last_send(c, (struct str){what.ptr + 4, what.len - 4});
    } else {
        control_fail(c, 404, "no such control");
    }
}

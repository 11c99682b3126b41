/* Which requests are the manage process's, and how they are refused: in the shape of that API. */
#include "worker/front.h"

#include "base/held.h"
#include "base/jw.h"
#include "base/str.h"
#include "worker/callid.h"
#include "worker/client.h"
#include "worker/crowd.h"
#include "worker/front_in.h"

#define RETRY_AFTER_S 1u

/* ---- which requests ---- */

static bool
wants_a_page(const struct h1_head *head)
{
    return (head->method == H1_GET || head->method == H1_HEAD) &&
           str_contains(h1_head_get(head, H1_ACCEPT), STR("text/html"));
}

bool
front_takes(const struct h1_head *head, struct str path)
{
    return str_eq(path, STR("/")) || str_eq(path, STR("/api")) || str_starts_with(path, STR("/api/")) ||
           str_starts_with(path, STR("/assets/")) || wants_a_page(head);
}

/* ---- refusals ---- */

static struct str
write_problem(struct buf *body, unsigned status, const char *code, const char *detail, struct str id)
{
    struct jw jw;

    buf_init(body, 4096);
    jw_init(&jw, body);
    jw_object(&jw);
    jw_key_cstr(&jw, "type", "about:blank");
    jw_key_str(&jw, "title", h1_status_text(status));
    jw_key_u64(&jw, "status", status);
    jw_key_cstr(&jw, "code", code);
    jw_key_cstr(&jw, "detail", detail);
    jw_key_str(&jw, "request_id", id);
    jw_object_end(&jw);
    return buf_str(body);
}

void
front_send_problem(struct client *c, unsigned status, const char *code, const char *detail, struct str id)
{
    struct buf body;
    struct h1_out out;
    struct str text = write_problem(&body, status, code, detail, id);

    client_head(c, &out, status, id);
    h1_out_own(&out, "content-type: ", STR("application/problem+json"));
    h1_out_own(&out, "cache-control: ", STR("no-store"));
    if (status == 405)
        h1_out_own(&out, "allow: ", STR("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    if (status == 503)
        h1_out_own_u64(&out, "retry-after: ", RETRY_AFTER_S);
    (void)client_send_whole(c, &out, text);
    buf_free(&body);
}

void
front_refuse(struct client *c, unsigned status, const char *code, const char *detail)
{
    char id[CALL_ID_LEN + 1];
    uint8_t bytes[16];

    callid_make(c->worker, bytes, id);
    front_send_problem(c, status, code, detail, (struct str){id, CALL_ID_LEN});
}

void
front_refuse_bad(struct client *c)
{
    switch (c->req.error.status) {
    case 413:
        front_refuse(c, 413, "body_too_large", "The body may have 1 MiB at most.");
        return;
    case 503:
        front_refuse(c, 503, "overloaded", "There is too much to do at the moment; try again.");
        return;
    default:
        front_refuse(c, 400, "bad_request", c->req.error.reason);
        return;
    }
}

static bool
refuse_now(struct client *c, unsigned status, const char *code, const char *detail)
{
    c->answering = true;
    client_close_after(c);
    front_refuse(c, status, code, detail);
    return false;
}

bool
front_begins(struct client *c, uint64_t to_come)
{
    struct proto_error ignored;

    if (to_come > FRONT_BODY_BYTES_MAX)
        return refuse_now(c, 413, "body_too_large", "The body may have 1 MiB at most.");
    if (!crowd_takes_request(c, &ignored) || crowd_is_thick() || !held_fits_input(to_come, to_come))
        return refuse_now(c, 503, "overloaded", "There is too much to do at the moment; try again.");
    h1_req_bound_body(&c->req, FRONT_BODY_BYTES_MAX);
    c->fronted = true;
    return true;
}

/* Heads between a client and the manage process: by lists, so that what is not thought of does not pass. */
#include "worker/front_in.h"

#include "base/str.h"
#include "net/forwarded.h"

static const struct str request_names[] = {
    {"content-type", 12},   {"accept", 6},        {"accept-language", 15}, {"authorization", 13},
    {"cookie", 6},          {"origin", 6},        {"referer", 7},          {"sec-fetch-site", 14},
    {"x-csrf-token", 12},   {"idempotency-key", 15}, {"user-agent", 10},   {"if-none-match", 13},
    {"x-api-key", 9},
};

static const struct str answer_names[] = {
    {"content-type", 12},
    {"cache-control", 13},
    {"etag", 4},
    {"set-cookie", 10},
    {"location", 8},
    {"content-disposition", 19},
    {"content-language", 16},
    {"vary", 4},
    {"retry-after", 11},
    {"www-authenticate", 16},
    {"link", 4},
    {"last-modified", 13},
    {"allow", 5},
    {"clear-site-data", 15},
    {"ratelimit", 9},
    {"ratelimit-policy", 16},
    {"content-security-policy", 23},
    {"strict-transport-security", 25},
    {"x-content-type-options", 22},
    {"x-frame-options", 15},
    {"referrer-policy", 15},
    {"permissions-policy", 18},
    {"cross-origin-opener-policy", 26},
    {"cross-origin-embedder-policy", 28},
    {"cross-origin-resource-policy", 28},
};

/* The index in a list, or -1. */
static int
find(const struct str *names, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq_nocase(names[i], name))
            return (int)i;
    return -1;
}

/* The client's address: the connection's, or what trusted proxies say. */
static struct str
client_text(const struct client *c, char out[FORWARDED_TEXT])
{
    const struct conf_manage *manage = &c->worker->conf->manage;
    uint8_t ip[16];

    forwarded_client(&c->conn.peer, c->req.head, manage->proxies, manage->proxy_count, ip);
    return forwarded_text(ip, out);
}

/* The first of each name counts, as everywhere here: which of two is meant nobody has to guess. */
static void
copy_headers(struct h1_out *out, const struct h1_head *head)
{
    uint32_t seen = 0;

    _Static_assert(COUNT_OF(request_names) <= 32, "a bit each");
    for (size_t i = 0; i < head->header_count; i++) {
        int at = find(request_names, COUNT_OF(request_names), h1_head_name(head, i));

        if (at < 0 || (seen & 1u << at) != 0)
            continue;
        seen |= 1u << at;
        h1_out_copy(out, request_names[at], head, i);
    }
}

bool
front_write_request(struct client *c, struct str path, struct str id, struct h1_out *out)
{
    const struct h1_head *head = c->req.head;
    /* HEAD is asked as GET, whose body then is not sent on: one way to read an answer. */
    struct str method = head->method == H1_HEAD ? STR("GET") : h1_head_method_name(head);
    char peer[FORWARDED_TEXT];

    h1_out_init(out, c->worker->head_buf, HEAD_BYTES_MAX);
    h1_out_request(out, method, (struct h1_target){STR_NONE, path, h1_head_query(head)},
                   h1_head_get(head, H1_HOST));
    copy_headers(out, head);
    h1_out_own(out, "x-turnpike-peer: ", client_text(c, peer));
    h1_out_own_u64(out, "x-turnpike-tls: ", conn_is_tls(&c->conn));
    h1_out_own(out, "x-request-id: ", id);
    h1_out_length(out, c->req.body.len);
    return h1_out_end(out);
}

void
front_write_answer(struct h1_out *out, const struct h1_head *head)
{
    for (size_t i = 0; i < head->header_count; i++) {
        int at = find(answer_names, COUNT_OF(answer_names), h1_head_name(head, i));

        if (at >= 0)
            h1_out_copy(out, answer_names[at], head, i);
    }
}

bool
front_is_again(const struct h1_head *head)
{
    for (size_t i = 0; i < head->header_count; i++)
        if (str_eq_nocase(h1_head_name(head, i), STR("x-turnpike-again")))
            return true;
    return false;
}

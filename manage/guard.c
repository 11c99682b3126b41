/*
 * What keeps other sites from using a person's session: cookies that they do not get (SameSite), a look at where a
 * request comes from, and a token that only our own pages can read.
 */
#include "manage/api_in.h"

#include <string.h>

#include "base/hash.h"
#include "base/str.h"

/* __Host-: only over TLS, only this host, only the whole path: no other page of the domain can set one. */
#define COOKIE_TLS "__Host-turnpike"
#define COOKIE_PLAIN "turnpike"
#define TOKEN_LEN_MAX 256u

static bool
is_safe(struct str method)
{
    return str_eq(method, STR("GET")) || str_eq(method, STR("HEAD")) || str_eq(method, STR("OPTIONS"));
}

static const char *
cookie_name(const struct request *request)
{
    return request->tls ? COOKIE_TLS : COOKIE_PLAIN;
}

struct str
guard_cookie(const struct request *request)
{
    struct str rest = request->cookie, wanted = str_from(cookie_name(request));

    while (rest.ptr != NULL && rest.len > 0) {
        struct str value = STR_NONE, name = str_trim(str_split(str_split(rest, ';', &rest), '=', &value));

        if (!str_eq(name, wanted) || value.ptr == NULL)
            continue;
        value = str_trim(value);
        return value.len > 0 && value.len <= TOKEN_LEN_MAX ? value : STR_NONE;
    }
    return STR_NONE;
}

/* The host and port of "https://host:port/…". */
static struct str
host_of(struct str url)
{
    size_t at = 0;

    while (at + 2 < url.len && memcmp(url.ptr + at, "://", 3) != 0)
        at++;
    if (at + 2 >= url.len)
        return STR_NONE;
    url = (struct str){url.ptr + at + 3, url.len - at - 3};
    return (struct str){url.ptr, str_find(url, '/', 0)};
}

/* Where our pages are: where the operator says that people reach us, else where this request did. */
static struct str
own_host(const struct request *request)
{
    struct str url = request->manage->conf->manage.url;

    return url.ptr != NULL ? host_of(url) : request->host;
}

/* What the browser says of a request that changes something. Who is no browser says nothing. Only the host is
 * compared: behind who ends TLS before us we do not know the scheme. */
bool
guard_origin(struct op_call *call)
{
    const struct request *request = call->request;
    struct str from = request->origin.ptr != NULL ? request->origin : request->referer;
    bool own = true;

    if (is_safe(request->method) || request->authorization.ptr != NULL || request->api_key.ptr != NULL)
        return true;
    if (request->sec_fetch_site.ptr != NULL)
        own = str_eq(request->sec_fetch_site, STR("same-origin")) || str_eq(request->sec_fetch_site, STR("none"));
    if (own && from.ptr != NULL) {
        struct str host = host_of(from);

        own = host.len > 0 && str_eq_nocase(host, own_host(request));
    }
    if (!own)
        op_refuse(call, 403, "cross_origin", NULL);
    return own;
}

bool
guard_csrf(struct op_call *call)
{
    struct str given = call->request->csrf_token, wanted = call->caller.csrf;
    uint8_t a[HASH_LEN], b[HASH_LEN];

    if (call->caller.kind != CALLER_SESSION || is_safe(call->request->method) || (call->op->flags & OP_NO_CSRF) != 0)
        return true;
    if (given.len > 0 && wanted.len > 0) {
        hash_keyed(NULL, given.ptr, given.len, a);
        hash_keyed(NULL, wanted.ptr, wanted.len, b);
        if (hash_eq(a, b))
            return true;
    }
    op_refuse(call, 403, "csrf", NULL);
    return false;
}

/* ---- cookies ---- */

static void
set_cookie(struct op_call *call, struct str value, bool end, uint64_t max_age_s)
{
    struct op_cookie *cookie = &call->cookie;
    struct buf text;

    buf_init(&text, 1024);
    buf_add_str(&text, str_from(cookie_name(call->request)));
    buf_add_char(&text, '=');
    buf_add_str(&text, value);
    buf_add_fmt(&text, "; Path=/; HttpOnly; SameSite=Lax");
    if (call->request->tls)
        buf_add_fmt(&text, "; Secure");
    if (end || max_age_s > 0)
        buf_add_fmt(&text, "; Max-Age=%llu", (unsigned long long)max_age_s);
    cookie->text = arena_copy(&call->request->arena, buf_str(&text));
    explicit_bzero(text.ptr, text.ptr != NULL ? text.cap : 0);
    buf_free(&text);
}

void
op_set_session(struct op_call *call, struct str token, uint64_t max_age_s)
{
    ASSERT(token.len > 0 && token.len <= TOKEN_LEN_MAX);
    set_cookie(call, token, false, max_age_s);
}

void
op_clear_session(struct op_call *call)
{
    set_cookie(call, STR(""), true, 0);
}

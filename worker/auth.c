#include "worker/auth.h"

#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/str.h"
#include "net/forwarded.h"
#include "net/ws_shake.h"
#include "shm/account.h"
#include "shm/rate.h"

#define KEY_TEXT_MAX 256
/* Wrong keys from one address, a minute. Loopback is spared: there stands a proxy of many, which says nothing. */
#define AUTH_FAILURES_PER_MINUTE 600

static struct str
bearer(struct str value)
{
    struct str rest, scheme = str_split(value, ' ', &rest);

    /* Of another scheme there is no key in it, but there is something. */
    return str_eq_nocase(scheme, STR("bearer")) ? str_trim(rest) : value;
}

/* The one key that the request shows, wherever; empty for none. False when it shows two. */
static bool
presented_key(const struct h1_head *head, struct str *out)
{
    struct str authorization = h1_head_get(head, H1_AUTHORIZATION), query = h1_head_query(head);
    struct str shown[] = {
        authorization.ptr != NULL ? bearer(authorization) : STR_NONE,
        h1_head_get(head, H1_X_API_KEY),
        h1_head_get(head, H1_X_GOOG_API_KEY),
        query.ptr != NULL ? proto_query_get(query, STR("key")) : STR_NONE,
        /* A page in a browser can send no header of its own with a WebSocket. */
        h1_head_has(head, H1_UPGRADE) ? ws_offered_after(head, STR("openai-insecure-api-key."))
                                      : STR_NONE,
    };

    *out = STR_NONE;
    for (size_t i = 0; i < COUNT_OF(shown); i++) {
        if (shown[i].len == 0)
            continue;
        if (out->len > 0 && !str_eq(*out, shown[i]))
            return false;
        *out = shown[i];
    }
    return true;
}

/* Whom the request comes from, IPv4 mapped into IPv6: the connection's peer, or whom trusted proxies name. */
static void
client_address(const struct client *c, const struct h1_head *head, uint8_t ip[16])
{
    const struct conf_manage *manage = &c->worker->conf->manage;

    forwarded_client(&c->conn.peer, head, manage->proxies, manage->proxy_count, ip);
}

static const uint8_t mapped_ipv4[12] = {[10] = 0xff, [11] = 0xff};

static bool
is_loopback(const uint8_t ip[16])
{
    static const uint8_t one[16] = {[15] = 1};

    return memcmp(ip, mapped_ipv4, sizeof(mapped_ipv4)) == 0 ? ip[12] == 127 : memcmp(ip, one, 16) == 0;
}

static bool
too_many_failures(struct client *c, const struct h1_head *head, struct proto_error *error)
{
    uint8_t ip[16];
    uint64_t retry_ns, slot;

    client_address(c, head, ip);
    /* Of IPv6 a network of 64 bits counts as one. */
    slot = hash_u64(ip, memcmp(ip, mapped_ipv4, sizeof(mapped_ipv4)) == 0 ? 16 : 8) % AUTH_FAILURE_SLOTS;
    if (is_loopback(ip) ||
        rate_admit(&c->worker->auth_failure_tat[slot], rate_per_minute(AUTH_FAILURES_PER_MINUTE), 1,
                   worker_mono_us(c->worker) * 1000, &retry_ns))
        return false;
    error_set(error, ERROR_LIMIT_REQUESTS, NULL, NULL,
              "turnpike: too many wrong API keys from this address");
    error->retry_after_s = (uint32_t)(retry_ns / 1000000000u + 1);
    return true;
}

static bool
refuse_key(struct client *c, const struct h1_head *head, struct proto_error *error, const char *why)
{
    stat_add(c->worker->stats, STAT_UNAUTHORIZED, 1);
    if (!too_many_failures(c, head, error))
        error_set(error, ERROR_UNAUTHENTICATED, NULL, NULL, "turnpike: %s", why);
    return false;
}

static bool
refuse_use(struct client *c, struct proto_error *error, const char *why)
{
    stat_add(c->worker->stats, STAT_FORBIDDEN, 1);
    error_set(error, ERROR_FORBIDDEN, NULL, NULL, "turnpike: %s", why);
    return false;
}

/* In a time that does not tell how far they are alike. */
static bool
same_text(const char *a, const char *b, size_t len)
{
    unsigned char differ = 0;

    for (size_t i = 0; i < len; i++)
        differ |= (unsigned char)(a[i] ^ b[i]);
    return differ == 0;
}

/*
 * The slot of a key, or 0. A connection shows the same key again and again: it is hashed and looked
 * up once. A slot that was given to another key has another generation, a removed key's is not open.
 */
static uint32_t
find_key(struct client *c, struct str text)
{
    struct region *region = c->worker->region;
    uint8_t hash[HASH_LEN];
    uint32_t idx = c->key_idx;

    if (idx != 0 && text.len == c->key_len && same_text(text.ptr, c->key_text, text.len) &&
        atomic_load_explicit(&key_at(region, idx)->generation, memory_order_acquire) ==
            c->key_generation)
        return idx;
    hash_keyed(region->header->key_hash_key, text.ptr, text.len, hash);
    idx = key_find(region, hash);
    if (idx != 0 && text.len <= sizeof c->key_text) {
        c->key_idx = idx;
        c->key_generation =
            atomic_load_explicit(&key_at(region, idx)->generation, memory_order_acquire);
        c->key_len = (uint8_t)text.len;
        memcpy(c->key_text, text.ptr, text.len);
    }
    return idx;
}

bool
auth_may_call(struct client *c, const struct auth *auth, struct proto_error *error)
{
    uint32_t flags = atomic_load_explicit(&auth->key->flags, memory_order_relaxed);

    return (flags & KEY_NO_CALLS) == 0 ||
           refuse_use(c, error, "the API key is not for calls: its scopes have no inference");
}

bool
auth_check(struct client *c, const struct h1_head *head, struct auth *auth,
           struct proto_error *error)
{
    struct region *region = c->worker->region;
    struct str text;
    uint8_t address[16];
    int64_t expires_us;
    uint32_t flags;

    if (!presented_key(head, &text)) {
        stat_add(c->worker->stats, STAT_BAD_REQUESTS, 1);
        error_set(error, ERROR_BAD_REQUEST, NULL, NULL,
                  "turnpike: the request shows two different keys; send one");
        return false;
    }
    if (text.len == 0)
        return refuse_key(c, head, error, "no API key; send it as Authorization: Bearer sk-…");
    if (text.len > KEY_TEXT_MAX || !str_starts_with(text, STR("sk-")))
        return refuse_key(c, head, error, "this is no API key of this gateway");
    auth->key_idx = find_key(c, text);
    if (auth->key_idx == 0)
        return refuse_key(c, head, error, "the API key is not known");
    auth->key_idx = key_meant(region, auth->key_idx, worker_wall_us(c->worker));
    if (auth->key_idx == 0)
        return refuse_key(c, head, error, "the API key was replaced by another");
    auth->key = key_at(region, auth->key_idx);
    flags = atomic_load_explicit(&auth->key->flags, memory_order_acquire);
    if (!(flags & KEY_OPEN))
        return refuse_key(c, head, error, "the API key is not known");
    expires_us = atomic_load_explicit(&auth->key->expires_wall_us, memory_order_relaxed);
    if (expires_us != 0 && worker_wall_us(c->worker) >= expires_us)
        return refuse_key(c, head, error, "the API key has expired");
    auth->account = account_at(region, auth->key->account_idx);
    if (flags & KEY_DISABLED)
        return refuse_use(c, error, "the API key is disabled");
    if (atomic_load_explicit(&auth->account->flags, memory_order_relaxed) & ACCOUNT_DISABLED)
        return refuse_use(c, error, "the tenant of this API key is disabled");
    auth->extra = key_extra_at(
        region, atomic_load_explicit(&auth->key->extra_idx, memory_order_acquire));
    client_address(c, head, address);
    if (!key_address_allowed(auth->extra, address))
        return refuse_use(c, error, "the API key may not be used from this address");
    return true;
}

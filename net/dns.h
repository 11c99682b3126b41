/*
 * Names to addresses, by getaddrinfo() on the thread pool, cached: found names 60 s, missing
 * ones 5 s, one question at a time for a name however many wait for it. At most DNS_NAMES_MAX
 * names are kept; the longest unused go first. Does not judge addresses: see dial.h.
 */
#ifndef NET_DNS_H
#define NET_DNS_H

#include "base/base.h"
#include "base/list.h"
#include "net/net.h"

#define DNS_NAMES_MAX 1024u
#define DNS_ADDRS_MAX 8u
#define DNS_FOUND_MS 60000u
#define DNS_MISSING_MS 5000u

struct dns_answer {
    int err; /* 0, or a negative errno: -ENOENT no such name, -EAGAIN resolver trouble, … */
    const char *text; /* of err; a constant */
    unsigned count;
    struct net_addr addrs[DNS_ADDRS_MAX]; /* ports are 0; each question starts at another one */
};

struct dns_query;
typedef void (*dns_fn)(struct dns_query *query, const struct dns_answer *answer);

/* Embedded by who asks; zeroed before. */
struct dns_query {
    struct list node;
    dns_fn fn;
};

/* How a name is really asked: getaddrinfo unless a test puts its own in. Runs on the pool. */
typedef void (*dns_lookup_fn)(const char *name, struct dns_answer *answer);
void dns_set_lookup(struct net *net, dns_lookup_fn lookup);

/*
 * Asks for a name (lower or upper case alike, at most 253 bytes). When the cache knows, *answer
 * is filled and true returned; else false, and fn comes in a later turn, unless the query is
 * cancelled. Out of memory is an answer too.
 */
bool MUST_CHECK dns_ask(struct net *net, struct str name, struct dns_query *query, dns_fn fn,
                        struct dns_answer *answer);
/* fn will not come. Safe when it came already. */
void dns_cancel(struct dns_query *query);
/* Connecting to this address of the name failed: others are offered first for 10 s. */
void dns_address_failed(struct net *net, struct str name, const struct net_addr *addr);

#endif

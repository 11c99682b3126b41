/*
 * The name cache. An entry is looked up while `busy`; all who ask meanwhile wait on it. Answers
 * are kept when they expire: if the resolver then has trouble (not when it says that there is
 * no such name), the old addresses serve on for a while.
 *
 * Lookups go to the pool through uv_queue_work, at most four at a time, so that a dead name
 * server cannot take every thread from the handshakes.
 */
#include "net/dns.h"

#include "base/hash.h"
#include "base/str.h"
#include "net/dns_in.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BUCKETS 256u
#define NAME_MAX_LEN 253u
#define LOOKUPS_MAX 4u
#define STALE_MS (10u * 60u * 1000u) /* how long old addresses serve when the resolver fails */
#define FAILED_MS 10000u

struct dns_entry {
    struct list bucket;
    struct list lru;
    struct list waiting; /* struct dns_query */
    struct list queue;   /* dns->queue while it waits for a thread */
    struct dns_cache *dns;
    uv_work_t work;
    struct dns_answer found;  /* written by the pool while busy; the loop's otherwise */
    struct dns_answer answer; /* what the cache says */
    uint64_t expires_ms;      /* 0: never answered */
    uint64_t stale_ms;        /* answer may serve until then if the resolver fails */
    uint64_t failed_until_ms[DNS_ADDRS_MAX];
    unsigned turn; /* rotates the addresses */
    bool busy;
    dns_lookup_fn lookup;
    char name[NAME_MAX_LEN + 1]; /* lower case */
};

struct dns_cache {
    struct net *net;
    dns_lookup_fn lookup;
    unsigned busy;
    unsigned count;
    struct list queue; /* entries that wait for a thread */
    struct list lru;   /* most recently used first */
    struct list buckets[BUCKETS];
};

static void dns_start(struct dns_entry *entry);

/* ---- asking the system, on the pool ------------------------------------------------------- */

static void
lookup_failed(struct dns_answer *answer, int code)
{
    answer->count = 0;
    switch (code) {
    case EAI_NONAME:
#ifdef EAI_NODATA
    case EAI_NODATA:
#endif
        answer->err = -ENOENT;
        answer->text = "no such name";
        break;
    case EAI_MEMORY:
        answer->err = -ENOMEM;
        answer->text = "out of memory";
        break;
    case EAI_AGAIN:
        answer->err = -EAGAIN;
        answer->text = "the name server did not answer";
        break;
    default:
        answer->err = -EIO;
        answer->text = "the name cannot be resolved";
        break;
    }
}

static void
lookup_system(const char *name, struct dns_answer *answer)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int code = getaddrinfo(name, NULL, &hints, &list);

    if (code != 0) {
        lookup_failed(answer, code);
        return;
    }
    for (struct addrinfo *ai = list; ai != NULL && answer->count < DNS_ADDRS_MAX;
         ai = ai->ai_next) {
        struct net_addr *addr = &answer->addrs[answer->count];

        net_addr_from(addr, ai->ai_addr);
        if (addr->family != 0)
            answer->count++;
    }
    freeaddrinfo(list);
    if (answer->count == 0)
        lookup_failed(answer, EAI_NONAME);
}

static void
dns_on_pool(uv_work_t *work)
{
    struct dns_entry *entry = CONTAINER_OF(work, struct dns_entry, work);

    memset(&entry->found, 0, sizeof(entry->found));
    entry->lookup(entry->name, &entry->found);
}

/* ---- entries ------------------------------------------------------------------------------ */

static void
entry_free(struct dns_entry *entry)
{
    list_remove(&entry->bucket);
    list_remove(&entry->lru);
    entry->dns->count--;
    free(entry);
}

static bool
name_lower(struct str name, char *out)
{
    if (name.len == 0 || name.len > NAME_MAX_LEN)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (c == '\0')
            return false;
        out[i] = c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
    }
    out[name.len] = '\0';
    return true;
}

static struct list *
dns_bucket(struct dns_cache *dns, const char *name)
{
    return &dns->buckets[hash_u64(name, strlen(name)) % BUCKETS];
}

static struct dns_entry *
dns_find(struct dns_cache *dns, const char *name)
{
    struct list *head = dns_bucket(dns, name);

    for (struct list *node = head->next; node != head; node = node->next) {
        struct dns_entry *entry = CONTAINER_OF(node, struct dns_entry, bucket);

        if (strcmp(entry->name, name) == 0)
            return entry;
    }
    return NULL;
}

/* The longest unused that nobody waits for and no thread works on. */
static void
dns_evict(struct dns_cache *dns)
{
    for (struct list *node = dns->lru.prev; node != &dns->lru; node = node->prev) {
        struct dns_entry *entry = CONTAINER_OF(node, struct dns_entry, lru);

        if (!entry->busy && list_empty(&entry->waiting)) {
            entry_free(entry);
            return;
        }
    }
}

static struct dns_entry *
dns_add(struct dns_cache *dns, const char *name)
{
    struct dns_entry *entry;

    if (dns->count >= DNS_NAMES_MAX)
        dns_evict(dns);
    if (dns->count >= DNS_NAMES_MAX)
        return NULL;
    entry = calloc(1, sizeof(*entry));
    if (entry == NULL)
        return NULL;
    entry->dns = dns;
    list_init(&entry->bucket);
    list_init(&entry->lru);
    list_init(&entry->waiting);
    list_init(&entry->queue);
    memcpy(entry->name, name, strlen(name) + 1);
    list_push_front(dns_bucket(dns, name), &entry->bucket);
    list_push_front(&dns->lru, &entry->lru);
    dns->count++;
    return entry;
}

/*
 * The addresses for one question: those of the first one's family take turns at being first
 * (the system sorted the other family behind for a reason), and those that lately failed to
 * connect come last of all.
 */
static void
entry_answer(struct dns_entry *entry, struct dns_answer *out)
{
    const struct dns_answer *from = &entry->answer;
    uint64_t now_ms = net_now_ms(entry->dns->net);
    unsigned group = 0;

    *out = *from;
    if (from->count == 0)
        return;
    while (group < from->count && from->addrs[group].family == from->addrs[0].family)
        group++;
    out->count = 0;
    for (unsigned failed = 0; failed < 2; failed++) {
        for (unsigned i = 0; i < from->count; i++) {
            unsigned at = i < group ? (i + entry->turn) % group : i;

            if ((entry->failed_until_ms[at] > now_ms) == (failed == 1))
                out->addrs[out->count++] = from->addrs[at];
        }
    }
    entry->turn++;
}

/* ---- lookups ------------------------------------------------------------------------------ */

static void
entry_settle(struct dns_entry *entry)
{
    uint64_t now_ms = net_now_ms(entry->dns->net);
    const struct dns_answer *found = &entry->found;

    if (found->err == 0) {
        entry->answer = *found;
        entry->expires_ms = now_ms + DNS_FOUND_MS;
        entry->stale_ms = now_ms + STALE_MS;
        memset(entry->failed_until_ms, 0, sizeof(entry->failed_until_ms));
        return;
    }
    entry->expires_ms = now_ms + DNS_MISSING_MS;
    if (found->err == -ENOENT || entry->answer.count == 0 || entry->stale_ms <= now_ms)
        entry->answer = *found;
}

static void
entry_tell(struct dns_entry *entry)
{
    struct list waiting;

    /* Callbacks may ask again, even for this name, or cancel each other. */
    list_init(&waiting);
    while (!list_empty(&entry->waiting))
        list_move_back(&waiting, entry->waiting.next);
    while (!list_empty(&waiting)) {
        struct dns_query *query = LIST_FIRST(&waiting, struct dns_query, node);
        struct dns_answer answer;

        list_remove(&query->node);
        entry_answer(entry, &answer);
        query->fn(query, &answer);
    }
}

static void
dns_after_pool(uv_work_t *work, int status)
{
    struct dns_entry *entry = CONTAINER_OF(work, struct dns_entry, work);
    struct dns_cache *dns = entry->dns;

    (void)status;
    net_awake(dns->net);
    dns->busy--;
    if (!list_empty(&dns->queue)) {
        struct dns_entry *next = LIST_FIRST(&dns->queue, struct dns_entry, queue);

        list_remove(&next->queue);
        dns_start(next);
    }
    entry_settle(entry);
    /* Still busy while told, so that nothing a callback asks for can evict it. */
    entry_tell(entry);
    entry->busy = false;
}

static void
dns_start(struct dns_entry *entry)
{
    struct dns_cache *dns = entry->dns;

    dns->busy++;
    dns->net->counts.names_resolved++;
    entry->lookup = dns->lookup;
    (void)uv_queue_work(&dns->net->loop, &entry->work, dns_on_pool, dns_after_pool);
}

static void
dns_look_up(struct dns_entry *entry)
{
    entry->busy = true;
    if (entry->dns->busy < LOOKUPS_MAX)
        dns_start(entry);
    else
        list_push_back(&entry->dns->queue, &entry->queue);
}

bool
dns_ask(struct net *net, struct str name, struct dns_query *query, dns_fn fn,
        struct dns_answer *answer)
{
    struct dns_cache *dns = net->dns;
    struct dns_entry *entry;
    char lower[NAME_MAX_LEN + 1];

    memset(answer, 0, sizeof(*answer));
    if (!name_lower(name, lower)) {
        answer->err = -ENOENT;
        answer->text = "not a name";
        return true;
    }
    entry = dns_find(dns, lower);
    if (entry == NULL)
        entry = dns_add(dns, lower);
    if (entry == NULL) {
        answer->err = -ENOMEM;
        answer->text = "too many names at once";
        return true;
    }
    list_move_front(&dns->lru, &entry->lru);
    if (entry->expires_ms > net_now_ms(net)) {
        entry_answer(entry, answer);
        return true;
    }
    query->fn = fn;
    list_init(&query->node);
    list_push_back(&entry->waiting, &query->node);
    if (!entry->busy)
        dns_look_up(entry);
    return false;
}

void
dns_cancel(struct dns_query *query)
{
    if (query->node.next != NULL)
        list_remove(&query->node);
}

void
dns_address_failed(struct net *net, struct str name, const struct net_addr *addr)
{
    struct dns_entry *entry;
    char lower[NAME_MAX_LEN + 1];

    if (!name_lower(name, lower))
        return;
    entry = dns_find(net->dns, lower);
    if (entry == NULL)
        return;
    for (unsigned i = 0; i < entry->answer.count; i++) {
        const struct net_addr *known = &entry->answer.addrs[i];

        if (known->family == addr->family && memcmp(known->ip, addr->ip, sizeof(addr->ip)) == 0)
            entry->failed_until_ms[i] = net_now_ms(net) + FAILED_MS;
    }
}

void
dns_set_lookup(struct net *net, dns_lookup_fn lookup)
{
    net->dns->lookup = lookup;
}

/* ---- life --------------------------------------------------------------------------------- */

struct dns_cache *
dns_new(struct net *net)
{
    struct dns_cache *dns = calloc(1, sizeof(*dns));

    if (dns == NULL)
        return NULL;
    dns->net = net;
    dns->lookup = lookup_system;
    list_init(&dns->queue);
    list_init(&dns->lru);
    for (unsigned i = 0; i < BUCKETS; i++)
        list_init(&dns->buckets[i]);
    return dns;
}

void
dns_free(struct dns_cache *dns)
{
    if (dns == NULL)
        return;
    while (!list_empty(&dns->lru))
        entry_free(LIST_FIRST(&dns->lru, struct dns_entry, lru));
    free(dns);
}

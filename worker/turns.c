/*
 * A tenant stands in the rotation while it has somebody waiting, by the number of the turn that it
 * had last. When it has nobody any more it is remembered for a while, so that one that comes back
 * every other moment does not begin anew each time, neither first nor last.
 */
#include "worker/turns.h"

#include <errno.h>
#include <stdlib.h>

struct turns_tenant {
    struct list node;        /* rotation or idle */
    struct list bucket_node; /* unlinked: has no name yet */
    struct list waiting;     /* turns_node.node, the first first */
    uint64_t turn;           /* that it had last; 0: none that is remembered */
    uint32_t id;
    uint32_t count;
};

static struct turns_tenant *
tenant_of(struct list *node)
{
    return CONTAINER_OF(node, struct turns_tenant, node);
}

int
turns_init(struct turns *turns, uint32_t max)
{
    uint32_t tenant_count = MAX(2 * max, 1u), bucket_count = 1;

    while (bucket_count < tenant_count)
        bucket_count *= 2;
    *turns = (struct turns){.max = max, .bucket_mask = bucket_count - 1};
    list_init(&turns->rotation);
    list_init(&turns->idle);
    turns->tenants = calloc(tenant_count, sizeof(*turns->tenants));
    turns->buckets = calloc(bucket_count, sizeof(*turns->buckets));
    if (turns->tenants == NULL || turns->buckets == NULL) {
        turns_free(turns);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < bucket_count; i++)
        list_init(&turns->buckets[i]);
    for (uint32_t i = 0; i < tenant_count; i++) {
        struct turns_tenant *tenant = &turns->tenants[i];

        list_init(&tenant->node);
        list_init(&tenant->bucket_node);
        list_init(&tenant->waiting);
        list_push_back(&turns->idle, &tenant->node);
    }
    return 0;
}

void
turns_free(struct turns *turns)
{
    ASSERT(turns->count == 0);
    free(turns->tenants);
    free(turns->buckets);
    turns->tenants = NULL;
    turns->buckets = NULL;
}

static struct list *
bucket_of(const struct turns *turns, uint32_t tenant_id)
{
    return &turns->buckets[(tenant_id * 2654435761u >> 7) & turns->bucket_mask];
}

/* The tenant of that id; one that is long gone gives its place when it is new. */
static struct turns_tenant *
tenant_find(struct turns *turns, uint32_t tenant_id)
{
    struct list *bucket = bucket_of(turns, tenant_id);
    struct turns_tenant *tenant;

    for (struct list *at = bucket->next; at != bucket; at = at->next) {
        tenant = CONTAINER_OF(at, struct turns_tenant, bucket_node);
        if (tenant->id == tenant_id)
            return tenant;
    }
    /* At most max wait, so at least as many are idle. */
    ASSERT(!list_empty(&turns->idle));
    tenant = tenant_of(turns->idle.next);
    list_remove(&tenant->bucket_node);
    tenant->id = tenant_id;
    tenant->turn = 0;
    list_push_back(bucket, &tenant->bucket_node);
    return tenant;
}

/* Behind all whose last turn was no later. */
static void
into_rotation(struct turns *turns, struct turns_tenant *tenant)
{
    struct list *at = turns->rotation.prev;

    while (at != &turns->rotation && tenant_of(at)->turn > tenant->turn)
        at = at->prev;
    list_remove(&tenant->node);
    list_insert_after(at, &tenant->node);
}

static void
take_out(struct turns *turns, struct turns_node *node)
{
    struct turns_tenant *tenant = node->tenant;

    list_remove(&node->node);
    node->tenant = NULL;
    turns->count--;
    if (--tenant->count == 0)
        list_move_back(&turns->idle, &tenant->node);
}

/* The last to come of the tenant with most waiting, if that has more than `count`. */
static struct turns_node *
last_of_most(const struct turns *turns, uint32_t count)
{
    struct turns_tenant *most = NULL;

    for (struct list *at = turns->rotation.next; at != &turns->rotation; at = at->next)
        if (tenant_of(at)->count > count) {
            most = tenant_of(at);
            count = most->count;
        }
    return most != NULL ? LIST_LAST(&most->waiting, struct turns_node, node) : NULL;
}

bool
turns_add(struct turns *turns, struct turns_node *node, uint32_t tenant_id,
          struct turns_node **gave_way)
{
    struct turns_tenant *tenant;

    ASSERT(!turns_waits(node));
    *gave_way = NULL;
    if (turns->max == 0)
        return false;
    tenant = tenant_find(turns, tenant_id);
    if (turns->count == turns->max) {
        /* With one more it must still have no more than the other with one less. */
        *gave_way = last_of_most(turns, tenant->count + 1);
        if (*gave_way == NULL)
            return false;
        take_out(turns, *gave_way);
    }
    if (tenant->count++ == 0)
        into_rotation(turns, tenant);
    node->tenant = tenant;
    list_init(&node->node);
    list_push_back(&tenant->waiting, &node->node);
    turns->count++;
    return true;
}

void
turns_remove(struct turns *turns, struct turns_node *node)
{
    if (turns_waits(node))
        take_out(turns, node);
}

struct turns_node *
turns_next(struct turns *turns, bool (*may_go)(struct turns_node *, void *arg), void *arg)
{
    for (struct list *at = turns->rotation.next; at != &turns->rotation; at = at->next) {
        struct turns_tenant *tenant = tenant_of(at);

        for (struct list *w = tenant->waiting.next; w != &tenant->waiting; w = w->next) {
            struct turns_node *node = CONTAINER_OF(w, struct turns_node, node);

            if (!may_go(node, arg))
                continue;
            tenant->turn = ++turns->turn;
            take_out(turns, node);
            if (tenant->count > 0)
                list_move_back(&turns->rotation, &tenant->node);
            return node;
        }
    }
    return NULL;
}

struct turns_node *
turns_first(const struct turns *turns)
{
    if (turns->count == 0)
        return NULL;
    return LIST_FIRST(&tenant_of(turns->rotation.next)->waiting, struct turns_node, node);
}

uint32_t
turns_beside(const struct turns_node *node)
{
    return node->tenant != NULL ? node->tenant->count : 0;
}

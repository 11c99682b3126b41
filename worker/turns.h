/*
 * Who waits, and whose turn it is: the tenant that was served longest ago has the next one, whatever
 * it has waiting; of one tenant, who came first. So a tenant with many calls delays one with few by
 * a turn at most.
 *
 * Holds a bounded number. When it is full, somebody of the tenant with most waiting gives way to one
 * of a tenant with fewer: many calls of one tenant do not keep another's out.
 *
 * No clock, no sockets, no calls: nodes of others, in order. All memory is taken by turns_init().
 */
#ifndef WORKER_TURNS_H
#define WORKER_TURNS_H

#include "base/base.h"
#include "base/list.h"

struct turns_tenant;

/* Embedded by who waits; zeroed memory waits for nothing. */
struct turns_node {
    struct list node;
    struct turns_tenant *tenant; /* NULL: does not wait */
};

struct turns {
    struct list rotation;         /* tenants that wait, in the order of their turns */
    struct list idle;             /* tenants that do not, longest since first; and unused ones */
    struct turns_tenant *tenants; /* twice as many as can wait, so that some are remembered */
    struct list *buckets;         /* of those with a name, by a hash of it */
    uint32_t bucket_mask;
    uint32_t count, max;
    uint64_t turn; /* the last that was given */
};

/* max may be 0. 0 or -ENOMEM. */
int turns_init(struct turns *turns, uint32_t max) MUST_CHECK;
/* Nobody may wait any more. */
void turns_free(struct turns *turns);

/*
 * False when there is no room and nobody has to give way. Else *gave_way is who had to, and waits no
 * more, or NULL.
 */
bool turns_add(struct turns *turns, struct turns_node *node, uint32_t tenant_id,
               struct turns_node **gave_way) MUST_CHECK;
/* Waits no more, without having had a turn. Safe when it does not wait. */
void turns_remove(struct turns *turns, struct turns_node *node);

/*
 * The first in order for whom may_go() says yes: takes it out, and its tenant has had its turn. NULL
 * when there is none. may_go() must change nothing here; it is asked of each until it says yes once.
 */
struct turns_node *turns_next(struct turns *turns, bool (*may_go)(struct turns_node *, void *arg),
                              void *arg) MUST_CHECK;
/* How many of its tenant wait, itself included; 0 when it does not wait. */
uint32_t turns_beside(const struct turns_node *node);
/* Anybody, or NULL. */
struct turns_node *turns_first(const struct turns *turns);

static inline bool
turns_waits(const struct turns_node *node)
{
    return node->tenant != NULL;
}

#endif

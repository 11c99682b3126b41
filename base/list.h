/*
 * Intrusive doubly linked list with a sentinel. A node is on one list at most; an unlinked
 * node points at itself.
 */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include "base/base.h"

struct list {
    struct list *prev, *next;
};

static inline void
list_init(struct list *l)
{
    l->prev = l->next = l;
}

static inline bool
list_empty(const struct list *l)
{
    return l->next == l;
}

static inline void
list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

static inline void
list_insert_after(struct list *at, struct list *node)
{
    ASSERT(list_empty(node));
    node->prev = at;
    node->next = at->next;
    at->next->prev = node;
    at->next = node;
}

static inline void
list_push_front(struct list *head, struct list *node)
{
    list_insert_after(head, node);
}

static inline void
list_push_back(struct list *head, struct list *node)
{
    list_insert_after(head->prev, node);
}

/* Also right for a node that is on no list. */
static inline void
list_move_front(struct list *head, struct list *node)
{
    list_remove(node);
    list_push_front(head, node);
}

static inline void
list_move_back(struct list *head, struct list *node)
{
    list_remove(node);
    list_push_back(head, node);
}

#define LIST_FIRST(head, type, member) CONTAINER_OF((head)->next, type, member)
#define LIST_LAST(head, type, member) CONTAINER_OF((head)->prev, type, member)

#endif

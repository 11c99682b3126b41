/* From a method and path to the operation, and what is in the path. Pure. */
#ifndef MANAGE_ROUTE_H
#define MANAGE_ROUTE_H

#include "base/arena.h"
#include "base/base.h"
#include "manage/op.h"
#include "manage/validate.h"

/* Bits of methods that a path has. */
enum route_method {
    ROUTE_GET = 1, /* and HEAD */
    ROUTE_POST = 2,
    ROUTE_PUT = 4,
    ROUTE_PATCH = 8,
    ROUTE_DELETE = 16,
};

struct route {
    const struct op *op;                     /* NULL: none for the method */
    struct str params[PATH_PARAMS_MAX];      /* decoded, in the arena */
    unsigned methods;                        /* that the path has; 0: there is no such path */
};

/* Words win over placeholders, from the left. A segment that is empty, or holds what no name does when it is
 * decoded ('/', control characters), matches nothing. */
void route_find(struct arena *arena, const struct op *const *tables, struct str method, struct str path,
                struct route *route);
/* "GET, HEAD, OPTIONS" and a NUL. */
#define ROUTE_ALLOW_MAX 64
void route_allow(unsigned methods, char out[ROUTE_ALLOW_MAX]);

#endif

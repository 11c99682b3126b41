/* A routes.conf and its route table, which tests ask. */
#ifndef TEST_UNIT_ROUTE_WORLD_H
#define TEST_UNIT_ROUTE_WORLD_H

#include "test/unit/conf_good.h"

#include "route/route.h"

static struct conf *conf;
static struct route_table *table;

static inline void
route_close_world(void)
{
    route_table_free(&table);
    conf_free(&conf);
}

/* In place of what there was. */
static inline void
route_open_world(struct str text)
{
    route_close_world();
    conf = conf_good(text);
    table = route_table_make(conf);
    assert_non_null(table);
}

static inline int
route_teardown(void **state)
{
    (void)state;
    route_close_world();
    return 0;
}

#endif

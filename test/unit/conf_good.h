/* A routes.conf as tests want it: good. */
#ifndef TEST_UNIT_CONF_GOOD_H
#define TEST_UNIT_CONF_GOOD_H

#include "test/unit/testing.h"

#include "conf/conf.h"

/* The snapshot of a text that must be good, but for warnings; they are shown. */
static inline struct conf *
conf_good(struct str text)
{
    struct conf_faults faults;
    struct conf *good = conf_load_text(text, "t", &faults);

    for (size_t i = 0; i < faults.count; i++)
        print_message("%u: %s\n", faults.at[i].line, faults.at[i].message);
    conf_faults_free(&faults);
    assert_non_null(good);
    return good;
}

#endif

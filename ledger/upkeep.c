#include "ledger/upkeep.h"

#include "base/buf.h"
#include "base/js.h"
#include "ledger/command.h"
#include "ledger/doc.h"

#include <stdio.h>

#define LOOK_US 1000000u
#define TIDY_US 5000000u
#define EXPIRIES_MAX 16u
#define FAILURES_MAX 64u /* at a time: none of them waits for another */

static int
run(struct ledger *ledger, const char *request, struct buf *answer, struct js_value *result)
{
    struct js_value value;
    struct js_error err;
    int rc;

    buf_init(answer, 65536);
    rc = command_run(ledger, (struct str){request, strlen(request)}, "system", answer);
    *result = rc == 0 && js_check(buf_str(answer), &value, &err) ? js_get(value, STR("result"))
                                                                  : (struct js_value){.type = JS_NONE};
    return rc;
}

static int
look(struct ledger *ledger, struct upkeep *upkeep)
{
    struct js_value result;
    struct buf answer;
    char request[128];
    int rc;

    snprintf(request, sizeof(request),
             "{\"cmd\":\"alert.look\",\"args\":{\"budgets\":%u,\"rules\":%u},\"actor\":{\"kind\":\"system\"}}",
             upkeep->budgets, upkeep->rules);
    rc = run(ledger, request, &answer, &result);
    upkeep->budgets = doc_u32(result, STR("budgets"));
    upkeep->rules = doc_u32(result, STR("rules"));
    buf_free(&answer);
    return rc;
}

static int
tidy(struct ledger *ledger)
{
    static const char *const requests[] = {
        "{\"cmd\":\"mail.tidy\",\"actor\":{\"kind\":\"system\"}}",
        "{\"cmd\":\"delivery.tidy\",\"actor\":{\"kind\":\"system\"}}",
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < COUNT_OF(requests); i++) {
        struct js_value ignored;
        struct buf answer;

        rc = run(ledger, requests[i], &answer, &ignored);
        buf_free(&answer);
    }
    return rc;
}

/* An entry of the audit log each. */
static int
tell_failures(struct ledger *ledger)
{
    bool more = true;
    int rc = 0;

    for (unsigned i = 0; rc == 0 && more && i < FAILURES_MAX; i++) {
        struct js_value result;
        struct buf answer;

        rc = run(ledger, "{\"cmd\":\"login.tidy\",\"actor\":{\"kind\":\"system\"}}", &answer, &result);
        more = js_bool(js_get(result, STR("more")), false);
        buf_free(&answer);
    }
    return rc;
}

/* Grants whose time is over, some at a time. */
static int
expire(struct ledger *ledger)
{
    bool more = true;
    int rc = 0;

    for (unsigned i = 0; rc == 0 && more && i < EXPIRIES_MAX; i++) {
        struct js_value result;
        struct buf answer;

        rc = run(ledger, "{\"cmd\":\"grant.expire\",\"actor\":{\"kind\":\"system\"}}", &answer, &result);
        more = js_bool(js_get(result, STR("more")), false);
        buf_free(&answer);
    }
    return rc;
}

int
upkeep_turn(struct ledger *ledger, struct upkeep *upkeep, uint64_t now_us)
{
    int rc = 0;

    if (now_us >= upkeep->next_us) {
        upkeep->next_us = now_us + LOOK_US;
        rc = look(ledger, upkeep);
        if (rc == 0)
            rc = expire(ledger);
    }
    if (rc == 0 && now_us >= upkeep->tidy_us) {
        upkeep->tidy_us = now_us + TIDY_US;
        rc = tidy(ledger);
        if (rc == 0)
            rc = tell_failures(ledger);
    }
    return rc;
}

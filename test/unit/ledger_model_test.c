/*
 * Random actions of workers, operators and death against a model that is a few sums: after every
 * step the ledger must say what the model says, to the micro-credit.
 */
#include "test/unit/ledger_world.h"

#include "ledger/retention.h"

#define TENANTS 5
#define HOLDS 160
#define DAY_US INT64_C(86400000000)

struct model_hold {
    bool used, settled;
    uint32_t table, slot, tenant;
    int64_t amount, progress, charge;
    uint32_t window;
};

static struct world w;
static uint64_t rng, all_records;
static struct {
    uint32_t tenant_count;
    int64_t deposited[TENANTS + 1], spent[TENANTS + 1], overdraft[TENANTS + 1];
    int64_t limit[TENANTS + 1];     /* a day; 0 none */
    int64_t day_spent[TENANTS + 1]; /* in day[] */
    uint32_t day[TENANTS + 1];
    struct model_hold hold[HOLDS];
    uint64_t records, ref;
} m;

static uint64_t
below(uint64_t n)
{
    return rng_next(&rng) % n;
}

static uint32_t
today(void)
{
    return budget_window(BUDGET_DAY, w.wall_us);
}

static int64_t
held(uint32_t tenant)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < HOLDS; i++)
        if (m.hold[i].used && m.hold[i].tenant == tenant)
            sum += m.hold[i].amount;
    return sum;
}

static int64_t
available(uint32_t tenant)
{
    return m.deposited[tenant] - m.spent[tenant] - held(tenant);
}

static int64_t
day_used(uint32_t tenant, uint32_t window)
{
    int64_t sum = m.day[tenant] == window ? m.day_spent[tenant] : 0;

    for (unsigned i = 0; i < HOLDS; i++)
        if (m.hold[i].used && m.hold[i].tenant == tenant && m.hold[i].window == window)
            sum += m.hold[i].amount;
    return sum;
}

/* ---- the actions ---- */

static void
restart_if(int rc)
{
    if (rc == DIED) {
        w.steps_left = -1;
        world_restart(&w);
    } else {
        assert_int_equal(rc, 0);
    }
}

static void
maybe_die(void)
{
    w.steps_left = below(12) == 0 ? (long)below(40) : -1;
}

static void
add_tenant(void)
{
    uint32_t id = m.tenant_count + 1;
    char request[256], budget[64] = "";
    struct js_value result;
    int rc;

    if (m.tenant_count == TENANTS)
        return;
    m.deposited[id] = (int64_t)below(2000) * 1000;
    m.limit[id] = below(2) ? (int64_t)(1 + below(3)) * 1000000 : 0;
    m.overdraft[id] = below(3) == 0 ? (int64_t)below(500000) : 0;
    if (m.limit[id] != 0)
        snprintf(budget, sizeof(budget), ",\"budget\":\"%lld/day\"",
                 (long long)(m.limit[id] / UCR_PER_CREDIT));

    char credit[UCR_TEXT_LEN + 1], overdraft[UCR_TEXT_LEN + 1];

    ucr_text(m.deposited[id], credit);
    ucr_text(m.overdraft[id], overdraft);
    snprintf(request, sizeof(request),
             "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"t%u\",\"credit\":\"%s\","
             "\"overdraft\":\"%s\"%s}}",
             id, credit, overdraft, budget);
    maybe_die();
    rc = world_ask(&w, request, &result);
    restart_if(rc);
    w.steps_left = -1;
    if (rc == DIED) /* done or not: either way it is there after this */
        assert_int_equal(world_ask(&w, request, &result), 0);
    m.tenant_count++;
}

static void
move_credit(void)
{
    uint32_t tenant = (uint32_t)(1 + below(m.tenant_count));
    int64_t amount = (int64_t)(1 + below(900000));
    bool deduct = below(3) == 0;
    char request[256], text[UCR_TEXT_LEN + 1];
    struct js_value result;
    int rc;

    ucr_text(amount, text);
    snprintf(request, sizeof(request),
             "{\"cmd\":\"credit.%s\",\"args\":{\"tenant\":\"t%u\",\"amount\":\"%s\",\"ref\":"
             "\"r%llu\"}}",
             deduct ? "deduct" : "grant", tenant, text, (unsigned long long)++m.ref);
    maybe_die();
    rc = world_ask(&w, request, &result);
    restart_if(rc);
    w.steps_left = -1;
    ask_ok(&w, request);
    m.deposited[tenant] += deduct ? -amount : amount;
}

static void
take(void)
{
    uint32_t tenant = (uint32_t)(1 + below(m.tenant_count)), t = (uint32_t)below(3), slot;
    int64_t amount = (int64_t)below(below(4) == 0 ? 1500000 : 200000);
    bool credit = available(tenant) - amount >= -m.overdraft[tenant] ||
                  available(tenant) - amount >= 0;
    bool budget = m.limit[tenant] == 0 || day_used(tenant, today()) + amount <= m.limit[tenant];
    enum hold_result result;
    unsigned i = 0;

    while (i < HOLDS && m.hold[i].used)
        i++;
    if (i == HOLDS || (w.dead[t] && !w.has_table[t]))
        return;
    result = world_take(&w, t, tenant, amount, &slot);
    if (result == HOLD_NO_SLOT)
        return;
    assert_int_equal(result, !budget ? HOLD_NO_BUDGET : !credit ? HOLD_NO_CREDIT : HOLD_OK);
    if (result == HOLD_OK)
        m.hold[i] = (struct model_hold){.used = true,
                                        .table = t,
                                        .slot = slot,
                                        .tenant = tenant,
                                        .amount = amount,
                                        .window = today()};
}

static struct model_hold *
any_open(void)
{
    unsigned from = (unsigned)below(HOLDS);

    for (unsigned n = 0; n < HOLDS; n++) {
        struct model_hold *hold = &m.hold[(from + n) % HOLDS];

        if (hold->used && !hold->settled)
            return hold;
    }
    return NULL;
}

static void
progress(void)
{
    struct model_hold *hold = any_open();

    if (hold == NULL)
        return;

    int64_t to = (int64_t)below((uint64_t)hold->amount * 3 / 2 + 1);

    hold_progress(&w.table[hold->table], hold->slot, to);
    hold->progress = MAX(hold->progress, MIN(to, hold->amount));
}

static void
settle(void)
{
    struct model_hold *hold = any_open();

    if (hold == NULL)
        return;
    hold->charge = (int64_t)below((uint64_t)hold->amount + 1);
    hold->settled = true;
    world_settle(&w, hold->table, hold->slot, hold->charge);
}

/* All that is settled is charged, and nothing is held for it any more. */
static void
model_commit(void)
{
    for (unsigned i = 0; i < HOLDS; i++) {
        struct model_hold *hold = &m.hold[i];

        if (!hold->used || !hold->settled)
            continue;
        m.spent[hold->tenant] += hold->charge;
        if (hold->window > m.day[hold->tenant]) {
            m.day[hold->tenant] = hold->window;
            m.day_spent[hold->tenant] = 0;
        }
        if (hold->window == m.day[hold->tenant])
            m.day_spent[hold->tenant] += hold->charge;
        m.records++;
        hold->used = false;
    }
}

static void
commit(void)
{
    maybe_die();
    restart_if(world_commit(&w));
    w.steps_left = -1;
    assert_int_equal(world_commit(&w), 0);
    model_commit();
}

static void
kill_worker(void)
{
    uint32_t t = (uint32_t)below(3);

    if (!w.has_table[t])
        return;
    world_kill_worker(&w, t);
    for (unsigned i = 0; i < HOLDS; i++) {
        struct model_hold *hold = &m.hold[i];

        if (hold->used && !hold->settled && hold->table == t) {
            hold->settled = true;
            hold->charge = hold->progress;
        }
    }
    commit();
    /* Its slots are all given back: the table may be somebody else's. */
    assert_int_equal(recount_dead_tables(w.ledger), 0);
    assert_int_equal(w.workers->header->table[t].state, TABLE_FREE);
    w.dead[t] = false;
}

static void
kill_ledger(void)
{
    w.steps_left = below(2) ? (long)below(30) : -1;
    world_kill_ledger(&w);
    world_start(&w);
    w.steps_left = -1;
}

/* Everybody at once; holds that nobody announced are the operator's loss. */
static void
cut_power(void)
{
    commit();
    world_power_cut(&w);
    world_start(&w);
    for (unsigned i = 0; i < HOLDS; i++)
        m.hold[i].used = false;
}

static void
check_books(void)
{
    struct js_value audit = world_audit(&w);
    int64_t deposited = 0, spent = 0, all_held = 0;

    model_commit(); /* an audit commits first */
    for (uint32_t t = 1; t <= m.tenant_count; t++) {
        const struct account *account = account_at(w.workers, world_account(&w, t));

        assert_int_equal(account_available_ucr(account), available(t));
        deposited += m.deposited[t];
        spent += m.spent[t];
        all_held += held(t);
        if (m.limit[t] != 0) {
            uint64_t word = budget_at(w.workers, account->budget_idx)->word;
            uint32_t window = budget_word_window(word);

            assert_int_equal(budget_word_spent_ucr(word), day_used(t, window));
        }
    }
    assert_int_equal(money_of(audit, "deposited"), deposited);
    assert_int_equal(money_of(audit, "spent"), spent);
    assert_int_equal(money_of(audit, "held"), all_held);
    assert_int_equal(number_of(audit, "records") + number_of(audit, "records_dropped"), m.records);
}

/* Records go by age or by size; whoever dies in it, all that is checked stays what it was. */
static void
drop(void)
{
    const struct retention keep = {
        .age_us = below(2) ? 1 + below((uint64_t)DAY_US) : 0,
        .size_bytes = below(3) ? 0 : 1 + below(100000),
    };
    bool more;

    if (below(3) == 0)
        w.steps_left = (long)below(12);
    restart_if(retention_step(w.ledger, &keep, &more));
    w.steps_left = -1;
}

static void
one_run(unsigned steps)
{
    memset(&m, 0, sizeof(m));
    world_open(&w);
    world_start(&w);
    add_tenant();
    for (unsigned step = 0; step < steps; step++) {
        switch (below(40)) {
        case 0: add_tenant(); break;
        case 1:
        case 2: move_credit(); break;
        case 3: kill_worker(); break;
        case 4: kill_ledger(); break;
        case 5: w.wall_us += (int64_t)below((uint64_t)DAY_US); break;
        case 6: check_books(); break;
        case 7: assert_int_equal(audit_sample(w.ledger), 0); break;
        case 8:
            if (below(10) == 0)
                cut_power();
            break;
        case 9:
        case 10:
        case 11: commit(); break;
        case 12: drop(); break;
        case 13:
        case 14:
        case 15:
        case 16: progress(); break;
        default:
            if (below(2))
                take();
            else
                settle();
        }
        assert_int_equal(w.ledger->stats.audit_faults, 0);
    }
    check_books();
    all_records += m.records;
    world_close(&w);
}

static void
random_actions(void **state)
{
    (void)state;
    rng = world_seed();
    for (int run = 0; run < 12; run++)
        one_run(1500);
    print_message("%llu calls\n", (unsigned long long)all_records);
    assert_true(all_records > 500);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_actions)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

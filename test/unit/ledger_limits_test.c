/*
 * Limits over the chain, from the store to memory: quotas of members, projects and tenants, whose keys are
 * told; budgets by the tenant's time zone, rolling, in shadow mode; what of it survives a restart, and what a
 * power cut; calls in flight of quotas, corrected.
 */
#include "test/unit/ledger_world.h"

#include "ledger/command_entity.h"
#include "ledger/entity.h"
#include "ledger/quota.h"
#include "ledger/windows.h"
#include "ledger/zones.h"

#include "base/clock.h"
#include "base/str.h"

#define HOUR INT64_C(3600000000)

static struct world w;

static int
setup(void **state)
{
    (void)state;
    world_open(&w);
    world_start(&w);
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"acme\",\"credit\":\"100\"}}");
    ask_ok(&w, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"other\",\"credit\":\"100\"}}");
    ask_ok(&w, "{\"cmd\":\"member.add\",\"args\":{\"tenant\":\"acme\",\"email\":\"a@acme.test\"}}");
    ask_ok(&w, "{\"cmd\":\"project.add\",\"args\":{\"tenant\":\"acme\",\"name\":\"web\"}}");
    ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"member\":\"a@acme.test\","
               "\"project\":\"web\"}}");
    ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\"}}");
    return 0;
}

static int
teardown(void **state)
{
    (void)state;
    w.steps_left = -1;
    world_restart(&w);
    world_audit(&w);
    world_close(&w);
    return 0;
}

static const struct key_slot *
key_of(uint32_t id)
{
    return key_at(w.ledger->region, id_map_get(&w.ledger->key_of_id, id));
}

/* ---- what a command does: changes what is kept, and tells memory ---- */

static int
write_start(struct db_txn *txn)
{
    return db_write(w.ledger->db, txn);
}

static void
commit(struct db_txn *txn)
{
    assert_int_equal(db_meta_put(txn, "tail", (struct str){(const char *)&w.ledger->tail,
                                                           sizeof(w.ledger->tail)}), 0);
    assert_int_equal(db_commit(txn), 0);
}

static void
tell(int (*publish)(struct ledger *ledger, struct db_txn *txn, uint32_t id), uint32_t id)
{
    struct db_txn txn;

    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    assert_int_equal(publish(w.ledger, &txn, id), 0);
    db_end(&txn);
    assert_int_equal(recount_run(w.ledger), 0);
}

static void
set_member(struct entity_limits limits, struct entity_allow allow)
{
    struct entity_member member;
    struct db_txn txn;

    assert_int_equal(write_start(&txn), 0);
    assert_int_equal(entity_member_get(&txn, 1, &member), 0);
    member.limits = limits;
    member.allow = allow;
    assert_int_equal(entity_member_put(&txn, &member), 0);
    commit(&txn);
    tell(publish_member, 1);
}

static void
set_project(struct entity_limits limits, struct entity_allow allow)
{
    struct entity_project project;
    struct db_txn txn;

    assert_int_equal(write_start(&txn), 0);
    assert_int_equal(entity_project_get(&txn, 1, &project), 0);
    project.limits = limits;
    project.allow = allow;
    assert_int_equal(entity_project_put(&txn, &project), 0);
    commit(&txn);
    tell(publish_project, 1);
}

static void
set_tenant(struct entity_limits limits, const char *zone)
{
    struct entity_tenant tenant;
    struct db_txn txn;

    assert_int_equal(write_start(&txn), 0);
    assert_int_equal(entity_tenant_get(&txn, 1, &tenant), 0);
    tenant.limits = limits;
    str_copy(str_from(zone), tenant.zone, sizeof(tenant.zone));
    assert_int_equal(entity_tenant_put(&txn, &tenant), 0);
    commit(&txn);
    tell(publish_tenant, 1);
    tell(windows_publish, 1);
}

/* The tenant's own budget, as it is written. */
static struct budget *
set_budget(const char *text)
{
    struct db_budget def = {.kind = BUDGET_TENANT, .tenant_id = 1, .owner_id = 1};
    struct entity_tenant tenant;
    struct db_txn txn;
    uint64_t id;

    assert_true(entity_budget_parse(str_from(text), &def));
    assert_int_equal(write_start(&txn), 0);
    assert_int_equal(entity_tenant_get(&txn, 1, &tenant), 0);
    if (tenant.budget_id == 0)
        tenant.budget_id = ++w.ledger->tail.budget_last;
    id = tenant.budget_id;
    assert_int_equal(entity_budget_put(&txn, id, &def), 0);
    assert_int_equal(entity_tenant_put(&txn, &tenant), 0);
    commit(&txn);
    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    assert_int_equal(publish_budget(w.ledger, &txn, id), 0);
    db_end(&txn);
    tell(publish_tenant, 1);
    return budget_at(w.ledger->region, id_map_get(&w.ledger->budget_of_id, (uint32_t)id));
}

static struct budget *
own_budget(void)
{
    return budget_at(w.ledger->region, account_at(w.ledger->region, world_account(&w, 1))->budget_idx);
}

static const struct entity_allow any = {.channel_count = 0};

/* ---- quotas ---- */

static void
check_quota(uint32_t idx, enum budget_kind kind, const struct entity_limits *limits)
{
    const struct quota *quota = quota_at(w.ledger->region, idx);

    assert_non_null(quota);
    assert_int_equal(quota->kind, kind);
    assert_int_equal(quota->id, 1);
    assert_int_equal(quota->rpm, limits->rpm);
    assert_int_equal(quota->tpm, limits->tpm);
    assert_int_equal(quota->concurrency, limits->concurrency);
    assert_int_equal(quota->shadow, limits->shadow);
}

static void
check_three(const struct entity_limits limits[3])
{
    const struct account *account = account_at(w.ledger->region, world_account(&w, 1));

    check_quota(key_of(1)->quota_idx[0], BUDGET_MEMBER, &limits[0]);
    check_quota(key_of(1)->quota_idx[1], BUDGET_PROJECT, &limits[1]);
    check_quota(account->quota_idx, BUDGET_TENANT, &limits[2]);
    assert_int_equal(key_of(2)->quota_idx[0] | key_of(2)->quota_idx[1], 0);
    assert_int_equal(account_at(w.ledger->region, world_account(&w, 2))->quota_idx, 0);
    assert_int_equal(w.ledger->region->header->quota_count, 3);
}

static void
quotas_are_told(void **state)
{
    const struct entity_limits limits[3] = {
        {.rpm = 10, .shadow = QUOTA_SHADOW_RPM}, {.tpm = 2000}, {.concurrency = 3, .rpm = 7}};
    const struct entity_limits none = {0}, more = {.rpm = 11, .tpm = 12, .concurrency = 13};

    (void)state;
    assert_int_equal(w.ledger->region->header->quota_count, 0);
    set_member(limits[0], any);
    set_project(limits[1], any);
    set_tenant(limits[2], "");
    check_three(limits);
    /* A new key of the same. */
    ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"member\":\"a@acme.test\"}}");
    assert_int_equal(key_of(3)->quota_idx[0], key_of(1)->quota_idx[0]);
    assert_int_equal(key_of(3)->quota_idx[1], 0);
    /* The next ledger process finds them; memory that is made anew has them again. */
    world_restart(&w);
    check_three(limits);
    world_power_cut(&w);
    world_start(&w);
    check_three(limits);
    /* What is taken away limits no more; given anew, it is the same slot. */
    set_member(none, any);
    assert_int_equal(key_of(1)->quota_idx[0], 0);
    assert_int_equal(key_of(3)->quota_idx[0], 0);
    set_member(more, any);
    check_quota(key_of(1)->quota_idx[0], BUDGET_MEMBER, &more);
    assert_int_equal(w.ledger->region->header->quota_count, 3);
    set_tenant(none, "");
    assert_int_equal(account_at(w.ledger->region, world_account(&w, 1))->quota_idx, 0);
}

/* What a ledger process that died has not told, its successor does. */
static void
quotas_untold(void **state)
{
    struct entity_member member;
    struct db_txn txn;

    (void)state;
    set_member((struct entity_limits){.rpm = 10}, any);
    assert_int_equal(write_start(&txn), 0);
    assert_int_equal(entity_member_get(&txn, 1, &member), 0);
    member.limits.rpm = 20;
    assert_int_equal(entity_member_put(&txn, &member), 0);
    commit(&txn);
    assert_int_equal(quota_at(w.ledger->region, key_of(1)->quota_idx[0])->rpm, 10);
    world_restart(&w);
    assert_int_equal(quota_at(w.ledger->region, key_of(1)->quota_idx[0])->rpm, 20);
}

static struct entity_allow
allow_of(const char *channel, const char *glob)
{
    struct entity_allow allow = {.channel_count = channel != NULL};

    if (channel != NULL)
        str_copy(str_from(channel), allow.channels[0], sizeof(allow.channels[0]));
    if (glob != NULL) {
        str_copy(str_from(glob), allow.models, sizeof(allow.models));
        allow.models_len = (uint32_t)strlen(glob) + 1;
        allow.model_count = 1;
    }
    return allow;
}

static void
allow_lists(void **state)
{
    const struct entity_limits none = {0};
    const struct quota *quota;
    const struct key_extra *extra;

    (void)state;
    set_member(none, allow_of("pro", "gpt-*"));
    set_project(none, allow_of(NULL, "gpt-5"));
    for (int i = 0; i < 3; i++) {
        quota = quota_at(w.ledger->region, key_of(1)->quota_idx[0]);
        assert_non_null(quota);
        assert_str(name_text(w.ledger->region, quota->channel[0]), "pro");
        assert_int_equal(quota->channel[1], 0);
        extra = key_extra_at(w.ledger->region, quota->extra_idx);
        assert_non_null(extra);
        assert_int_equal(extra->model_count, 1);
        assert_string_equal(extra->models, "gpt-*");
        quota = quota_at(w.ledger->region, key_of(1)->quota_idx[1]);
        assert_int_equal(quota->channel[0], 0);
        assert_string_equal(key_extra_at(w.ledger->region, quota->extra_idx)->models, "gpt-5");
        if (i == 0) {
            world_restart(&w);
        } else if (i == 1) {
            world_power_cut(&w);
            world_start(&w);
        }
    }
    /* Told again and again it takes no room again: the extras that there are suffice. */
    for (int i = 0; i < 200; i++)
        set_member(none, allow_of("pro", i % 2 != 0 ? "a-*" : "b-*"));
    set_member(none, allow_of("pro", NULL));
    assert_int_equal(quota_at(w.ledger->region, key_of(1)->quota_idx[0])->extra_idx, 0);
    assert_true(w.ledger->region->header->key_extra_count < 8);
}

/* A key's own: in shadow mode, and of what it is for. */
static void
keys_flags(void **state)
{
    struct entity_key key;
    struct db_txn txn;

    (void)state;
    assert_int_equal(key_of(1)->flags, KEY_OPEN);
    assert_int_equal(write_start(&txn), 0);
    assert_int_equal(entity_key_get(&txn, 1, &key), 0);
    assert_int_equal(key.scopes, SCOPE_INFERENCE);
    key.scopes = SCOPE_USAGE | SCOPE_MANAGE;
    key.limits = (struct entity_limits){.rpm = 5, .tpm = 6, .shadow = QUOTA_SHADOW_TPM};
    assert_int_equal(entity_key_put(&txn, &key), 0);
    memset(&key, 0, sizeof(key));
    assert_int_equal(entity_key_get(&txn, 1, &key), 0);
    assert_int_equal(key.scopes, SCOPE_USAGE | SCOPE_MANAGE);
    assert_int_equal(key.limits.shadow, QUOTA_SHADOW_TPM);
    commit(&txn);
    tell(publish_key, 1);
    assert_int_equal(key_of(1)->flags, KEY_OPEN | KEY_NO_CALLS | KEY_SHADOW_TPM);
    assert_int_equal(key_of(1)->rpm, 5);
}

/* ---- calls in flight ---- */

static struct record *
in_flight(uint32_t *slot)
{
    struct record *record;

    assert_int_equal(world_take(&w, 1, 1, CREDITS(1), slot), HOLD_OK);
    record = hold_record(&w.table[1], *slot);
    record->member_id = record->project_id = 1;
    record->key_idx = 0;
    return record;
}

static void
calls_in_flight(void **state)
{
    const struct entity_limits three = {.concurrency = 3};
    struct quota *quota[3];
    struct record *record;
    uint32_t slot;

    (void)state;
    set_member(three, any);
    set_project(three, any);
    set_tenant(three, "");
    for (uint32_t i = 0; i < 3; i++) {
        quota[i] = quota_at(w.workers, i + 1);
        assert_true(inflight_enter(&quota[i]->inflight, 3));
    }
    record = in_flight(&slot);
    record->flags |= RECORD_INFLIGHT_ALL;
    /* What is right stays. */
    for (int i = 0; i < 4; i++)
        assert_int_equal(audit_sample(w.ledger), 0);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(quota[i]->inflight, 1);
    /* A call of the member alone dies with its worker; so does one that had no hold yet. */
    assert_true(inflight_enter(&quota[0]->inflight, 3));
    in_flight(&slot)->flags |= RECORD_INFLIGHT_MEMBER;
    assert_true(inflight_enter(&quota[2]->inflight, 3));
    world_kill_worker(&w, 1);
    assert_int_equal(world_commit(&w), 0);
    assert_int_equal(quota[0]->inflight, 0);
    assert_int_equal(quota[1]->inflight, 0);
    assert_int_equal(quota[2]->inflight, 1);
    for (int i = 0; i < 2; i++)
        assert_int_equal(audit_sample(w.ledger), 0);
    assert_int_equal(quota[2]->inflight, 0);
    /* Below zero likewise. */
    quota[1]->inflight = -2;
    for (int i = 0; i < 2; i++)
        assert_int_equal(audit_sample(w.ledger), 0);
    assert_int_equal(quota[1]->inflight, 0);
}

/* ---- budgets ---- */

static void
budget_texts(void **state)
{
    static const struct {
        const char *text;
        int64_t limit_ucr;
        uint32_t period, length_s, flags;
    } good[] = {
        {"12.5", 12500000, BUDGET_TOTAL, 0, 0},
        {"0/day", 0, BUDGET_DAY, 0, 0},
        {"100/week", 100000000, BUDGET_WEEK, 0, 0},
        {"100/month/shadow", 100000000, BUDGET_MONTH, 0, DB_BUDGET_SHADOW},
        {"7/shadow", 7000000, BUDGET_TOTAL, 0, DB_BUDGET_SHADOW},
        {"1/5h", 1000000, BUDGET_ROLLING, 5 * 3600, 0},
        {"1/1h/shadow", 1000000, BUDGET_ROLLING, 3600, DB_BUDGET_SHADOW},
        {"1/366d", 1000000, BUDGET_ROLLING, 366 * 86400, 0},
    };
    static const char *const bad[] = {
        "", "x", "-1", "1/", "1/year", "1/rolling", "1/0h", "1/367d", "1/5", "1/h", "1/5m", "1/-5h",
        "1/day/", "1/day/x", "1/shadow/day", "1/day/shadow/x", "1/5h5", "1/total", "1/99999h",
        "99999999999",
    };
    struct db_budget def;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(good); i++) {
        memset(&def, 0xff, sizeof(def));
        assert_true(entity_budget_parse(str_from(good[i].text), &def));
        assert_int_equal(def.limit_ucr, good[i].limit_ucr);
        assert_int_equal(def.period, good[i].period);
        assert_int_equal(def.length_s, good[i].length_s);
        assert_int_equal(def.flags, good[i].flags);
    }
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        if (entity_budget_parse(str_from(bad[i]), &def))
            fail_msg("\"%s\" is no budget", bad[i]);
}

/* A plain budget is kept as it was before there were others. */
static void
budget_forms(void **state)
{
    struct db_budget def = {.kind = BUDGET_KEY, .period = BUDGET_DAY, .limit_ucr = 5, .tenant_id = 1};
    struct db_budget back;
    struct db_key key = db_key_of_u64(77);
    struct db_txn txn;
    struct str value;

    (void)state;
    assert_int_equal(write_start(&txn), 0);
    assert_int_equal(entity_budget_put(&txn, 77, &def), 0);
    assert_int_equal(db_get(&txn, DB_BUDGET, &key, &value), 0);
    assert_int_equal(value.len, DB_BUDGET_BYTES_PLAIN);
    assert_int_equal(entity_budget_get(&txn, 77, &back), 0);
    assert_memory_equal(&def, &back, sizeof(def));
    def.period = BUDGET_ROLLING;
    def.length_s = 7200;
    def.flags = DB_BUDGET_SHADOW;
    assert_int_equal(entity_budget_put(&txn, 77, &def), 0);
    assert_int_equal(entity_budget_get(&txn, 77, &back), 0);
    assert_memory_equal(&def, &back, sizeof(def));
    assert_int_equal(db_put(&txn, DB_BUDGET, &key, STR("too short")), 0);
    assert_int_equal(entity_budget_get(&txn, 77, &back), -EILSEQ);
    db_end(&txn);
}

static int64_t
spent(const struct budget *budget)
{
    struct budget_look look;

    budget_look(budget, w.wall_us, &look);
    return look.spent_ucr;
}

static void
spend(int64_t amount_ucr, int64_t charge_ucr)
{
    uint32_t slot;

    assert_int_equal(world_take(&w, 0, 1, amount_ucr, &slot), HOLD_OK);
    world_settle(&w, 0, slot, charge_ucr);
    assert_int_equal(world_commit(&w), 0);
}

/* The window survives: a restart, as it is; a power cut, as the store knows it. */
static void
rolling(void **state)
{
    struct budget *budget = set_budget("10/5h");
    int64_t from_us;
    uint32_t slot;

    (void)state;
    from_us = w.wall_us;
    spend(CREDITS(6), CREDITS(4));
    assert_int_equal(spent(budget), CREDITS(4));
    assert_int_equal(world_take(&w, 0, 1, CREDITS(7), &slot), HOLD_NO_BUDGET);
    for (int i = 0; i < 2; i++) {
        if (i == 0) {
            world_restart(&w);
        } else {
            world_power_cut(&w);
            world_start(&w);
        }
        budget = own_budget();
        assert_int_equal(spent(budget), CREDITS(4));
        assert_int_equal(budget_word_window(budget->word), 1);
        assert_in_range(budget_edge_us(budget, 1), from_us / 1000 * 1000 + 5 * HOUR,
                        w.wall_us + 5 * HOUR);
        assert_int_equal(world_take(&w, 0, 1, CREDITS(7), &slot), HOLD_NO_BUDGET);
    }
    /* The next one, and a charge that comes when it is over: it counts where it was held. */
    w.wall_us += 6 * HOUR;
    assert_int_equal(world_take(&w, 0, 1, CREDITS(9), &slot), HOLD_OK);
    assert_int_equal(budget_word_window(budget->word), 2);
    w.wall_us += 6 * HOUR;
    spend(CREDITS(3), CREDITS(3));
    assert_int_equal(budget_word_window(budget->word), 3);
    world_settle(&w, 0, slot, CREDITS(9));
    assert_int_equal(world_commit(&w), 0);
    assert_int_equal(spent(budget), CREDITS(3));
    world_audit(&w);
    world_power_cut(&w);
    world_start(&w);
    budget = own_budget();
    assert_int_equal(budget_word_window(budget->word), 3);
    assert_int_equal(spent(budget), CREDITS(3));
}

/* A worker that is killed leaves exactly what it used in the window. */
static void
rolling_killed(void **state)
{
    struct budget *budget = set_budget("10/5h");
    uint32_t slot;

    (void)state;
    assert_int_equal(world_take(&w, 1, 1, CREDITS(8), &slot), HOLD_OK);
    hold_progress(&w.table[1], slot, CREDITS(2));
    assert_int_equal(spent(budget), CREDITS(8));
    world_kill_worker(&w, 1);
    assert_int_equal(world_commit(&w), 0);
    assert_int_equal(spent(budget), CREDITS(2));
    assert_int_equal(budget_word_window(budget->word), 1);
    /* The same when it has opened a window that is not in the word. */
    budget_set_edge(budget, 2, w.wall_us + HOUR);
    assert_int_equal(recount_budget(w.ledger, 1), 0);
    assert_int_equal(recount_run(w.ledger), 0);
    assert_int_equal(budget_word_window(budget->word), 1);
    spend(CREDITS(10), CREDITS(1));
    assert_int_equal(budget_word_window(budget->word), 2);
    assert_int_equal(spent(budget), CREDITS(1));
}

static void
zones(void **state)
{
    struct budget *budget = set_budget("10/day");
    const struct zone *zone, *again;
    struct budget_look look;
    int64_t noon_us;

    (void)state;
    assert_true(clock_parse(STR("2026-11-21T12:00:00Z"), &noon_us));
    w.wall_us = noon_us;
    budget_look(budget, w.wall_us, &look);
    assert_int_equal(look.ends_us, noon_us + 12 * HOUR);
    assert_int_equal(zones_find(STR("Asia/Shanghai"), &zone), 0);
    assert_int_equal(zone_offset_s(zone, noon_us), 8 * 3600);
    assert_int_equal(zones_find(STR("Asia/Shanghai"), &again), 0);
    assert_ptr_equal(again, zone);
    assert_int_equal(zones_find(STR(""), &zone), 0);
    assert_ptr_equal(zone, &zone_utc);
    assert_int_equal(zones_find(STR("Asia/Shangai"), &zone), -ENOENT);
    assert_int_equal(zones_find(STR("Asia//Shanghai"), &zone), -EINVAL);
    assert_int_equal(zones_find(STR("../passwd"), &zone), -EINVAL);
    set_tenant((struct entity_limits){0}, "Asia/Shanghai");
    budget_look(budget, w.wall_us, &look);
    assert_int_equal(look.ends_us, noon_us + 4 * HOUR);
    set_tenant((struct entity_limits){0}, "America/New_York");
    for (int i = 0; i < 3; i++) {
        budget = own_budget();
        budget_look(budget, noon_us, &look);
        assert_int_equal(look.ends_us, noon_us + 17 * HOUR);
        if (i == 0) {
            world_restart(&w);
        } else if (i == 1) {
            world_power_cut(&w);
            world_start(&w);
        }
    }
    /* Half a year later the change is past, and the next one is put there. */
    assert_true(clock_parse(STR("2027-07-01T12:00:00Z"), &w.wall_us));
    assert_true(budget->change_us <= w.wall_us);
    assert_int_equal(audit_sample(w.ledger), 0);
    assert_true(budget->change_us > w.wall_us);
    assert_int_equal(budget->offset_s, -4 * 3600);
    assert_int_equal(budget->after_s, -5 * 3600);
    /* One that this machine does not know, from a store of elsewhere: UTC. */
    w.wall_us = noon_us;
    set_tenant((struct entity_limits){0}, "Mars/Olympus");
    budget_look(budget, noon_us, &look);
    assert_int_equal(look.ends_us, noon_us + 12 * HOUR);
}

/* Each budget of the tenant, and no other's. */
static void
zones_of_all(void **state)
{
    (void)state;
    ask_ok(&w, "{\"cmd\":\"member.limits\",\"args\":{\"tenant\":\"acme\",\"member\":1,\"budget\":\"5/day\"}}");
    ask_ok(&w, "{\"cmd\":\"project.set\",\"args\":{\"tenant\":\"acme\",\"project\":1,\"budget\":\"5/week\"}}");
    ask_ok(&w, "{\"cmd\":\"key.set\",\"args\":{\"id\":1,\"budget\":\"5/month\"}}");
    ask_ok(&w, "{\"cmd\":\"key.set\",\"args\":{\"id\":2,\"budget\":\"5/2h\"}}");
    ask_ok(&w, "{\"cmd\":\"tenant.set\",\"args\":{\"tenant\":\"acme\",\"budget\":\"5/day\"}}");
    ask_ok(&w, "{\"cmd\":\"tenant.set\",\"args\":{\"tenant\":\"other\",\"budget\":\"5/day\"}}");
    ask_ok(&w, "{\"cmd\":\"tenant.set\",\"args\":{\"tenant\":\"acme\",\"zone\":\"Asia/Kathmandu\"}}");
    for (uint32_t id = 1; id <= 6; id++) {
        const struct budget *budget = budget_at(w.ledger->region, id_map_get(&w.ledger->budget_of_id, id));
        bool follows = id != 4 && id != 6; /* a rolling one has no zone */

        assert_int_equal(budget->offset_s, follows ? 5 * 3600 + 45 * 60 : 0);
        assert_int_equal(budget->after_s, follows ? 5 * 3600 + 45 * 60 : 0);
    }
}

static void
shadow(void **state)
{
    struct budget *budget = set_budget("10/day/shadow");
    uint32_t slot;

    (void)state;
    spend(CREDITS(30), CREDITS(25));
    assert_int_equal(spent(budget), CREDITS(25));
    world_audit(&w);
    world_power_cut(&w);
    world_start(&w);
    budget = own_budget();
    assert_int_equal(spent(budget), CREDITS(25));
    spend(CREDITS(1), CREDITS(1));
    assert_int_equal(set_budget("10/day"), budget);
    assert_int_equal(world_take(&w, 0, 1, 1, &slot), HOLD_NO_BUDGET);
    assert_int_equal(spent(budget), CREDITS(26));
}

/* One that is taken away refuses nothing from then on, also for who is told only later that there is none. */
static void
taken_away(void **state)
{
    struct db_budget def = {.kind = BUDGET_TENANT, .tenant_id = 1, .owner_id = 1, .limit_ucr = -1,
                            .period = BUDGET_DAY};
    struct budget *budget = set_budget("10/day");
    struct db_txn txn;
    uint32_t slot;

    (void)state;
    spend(CREDITS(10), CREDITS(10));
    assert_int_equal(world_take(&w, 0, 1, 1, &slot), HOLD_NO_BUDGET);
    assert_int_equal(write_start(&txn), 0);
    assert_int_equal(entity_budget_put(&txn, budget->id, &def), 0);
    commit(&txn);
    assert_int_equal(db_read(w.ledger->db, &txn), 0);
    assert_int_equal(publish_budget(w.ledger, &txn, budget->id), 0);
    db_end(&txn);
    assert_ptr_equal(own_budget(), budget);
    assert_int_equal(world_take(&w, 0, 1, CREDITS(20), &slot), HOLD_OK);
    assert_int_equal(spent(budget), CREDITS(30));
    world_settle(&w, 0, slot, 0);
    assert_int_equal(world_commit(&w), 0);
}

/* A start in a memory that has no room for all of them serves those that fit. */
static void
no_room_for_all(void **state)
{
    struct region_geometry small = world_geometry;

    (void)state;
    ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"other\"}}");
    ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\"}}");
    world_power_cut(&w);
    small.account_max = 1;
    assert_int_equal(region_create(w.region_dir, &small, &w.region), 0);
    assert_int_equal(world_try_start(&w), 0);
    assert_int_equal(region_adopt(w.region_dir, &w.workers), 0);
    assert_int_equal(world_account(&w, 1), 1);
    assert_int_equal(world_account(&w, 2), 0);
    assert_non_null(key_of(1));
    assert_non_null(key_of(2));
    assert_null(key_of(3)); /* the other tenant's */
    assert_non_null(key_of(4));
    world_power_cut(&w);
    world_start(&w);
    assert_non_null(key_of(3));
}

/* Through the commands: another kind of window is another budget; the rest changes in place. */
static void
set_by_command(void **state)
{
    struct js_value shown;

    (void)state;
    ask_ok(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\",\"budget\":\"5/3h/shadow\"}}");
    shown = js_get(ask_ok(&w, "{\"cmd\":\"key.show\",\"args\":{\"id\":3}}"), STR("budget"));
    assert_int_equal(money_of(shown, "limit"), CREDITS(5));
    assert_str(js_get(shown, STR("period")).raw, "rolling");
    assert_int_equal(number_of(shown, "hours"), 3);
    assert_true(js_bool(js_get(shown, STR("shadow")), false));
    assert_int_equal(js_get(shown, STR("resets")).type, JS_NULL);
    assert_int_equal(ask_refused(&w, "{\"cmd\":\"key.add\",\"args\":{\"tenant\":\"acme\","
                                     "\"budget\":\"5/3m\"}}"), 2);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(quotas_are_told), TEST(quotas_untold), TEST(allow_lists),    TEST(keys_flags),
        TEST(calls_in_flight), TEST(budget_texts),  TEST(budget_forms),   TEST(rolling),
        TEST(rolling_killed),  TEST(zones),         TEST(shadow),         TEST(set_by_command),
        TEST(zones_of_all),    TEST(taken_away),      TEST(no_room_for_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

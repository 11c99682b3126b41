/*
 * A store of many tenants: what it takes to start from it, to keep it in memory, to admit a call, and
 * to read a page of a list.
 *
 *     bench-scale [-t TENANTS] [-d DIR] [-m] [-n CALLS]
 *
 * Makes a store of TENANTS (a million) in DIR (a new folder in /tmp, removed at the end), unless there
 * is one: each tenant with a member, a wallet and three keys; each fourth with a project that one of
 * its keys is in, each tenth key with a budget, each twentieth with a list of models. It is made by
 * the ledger's own code, some ten thousand at a commit. -m only makes it and leaves it there.
 *
 * Then the ledger opens it with an empty memory file, as after a restart of the machine, and once
 * more with the one that the first left, as after a crash; and calls are admitted as a worker does
 * it (hash, look-up, rates, calls at once, hold with its budgets), of keys drawn at random from all
 * of them. The same for a thousand tenants, in a store of its own. One JSON object tells it all.
 */
#include "base/base.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/js.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/str.h"
#include "ledger/command.h"
#include "ledger/core.h"
#include "ledger/entity.h"
#include "shm/hold.h"
#include "shm/rate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FEW 1000u
#define KEYS_EACH 3u
#define AT_A_COMMIT 10000u
#define CREDIT_UCR INT64_C(1000000000000)
#define AMOUNT_UCR 1000
#define BATCH 100
#define BATCHES_MAX 20000
#define PAGES 20

struct options {
    uint32_t tenants;
    const char *dir;
    bool make_only;
    uint32_t calls;
};

struct figures {
    double fresh_s, fresh_cpu_s, adopted_s, adopted_cpu_s, admit_ns, page_first_us, page_last_us, page_find_us;
    uint64_t region_bytes, store_bytes, peak_kb;
};

static void
die(const char *what, int rc)
{
    fprintf(stderr, "bench-scale: %s: %s\n", what, strerror(rc < 0 ? -rc : errno));
    exit(1);
}

static void
must(int rc, const char *what)
{
    if (rc < 0)
        die(what, rc);
}

/* ---- the ledger ---- */

static bool
nobody_lives(void *arg, uint32_t table_idx)
{
    (void)arg;
    (void)table_idx;
    return false;
}

static struct ledger *
open_ledger(struct region *region, const char *dir)
{
    struct ledger_open setup = {
        .region = region,
        .store_path = dir,
        .unresolved = LEDGER_VOID,
        .host = {.wall_us = ledger_host_wall_us,
                 .mono_us = ledger_host_mono_us,
                 .pause = ledger_host_pause,
                 .table_lives = nobody_lives},
    };
    struct ledger *ledger;

    must(ledger_open(&setup, &ledger), "the store cannot be opened");
    must(recount_run(ledger), "accounts cannot be counted");
    return ledger;
}

static struct region *
new_region(const char *dir)
{
    struct region *region;

    must(region_create(dir, &region_geometry_default, &region), "no memory file");
    must(region_table_ensure(region, 0), "no hold table");
    atomic_store(&region->header->table[0].state, TABLE_FREE);
    return region;
}

/* ---- making a store ---- */

/* The secret of key number n: what the calls show, without keeping millions of them. */
static void
secret_text(uint32_t n, char text[KEY_TEXT_LEN + 1])
{
    snprintf(text, KEY_TEXT_LEN + 1, "sk-%043" PRIu32, n);
}

static int
put_budget(struct ledger *ledger, struct db_txn *txn, struct entity_key *key)
{
    struct db_budget budget = {.kind = BUDGET_KEY,
                               .period = BUDGET_DAY,
                               .limit_ucr = CREDIT_UCR,
                               .tenant_id = key->tenant_id,
                               .owner_id = key->id};

    key->budget_id = ++ledger->tail.budget_last;
    return entity_budget_put(txn, key->budget_id, &budget);
}

static int
put_key(struct ledger *ledger, struct db_txn *txn, uint32_t tenant_id, uint32_t project_id)
{
    struct entity_key key = {.id = ++ledger->tail.key_last,
                             .tenant_id = tenant_id,
                             .member_id = tenant_id,
                             .project_id = project_id,
                             .created_us = clock_wall_us(),
                             .scopes = SCOPE_INFERENCE, .limits = {.rpm = 60000000}};
    char text[KEY_TEXT_LEN + 1];
    int rc = 0;

    secret_text(key.id, text);
    hash_keyed(ledger->key_hash_key, text, KEY_TEXT_LEN, key.hash);
    memcpy(key.hint, text + KEY_TEXT_LEN - 4, 5);
    snprintf(key.name, sizeof(key.name), "build %" PRIu32, key.id);
    if (key.id % 20 == 0) {
        memcpy(key.allow.models, "gpt-*\0claude-*", 15);
        key.allow.models_len = 15;
        key.allow.model_count = 2;
    }
    if (key.id % 10 == 0)
        rc = put_budget(ledger, txn, &key);
    if (rc == 0)
        rc = entity_key_put(txn, &key);
    return rc == 0 ? entity_child_put(txn, DB_KEY, tenant_id, key.id) : rc;
}

static int
put_people(struct ledger *ledger, struct db_txn *txn, uint32_t tenant_id, uint32_t *project_id)
{
    struct entity_member member = {.id = ++ledger->tail.member_last, .tenant_id = tenant_id,
                                   .created_us = clock_wall_us(), .role = "owner"};
    struct entity_project project = {.tenant_id = tenant_id, .created_us = member.created_us,
                                     .name = "website"};
    int rc;

    *project_id = 0;
    snprintf(member.email, sizeof(member.email), "owner%" PRIu32 "@example.com", tenant_id);
    rc = entity_member_put(txn, &member);
    if (rc == 0)
        rc = entity_name_take(txn, DB_MEMBER, tenant_id, str_from(member.email), member.id);
    if (rc == 0)
        rc = entity_child_put(txn, DB_MEMBER, tenant_id, member.id);
    if (rc < 0 || tenant_id % 4 != 0)
        return rc;
    *project_id = project.id = ++ledger->tail.project_last;
    rc = entity_project_put(txn, &project);
    if (rc == 0)
        rc = entity_name_take(txn, DB_PROJECT, tenant_id, str_from(project.name), project.id);
    return rc == 0 ? entity_child_put(txn, DB_PROJECT, tenant_id, project.id) : rc;
}

/* The credit is in the books' sums, but has no transfer: nobody audits this store. */
static int
put_tenant(struct ledger *ledger, struct db_txn *txn)
{
    struct entity_tenant tenant = {.id = ++ledger->tail.tenant_last, .created_us = clock_wall_us()};
    struct db_wallet wallet = {.deposited_ucr = CREDIT_UCR, .in_ucr = {CREDIT_UCR}};
    struct db_key key = db_key_of_u32(tenant.id);
    uint32_t project_id;
    int rc;

    snprintf(tenant.name, sizeof(tenant.name), "Company %" PRIu32, tenant.id);
    rc = entity_tenant_put(txn, &tenant);
    if (rc == 0)
        rc = entity_name_take(txn, DB_TENANT, 0, str_from(tenant.name), tenant.id);
    if (rc == 0)
        rc = db_put(txn, DB_WALLET, &key, (struct str){(const char *)&wallet, sizeof(wallet)});
    if (rc == 0)
        rc = put_people(ledger, txn, tenant.id, &project_id);
    for (uint32_t i = 0; rc == 0 && i < KEYS_EACH; i++)
        rc = put_key(ledger, txn, tenant.id, i == 0 ? project_id : 0);
    ledger->tail.source_ucr[TRANSFER_GRANT] -= CREDIT_UCR;
    return rc;
}

static void
make_store(struct ledger *ledger, uint32_t tenants)
{
    while (ledger->tail.tenant_last < tenants) {
        struct db_txn txn;
        int rc = db_write(ledger->db, &txn);

        for (uint32_t i = 0; rc == 0 && i < AT_A_COMMIT && ledger->tail.tenant_last < tenants; i++)
            rc = put_tenant(ledger, &txn);
        ledger->tail.seq++;
        if (rc == 0)
            rc = db_tail_put(&txn, &ledger->tail);
        must(rc, "a tenant cannot be put");
        must(db_commit(&txn), "the store cannot be written");
        (void)db_look_after(ledger->db);
    }
}

/* ---- admission ---- */

struct admission {
    struct region *region;
    struct hold_table table;
    struct hold_view view;
    uint32_t keys;
    uint64_t draw;
};

static uint64_t
draw(struct admission *a) /* xorshift */
{
    a->draw ^= a->draw << 13;
    a->draw ^= a->draw >> 7;
    a->draw ^= a->draw << 17;
    return a->draw;
}

static void
admit(struct admission *a, const char *text, int64_t wall_us, uint64_t now_ns)
{
    struct hold_ask ask = {.amount_ucr = AMOUNT_UCR, .wall_us = wall_us};
    const struct account *account;
    struct key_slot *key;
    uint8_t hash[HASH_LEN];
    uint64_t retry_ns;
    uint32_t idx, slot;

    hash_keyed(a->region->header->key_hash_key, text, KEY_TEXT_LEN, hash);
    idx = key_find(a->region, hash);
    key = key_at(a->region, idx);
    if (key == NULL)
        die("a key is not found", -ENOENT);
    account = account_at(a->region, key->account_idx);
    if (!rate_admit(&key->rpm_tat, rate_per_minute(atomic_load(&key->rpm)), 1, now_ns, &retry_ns) ||
        !key_enter(key, atomic_load(&key->concurrency)))
        die("a key is limited", -EAGAIN);
    ask.account_idx = key->account_idx;
    ask.account_generation = key->account_generation;
    for (unsigned i = 0; i < 3; i++)
        ask.budget_idx[i] = atomic_load(&key->budget_idx[i]);
    ask.budget_idx[BUDGET_TENANT] = atomic_load(&account->budget_idx);
    if (hold_take(&a->table, &ask, &slot) != HOLD_OK)
        die("a hold was refused", -EDQUOT);
    if (hold_settle(&a->table, slot, 0))
        die("the ledger sleeps?", 0);
}

static void
give_back(struct admission *a)
{
    uint32_t slot;

    while (hold_view_next(&a->view, &slot)) {
        const struct hold_slot *held = &a->view.slots[slot];

        for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
            if (held->budget_window[kind] != BUDGET_NOT_ENTERED)
                budget_leave(budget_at(a->region, held->budget_idx[kind]), held->amount_ucr,
                             held->budget_window[kind]);
        if (!account_change(account_at(a->region, held->account_idx), held->amount_ucr))
            die("overflow", -EOVERFLOW);
        hold_view_free(&a->view, slot);
    }
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* The median of many short batches: whoever else runs on the machine is in few of them. */
static double
time_admissions(struct admission *a, uint32_t calls)
{
    static char text[BATCH][KEY_TEXT_LEN + 1];
    static double batch_ns[BATCHES_MAX];
    int64_t wall_us = clock_wall_us();
    uint32_t batches = MIN(calls / BATCH + 1, (uint32_t)BATCHES_MAX);

    for (uint32_t b = 0; b < batches; b++) {
        uint64_t start_ns;

        for (unsigned i = 0; i < BATCH; i++)
            secret_text((uint32_t)(draw(a) % a->keys) + 1, text[i]);
        start_ns = clock_mono_ns();
        for (unsigned i = 0; i < BATCH; i++)
            admit(a, text[i], wall_us, start_ns);
        batch_ns[b] = (double)(clock_mono_ns() - start_ns) / BATCH;
        give_back(a);
    }
    qsort(batch_ns, batches, sizeof(batch_ns[0]), compare_doubles);
    return batch_ns[batches / 2];
}

/* Each page of the region is mapped by a fault when a process first comes by: that is over in a server
 * that has run for a while, and no part of what is measured. */
static void
touch(const struct region *region)
{
    for (int part = 0; part < REGION_PART_COUNT; part++) {
        uint64_t ready = atomic_load(&region->header->part_ready[part]);
        volatile _Atomic uint8_t *bytes = region_part(region, (enum region_part)part);

        for (uint64_t at = 0; part != REGION_TABLES && at < ready; at += 4096)
            atomic_fetch_or_explicit(&bytes[at], 0, memory_order_relaxed);
    }
}

static double
admissions(struct region *region, uint32_t keys, uint32_t calls)
{
    struct admission a = {.region = region, .keys = keys, .draw = 88172645463325252u};
    double admit_ns;

    touch(region);
    atomic_store(&region->header->table[0].state, TABLE_LIVE);
    must(hold_table_open(region, 0, &a.table), "no hold table");
    if (!hold_view_open(region, 0, &a.view))
        die("no hold table", -ENOENT);
    admit_ns = time_admissions(&a, calls);
    hold_table_close(&a.table);
    atomic_store(&region->header->table[0].state, TABLE_FREE);
    return admit_ns;
}

/* ---- pages ---- */

static double
time_page(struct ledger *ledger, const char *request)
{
    uint64_t start_ns, ns = 0;

    for (int i = 0; i < PAGES; i++) {
        struct buf answer;

        buf_init(&answer, COMMAND_ANSWER_BYTES_MAX);
        start_ns = clock_mono_ns();
        must(command_run(ledger, str_from(request), "bench", &answer), "a page failed");
        ns += clock_mono_ns() - start_ns;
        if (answer.len < 11 || memcmp(answer.ptr, "{\"ok\":true", 10) != 0)
            die(answer.ptr, -EINVAL);
        buf_free(&answer);
    }
    return (double)ns / 1000 / PAGES;
}

static void
pages(struct ledger *ledger, struct figures *f)
{
    char request[160];
    uint32_t tenants = ledger->tail.tenant_last;

    f->page_first_us =
        time_page(ledger, "{\"cmd\":\"tenant.list\",\"args\":{\"limit\":50}}");
    snprintf(request, sizeof(request),
             "{\"cmd\":\"tenant.list\",\"args\":{\"limit\":50,\"after\":\"%u\"}}", tenants - 60);
    f->page_last_us = time_page(ledger, request);
    snprintf(request, sizeof(request),
             "{\"cmd\":\"tenant.list\",\"args\":{\"limit\":50,\"q\":\"%u\"}}", tenants / 100);
    f->page_find_us = time_page(ledger, request);
}

/* ---- all of it ---- */

static double
seconds_since(uint64_t start_us)
{
    return (double)(clock_mono_us() - start_us) / 1e6;
}

/* Of this thread: what it would take where nobody else runs, but for the disk. */
static double
cpu_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint64_t
file_bytes(const char *dir, const char *name)
{
    char path[4096];
    struct stat st;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

static void
remove_dir(const char *dir)
{
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    char path[4096];

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

static void
run(const char *dir, uint32_t tenants, const struct options *options, struct figures *f)
{
    char region_path[] = "/dev/shm/turnpike-scale-XXXXXX";
    struct region *region;
    struct ledger *ledger;
    struct rusage usage;
    uint64_t start_us;
    double cpu;

    if (mkdtemp(region_path) == NULL)
        die("no folder in /dev/shm", 0);
    region = new_region(region_path);
    ledger = open_ledger(region, dir);
    make_store(ledger, tenants);
    ledger_close(&ledger);
    region_detach(region);
    region_remove(region_path);
    if (mkdir(region_path, 0700) < 0 && errno != EEXIST)
        die("no folder in /dev/shm", 0);
    region = new_region(region_path);
    if (options->make_only)
        goto out;
    cpu = cpu_s();
    start_us = clock_mono_us();
    ledger = open_ledger(region, dir);
    f->fresh_s = seconds_since(start_us);
    f->fresh_cpu_s = cpu_s() - cpu;
    ledger_close(&ledger);
    region_detach(region);
    must(region_adopt(region_path, &region), "the memory file is not adopted");
    cpu = cpu_s();
    start_us = clock_mono_us();
    ledger = open_ledger(region, dir);
    f->adopted_s = seconds_since(start_us);
    f->adopted_cpu_s = cpu_s() - cpu;
    f->region_bytes = file_bytes(region_path, "region");
    f->store_bytes = file_bytes(dir, "data.mdb");
    f->admit_ns = admissions(region, ledger->tail.key_last, options->calls);
    pages(ledger, f);
    getrusage(RUSAGE_SELF, &usage);
    f->peak_kb = (uint64_t)usage.ru_maxrss;
    ledger_close(&ledger);
out:
    region_detach(region);
    region_remove(region_path);
    rmdir(region_path);
}

static void
show(const char *name, const struct figures *f, const char *end)
{
    printf("  \"%s\": {\"start_fresh_s\": %.2f, \"cpu_s\": %.2f, \"start_adopted_s\": %.2f, \"adopted_cpu_s\": %.2f, \"region_mb\": %.1f, "
           "\"store_mb\": %.1f, \"admit_ns\": %.0f, \"page_first_us\": %.0f, "
           "\"page_last_us\": %.0f, \"page_find_us\": %.0f}%s\n",
           name, f->fresh_s, f->fresh_cpu_s, f->adopted_s, f->adopted_cpu_s, (double)f->region_bytes / (1 << 20),
           (double)f->store_bytes / (1 << 20), f->admit_ns, f->page_first_us, f->page_last_us,
           f->page_find_us, end);
}

static void
read_options(int argc, char **argv, struct options *options)
{
    uint64_t n;
    int c;

    while ((c = getopt(argc, argv, "t:d:mn:")) != -1) {
        if (c == 't' && str_to_count(str_from(optarg), UINT32_MAX, &n) && n > 100)
            options->tenants = (uint32_t)n;
        else if (c == 'n' && str_to_count(str_from(optarg), UINT32_MAX, &n) && n > 0)
            options->calls = (uint32_t)n;
        else if (c == 'd')
            options->dir = optarg;
        else if (c == 'm')
            options->make_only = true;
        else {
            fprintf(stderr, "usage: bench-scale [-t TENANTS] [-d DIR] [-m] [-n CALLS]\n");
            exit(2);
        }
    }
}

int
main(int argc, char **argv)
{
    struct options options = {.tenants = 1000000, .calls = 900000};
    char made[] = "/tmp/turnpike-scale-XXXXXX", few[4096];
    struct figures small = {0}, large = {0};

    hash_start();
    log_setup(&(struct log_setup){.process = "bench", .level_max = LOG_LEVEL_ERROR});
    read_options(argc, argv, &options);
    if (options.dir == NULL && mkdtemp(made) == NULL)
        die("no folder in /tmp", 0);
    snprintf(few, sizeof(few), "%s.few", options.dir != NULL ? options.dir : made);
    run(few, FEW, &options, &small);
    run(options.dir != NULL ? options.dir : made, options.tenants, &options, &large);
    remove_dir(few);
    if (options.dir == NULL)
        remove_dir(made);
    if (options.make_only)
        return 0;
    printf("{\n  \"tenants\": %u,\n", options.tenants);
    show("thousand", &small, ",");
    show("all", &large, ",");
    printf("  \"admission_ratio\": %.2f\n}\n", large.admit_ns / small.admit_ns);
    return 0;
}

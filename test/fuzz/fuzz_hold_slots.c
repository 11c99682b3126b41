/*
 * Hold slots as found in an adopted memory file: any bytes in slots, records and doorbells of a worker
 * that died. The ledger opens, sweeps, commits and audits; a new memory file after that balances.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "ledger/command.h"
#include "ledger/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerInitialize(int *argc, char ***argv);

static const struct region_geometry geometry = {
    .account_max = 16, .budget_max = 16, .quota_max = 16, .key_max = 1024, .key_extra_max = 16, .name_max = 64,
    .health_max = 8, .idem_max = 64, .table_max = 2, .slot_max = 64,
};
static char dir[] = "/dev/shm/turnpike-fuzz-XXXXXX";
static char region_path[64], store_path[64];

static int64_t
wall(void *arg)
{
    (void)arg;
    return INT64_C(1795000000000000);
}

static uint64_t
mono(void *arg)
{
    static uint64_t us;

    (void)arg;
    return us += 1000;
}

static void
wait_a_bit(void *arg, uint32_t us)
{
    (void)arg, (void)us;
}

static bool
nobody_lives(void *arg, uint32_t table_idx)
{
    (void)arg, (void)table_idx;
    return false;
}

static struct ledger *
open_ledger(struct region *region)
{
    struct ledger_open setup = {
        .region = region,
        .store_path = store_path,
        .map_bytes = 64u << 20,
        .host = {.wall_us = wall, .mono_us = mono, .pause = wait_a_bit, .table_lives = nobody_lives},
    };
    struct ledger *ledger;

    if (ledger_open(&setup, &ledger) != 0)
        abort();
    return ledger;
}

static void
ask(struct ledger *ledger, const char *request, bool ok)
{
    struct buf answer;

    buf_init(&answer, 1 << 24);
    if (command_run(ledger, str_from(request), "uid 0", &answer) != 0)
        abort();
    if (ok && !str_contains(buf_str(&answer), STR("\"result\":{\"ok\":true")))
        abort();
    buf_free(&answer);
}

static void
remove_all(void)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/data.mdb", store_path);
    (void)unlink(path);
    snprintf(path, sizeof(path), "%s/lock.mdb", store_path);
    (void)unlink(path);
    (void)rmdir(store_path);
    (void)region_remove(region_path);
}

static void
clean_up(void)
{
    remove_all();
    (void)rmdir(dir);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct log_setup quiet = {.process = "fuzz", .level_max = LOG_LEVEL_ERROR};

    (void)argc, (void)argv;
    log_setup(&quiet);
    if (mkdtemp(dir) == NULL)
        abort();
    snprintf(region_path, sizeof(region_path), "%s", dir);
    snprintf(store_path, sizeof(store_path), "%s/store", dir);
    atexit(clean_up);
    return 0;
}

static struct region *
new_region(void)
{
    struct region *region;

    if (region_create(region_path, &geometry, &region) != 0)
        abort();
    return region;
}

/* The bytes over the table: slots one after another, then records, then the doorbell. */
static void
fill(struct region *region, const uint8_t *bytes, size_t len)
{
    struct hold_view view;
    size_t slots, records;

    if (region_table_ensure(region, 0) != 0 || !hold_view_open(region, 0, &view))
        abort();
    slots = MIN(len, view.slot_max * sizeof(struct hold_slot));
    memcpy(view.slots, bytes, slots);
    for (uint32_t s = 0; s < view.slot_max; s++) {
        uint64_t word = atomic_load_explicit(&view.slots[s].state, memory_order_relaxed);

        /* Most of what chance writes is no state at all. */
        atomic_store_explicit(&view.slots[s].state, (word >> 56) % 5 << 56 | (word & 3),
                              memory_order_relaxed);
    }
    records = MIN(len - slots, view.slot_max * sizeof(struct record));
    memcpy(view.records, bytes + slots, records);
    memcpy(view.ring, bytes, MIN(len, sizeof(*view.ring)));
    atomic_store_explicit(&region->header->table[0].state, TABLE_LIVE, memory_order_release);
}

int
LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct region *region = new_region();
    struct ledger *ledger = open_ledger(region);

    ask(ledger, "{\"cmd\":\"tenant.add\",\"args\":{\"name\":\"a\",\"credit\":\"9\",\"budget\":\"5\"}}",
        false);
    ledger_close(&ledger);
    fill(region, bytes, len);
    ledger = open_ledger(region);
    for (int i = 0; i < 2; i++)
        if (ledger_commit_all(ledger) != 0 || recount_dead_tables(ledger) != 0)
            abort();
    ask(ledger, "{\"cmd\":\"audit\"}", false);
    ledger_close(&ledger);
    region_detach(region);
    (void)region_remove(region_path);
    region = new_region();
    ledger = open_ledger(region);
    ask(ledger, "{\"cmd\":\"audit\"}", true);
    ledger_close(&ledger);
    region_detach(region);
    remove_all();
    return 0;
}

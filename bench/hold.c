/*
 * What a hold and its settlement cost, against one compare-and-swap.
 *
 *     bench-hold [-n HOLDS] [-c CONTENDED] [-r ROUNDS]
 *
 * First alone, in interleaved rounds of which the medians count: a compare-and-swap on a line of
 * its own, then hold_take() and hold_settle() without a budget and with all four. What the ledger
 * process would do (give the slots back, empty the ring) is done between the timed parts, as
 * another process would do it on another core; the record of the call is zeroed by hold_take() and
 * so within what is timed.
 *
 * Then two processes on one tenant, CONTENDED holds each (50 million: 100 million in all), each of
 * them giving back itself what a ledger process would, so that the one word that they share sees
 * nothing but compare-and-swaps. At the end not one micro-credit may be missing. -c 0 leaves it
 * out.
 *
 * Exit 1 when an update was lost.
 */
#include "base/base.h"
#include "base/clock.h"
#include "shm/account.h"
#include "shm/budget.h"
#include "shm/hold.h"
#include "shm/region.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS_MAX 101
#define BATCH 200 /* holds between two commits: 10,000 a second, every 20 ms */
#define DEPOSIT_UCR INT64_C(1000000000000)
#define AMOUNT_UCR 1000

struct options {
    uint64_t holds, contended;
    unsigned rounds;
};

struct result {
    double cas_ns, plain_ns, budgets_ns;
};

struct bench {
    struct region *region;
    uint32_t account_idx;
    uint32_t budget_idx[BUDGET_KIND_COUNT];
    int64_t wall_us;
};

static void
die(const char *what)
{
    fprintf(stderr, "bench-hold: %s\n", what);
    exit(1);
}

static void
bench_open(struct bench *bench, const char *dir)
{
    const struct region_geometry geometry = {
        .account_max = 16,
        .budget_max = 16,
        .quota_max = 16,
        .key_max = 16,
        .key_extra_max = 16,
        .name_max = 64,
        .health_max = 16,
        .idem_max = 64,
        .table_max = 2,
        .slot_max = 4096,
    };

    if (region_create(dir, &geometry, &bench->region) < 0)
        die("no memory file in /dev/shm");
    if (region_table_ensure(bench->region, 0) < 0 || region_table_ensure(bench->region, 1) < 0 ||
        account_add(bench->region, 1, &bench->account_idx) < 0)
        die("no memory");
    account_publish(account_at(bench->region, bench->account_idx), DEPOSIT_UCR);
    for (uint32_t kind = 0; kind < BUDGET_KIND_COUNT; kind++) {
        if (budget_add(bench->region, (enum budget_kind)kind, kind, BUDGET_DAY, BUDGET_SPENT_MAX,
                       &bench->budget_idx[kind]) < 0)
            die("no memory");
        budget_publish(budget_at(bench->region, bench->budget_idx[kind]), 0, 0);
    }
    bench->wall_us = clock_wall_us();
}

static struct hold_ask
bench_ask(const struct bench *bench, bool budgets)
{
    struct hold_ask ask = {
        .account_idx = bench->account_idx,
        .account_generation = 1,
        .amount_ucr = AMOUNT_UCR,
        .wall_us = bench->wall_us,
    };

    if (budgets)
        memcpy(ask.budget_idx, bench->budget_idx, sizeof(ask.budget_idx));
    return ask;
}

/* What the ledger process does with a settled slot, but for the journal. */
static void
give_back(struct bench *bench, struct hold_view *view, uint32_t slot)
{
    const struct hold_slot *held = &view->slots[slot];
    int64_t unused_ucr = held->amount_ucr - held->charge_ucr;

    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++)
        if (held->budget_window[kind] != BUDGET_NOT_ENTERED)
            budget_leave(budget_at(bench->region, held->budget_idx[kind]), unused_ucr,
                         held->budget_window[kind]);
    if (!account_change(account_at(bench->region, bench->account_idx), unused_ucr))
        die("overflow");
    hold_view_free(view, slot);
}

static void
give_back_all(struct bench *bench, struct hold_view *view)
{
    uint32_t slot;

    while (hold_view_next(view, &slot))
        give_back(bench, view, slot);
}

/* ---- alone ---- */

static double
time_cas(uint64_t count)
{
    static _Alignas(CACHE_LINE) _Atomic uint64_t word;
    uint64_t start_ns = clock_mono_ns();

    for (uint64_t i = 0; i < count; i++) {
        uint64_t seen = atomic_load_explicit(&word, memory_order_relaxed);

        while (!atomic_compare_exchange_weak_explicit(&word, &seen, seen + 1, memory_order_acq_rel,
                                                      memory_order_acquire))
            ;
    }
    return (double)(clock_mono_ns() - start_ns) / (double)count;
}

static double
time_holds(struct bench *bench, struct hold_table *table, struct hold_view *view, uint64_t count,
           bool budgets)
{
    struct hold_ask ask = bench_ask(bench, budgets);
    uint64_t timed_ns = 0;

    for (uint64_t done = 0; done < count; done += BATCH) {
        uint64_t start_ns = clock_mono_ns();

        for (unsigned i = 0; i < BATCH; i++) {
            uint32_t slot;

            if (hold_take(table, &ask, &slot) != HOLD_OK)
                die("a hold was refused");
            if (hold_settle(table, slot, 0))
                die("the ledger sleeps?");
        }
        timed_ns += clock_mono_ns() - start_ns;
        give_back_all(bench, view);
    }
    return (double)timed_ns / (double)((count + BATCH - 1) / BATCH * BATCH);
}

static int
compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double
median(double *values, unsigned count)
{
    qsort(values, count, sizeof(*values), compare_doubles);
    return values[count / 2];
}

static struct result
run_alone(struct bench *bench, const struct options *options)
{
    static double cas[ROUNDS_MAX], plain[ROUNDS_MAX], budgets[ROUNDS_MAX];
    struct hold_table table;
    struct hold_view view;

    if (hold_table_open(bench->region, 0, &table) < 0 || !hold_view_open(bench->region, 0, &view))
        die("no table");
    (void)time_holds(bench, &table, &view, 4 * BATCH, true); /* touches the pages */
    for (unsigned round = 0; round < options->rounds; round++) {
        cas[round] = time_cas(options->holds);
        plain[round] = time_holds(bench, &table, &view, options->holds, false);
        budgets[round] = time_holds(bench, &table, &view, options->holds, true);
    }
    hold_table_close(&table);
    return (struct result){median(cas, options->rounds), median(plain, options->rounds),
                           median(budgets, options->rounds)};
}

/* ---- two processes on one tenant ---- */

/* Each charges one micro-credit of each of its holds, so that losing any is seen in the sum. */
static void
contend(struct bench *bench, uint32_t table_idx, uint64_t count)
{
    struct hold_ask ask = bench_ask(bench, true);
    struct hold_table table;
    struct hold_view view;

    if (hold_table_open(bench->region, table_idx, &table) < 0 ||
        !hold_view_open(bench->region, table_idx, &view))
        die("no table");
    for (uint64_t i = 0; i < count; i++) {
        uint32_t slot;

        if (hold_take(&table, &ask, &slot) != HOLD_OK)
            die("a hold was refused");
        (void)!hold_settle(&table, slot, 1);
        give_back_all(bench, &view);
    }
    hold_table_close(&table);
}

static bool
run_contended(struct bench *bench, uint64_t count)
{
    int64_t before_ucr = account_available_ucr(account_at(bench->region, bench->account_idx));
    uint64_t start_ns = clock_mono_ns();
    bool right = true;
    int64_t gone_ucr;

    for (uint32_t child = 0; child < 2; child++) {
        pid_t pid = fork();

        if (pid < 0)
            die("fork failed");
        if (pid == 0) {
            contend(bench, child, count);
            _exit(0);
        }
    }
    for (int child = 0; child < 2; child++) {
        int status = 1;

        if (wait(&status) < 0 || status != 0)
            right = false;
    }
    gone_ucr = before_ucr - account_available_ucr(account_at(bench->region, bench->account_idx));
    printf("contended: %" PRIu64
           " holds by two processes on one tenant, four budgets, %.1f ns each\n",
           2 * count, (double)(clock_mono_ns() - start_ns) / (double)count);
    printf("contended: charged %" PRIu64 ", gone from the account %" PRId64 "\n", 2 * count,
           gone_ucr);
    for (int kind = 0; kind < BUDGET_KIND_COUNT; kind++) {
        uint64_t word = atomic_load_explicit(
            &budget_at(bench->region, bench->budget_idx[kind])->word, memory_order_relaxed);

        right = right && budget_word_spent_ucr(word) == (int64_t)(2 * count);
    }
    return right && gone_ucr == (int64_t)(2 * count);
}

static struct options
read_options(int argc, char **argv)
{
    struct options options = {.holds = 1000000, .contended = 50000000, .rounds = 9};
    int c;

    while ((c = getopt(argc, argv, "n:c:r:")) != -1) {
        uint64_t n = optarg == NULL ? 0 : strtoull(optarg, NULL, 10);

        if (c == 'n' && n > 0)
            options.holds = n;
        else if (c == 'c')
            options.contended = n;
        else if (c == 'r' && n > 0 && n <= ROUNDS_MAX)
            options.rounds = (unsigned)n;
        else
            die("usage: bench-hold [-n HOLDS] [-c CONTENDED] [-r ROUNDS]");
    }
    return options;
}

int
main(int argc, char **argv)
{
    struct options options = read_options(argc, argv);
    char dir[] = "/dev/shm/turnpike-bench-XXXXXX";
    struct bench bench = {0};
    struct result result;
    bool right = true;

    if (mkdtemp(dir) == NULL)
        die("no directory in /dev/shm");
    bench_open(&bench, dir);
    (void)region_remove(dir); /* the mapping stays */
    (void)rmdir(dir);
    result = run_alone(&bench, &options);
    printf("one compare-and-swap on an own line:  %7.1f ns\n", result.cas_ns);
    printf("hold + settle, no budget:             %7.1f ns, ratio %.2f\n", result.plain_ns,
           result.plain_ns / result.cas_ns);
    printf("hold + settle, four budgets:          %7.1f ns, ratio %.2f\n", result.budgets_ns,
           result.budgets_ns / result.cas_ns);
    if (options.contended > 0)
        right = run_contended(&bench, options.contended);
    printf("%s\n", right ? "ok: no update was lost" : "FAILED: updates were lost");
    region_detach(bench.region);
    return right ? 0 : 1;
}

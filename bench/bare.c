/*
 * turnpike without its till: the same program, in which authentication, limits' and holds' words,
 * settling, usage and records cost nothing, because the functions that do it are replaced here by
 * ones that do not. The linker takes these before those of the archives. What is left is a proxy;
 * the difference to the real program is what governance, metering and records cost together.
 *
 *     bench-bare serve …      as turnpike serve; takes any key, once one key was made
 *
 * For bench/run governance only: it serves for nothing and keeps no books.
 */
#include <string.h>

#include "cli/cli.h"
#include "master/serve.h"
#include "proto/answer.h"
#include "shm/account.h"
#include "shm/hold.h"
#include "worker/auth.h"
#include "worker/settle.h"

#define BARE_SLOTS 65536u

static struct record bare_record;
static uint32_t bare_next;

/* ---- worker/auth.c ---- */

bool
auth_check(struct client *client, const struct h1_head *head, struct auth *auth,
           struct proto_error *error)
{
    struct region *region = client->worker->region;

    (void)head;
    if (atomic_load_explicit(&region->header->key_count, memory_order_acquire) == 0) {
        error_set(error, ERROR_UNAUTHENTICATED, NULL, NULL, "no key was made yet");
        return false;
    }
    auth->key_idx = 1;
    auth->key = key_at(region, 1);
    auth->account = account_at(region, 1);
    auth->extra = NULL;
    return true;
}

bool
auth_may_call(struct client *client, const struct auth *auth, struct proto_error *error)
{
    (void)client;
    (void)auth;
    (void)error;
    return true;
}

/* ---- shm/hold.c, the worker's side ---- */

const char *const hold_result_name[HOLD_RESULT_COUNT] = {[HOLD_OK] = "ok"};

int
hold_table_open(struct region *region, uint32_t table_idx, struct hold_table *out)
{
    memset(out, 0, sizeof(*out));
    out->region = region;
    out->table_idx = table_idx;
    return 0;
}

void
hold_table_close(struct hold_table *table)
{
    (void)table;
}

enum hold_result
hold_take(struct hold_table *table, struct hold_ask *ask, uint32_t *slot)
{
    (void)table;
    (void)ask;
    *slot = bare_next++ % BARE_SLOTS;
    return HOLD_OK;
}

void
hold_ask_again(const struct hold_table *table, uint32_t slot, struct hold_ask *ask)
{
    (void)table;
    (void)slot;
    (void)ask;
}

void
hold_foresee(const struct hold_table *table, uint32_t slot)
{
    (void)table;
    (void)slot;
}

struct record *
hold_record(const struct hold_table *table, uint32_t slot)
{
    (void)table;
    (void)slot;
    return &bare_record;
}

int64_t
hold_amount_ucr(const struct hold_table *table, uint32_t slot)
{
    (void)table;
    (void)slot;
    return ACCOUNT_UCR_MAX;
}

void
hold_progress(struct hold_table *table, uint32_t slot, int64_t progress_ucr)
{
    (void)table;
    (void)slot;
    (void)progress_ucr;
}

void
hold_progress_of(struct hold_table *table, uint32_t slot, int64_t progress_ucr,
                 const struct record_tally *tally)
{
    (void)table;
    (void)slot;
    (void)progress_ucr;
    (void)tally;
}

void
hold_tally(struct hold_table *table, uint32_t slot, int64_t charge_ucr,
           const struct record_tally *tally)
{
    (void)table;
    (void)slot;
    (void)charge_ucr;
    (void)tally;
}

int64_t
hold_progress_ucr(const struct hold_table *table, uint32_t slot)
{
    (void)table;
    (void)slot;
    return 0;
}

bool
hold_settle(struct hold_table *table, uint32_t slot, int64_t charge_ucr)
{
    (void)table;
    (void)slot;
    (void)charge_ucr;
    return false;
}

bool
hold_announce(struct hold_table *table, uint32_t slot)
{
    (void)table;
    (void)slot;
    return false;
}

uint64_t
hold_generation(const struct hold_table *table, uint32_t slot)
{
    (void)table;
    (void)slot;
    return 0;
}

bool
hold_committed(const struct hold_table *table, uint32_t slot, uint64_t generation)
{
    (void)table;
    (void)slot;
    (void)generation;
    return true;
}

bool
hold_announced(const struct hold_table *table, uint32_t slot)
{
    (void)table;
    (void)slot;
    return true;
}

/* ---- worker/settle.c ---- */

void
settle_begin(struct call *call)
{
    (void)call;
}

void
settle_candidate(struct call *call)
{
    (void)call;
}

struct price_count
settle_estimate(const struct call *call, uint64_t output_tokens)
{
    (void)call;
    (void)output_tokens;
    return (struct price_count){.n = {0}};
}

struct price_count
settle_count(const struct usage *usage)
{
    (void)usage;
    return (struct price_count){.n = {0}};
}

void
settle_keep_open(struct call *call)
{
    (void)call;
}

struct price_count
settle_claimed(struct call *call)
{
    (void)call;
    return (struct price_count){.n = {0}};
}

struct price_count
settle_so_far(struct call *call)
{
    (void)call;
    return (struct price_count){.n = {0}};
}

void
settle_cap_input(struct price_count *count, uint64_t input_max)
{
    (void)count;
    (void)input_max;
}

void
settle_cap_output(struct price_count *count, uint64_t output_max)
{
    (void)count;
    (void)output_max;
}

uint64_t
settle_input(const struct usage *usage)
{
    (void)usage;
    return 0;
}

uint64_t
settle_input_bound(const struct call *call)
{
    (void)call;
    return UINT64_MAX;
}

bool
settle_hosts_tools(const struct call *call)
{
    (void)call;
    return false;
}

int64_t
settle_cost(const struct call *call, const struct price_count *count)
{
    (void)call;
    (void)count;
    return 0;
}

enum hold_result
settle_extend(struct call *call, int64_t missing_ucr, bool announce)
{
    (void)call;
    (void)missing_ucr;
    (void)announce;
    return HOLD_OK;
}

struct record_tally
settle_tally(const struct call *call, const struct price_count *count)
{
    (void)call;
    (void)count;
    return (struct record_tally){.model = 0};
}

struct usage
settle_judge(const struct call *call, struct usage usage)
{
    (void)call;
    return usage;
}

enum settle_paid
settle_progress(struct call *call, const struct price_count *count)
{
    (void)call;
    (void)count;
    return SETTLE_PAID;
}

void
settle_progress_end(struct call *call, const struct price_count *count)
{
    (void)call;
    (void)count;
}

bool
settle_durable(const struct call *call)
{
    (void)call;
    return true;
}

bool
settle_committed(const struct call *call)
{
    (void)call;
    return true;
}

int64_t
settle_call(struct call *call, const struct settle_end *end)
{
    (void)end;
    call->held = false;
    return 0;
}

void
settle_skipped(struct call *call, uint8_t candidate)
{
    (void)call;
    (void)candidate;
}

void
settle_attempt(struct call *call, enum record_reason reason, unsigned status)
{
    (void)call;
    (void)reason;
    (void)status;
}

int
main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "serve") == 0)
        return serve_main(argc - 1, argv + 1);
    return cli_main(argc, argv);
}

/* link: -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc */
/*
 * What it costs to choose where a call goes.
 *
 *     bench-route [-n CHOICES] [-r ROUNDS] [--json]
 *
 * Fifty upstreams serve one model in one channel, of mixed weights and health, as a worker has it in
 * its snapshot; then one of ten of them is down; then they are in two channels of the key's; then each
 * serves a model of its own and an auto name chooses among these. Rounds of all kinds in turns, of whose
 * CPU time the medians count. Choosing must not allocate: exit 1 when it did.
 */
#include "base/base.h"
#include "base/buf.h"
#include "base/rng.h"
#include "base/str.h"
#include "route/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define UPSTREAMS 50u
#define ROUNDS_MAX 101u

void *__real_malloc(size_t len);
void *__real_calloc(size_t count, size_t len);
void *__real_realloc(void *ptr, size_t len);
void *__wrap_malloc(size_t len);
void *__wrap_calloc(size_t count, size_t len);
void *__wrap_realloc(void *ptr, size_t len);

static uint64_t allocations;

void *
__wrap_malloc(size_t len)
{
    allocations++;
    return __real_malloc(len);
}

void *
__wrap_calloc(size_t count, size_t len)
{
    allocations++;
    return __real_calloc(count, len);
}

void *
__wrap_realloc(void *ptr, size_t len)
{
    allocations++;
    return __real_realloc(ptr, len);
}

enum kind { ALL_WELL = 0, SOME_DOWN, TWO_CHANNELS, AUTO, KIND_COUNT };
static const char *const kind_name[] = {
    [ALL_WELL] = "one-channel",
    [SOME_DOWN] = "some-down",
    [TWO_CHANNELS] = "two-channels",
    [AUTO] = "auto",
};
_Static_assert(COUNT_OF(kind_name) == KIND_COUNT, "a new kind needs a name");

struct bench {
    struct route_table *table;
    struct route_health well[UPSTREAMS], some_down[UPSTREAMS];
    uint64_t rng;
    uint64_t allocations;
    double ns[KIND_COUNT][ROUNDS_MAX];
};

static void
add_channel(struct buf *text, const char *name, unsigned from, unsigned to)
{
    buf_add_fmt(text, "channel \"%s\" { public = true  use = {", name);
    for (unsigned i = from; i < to; i++)
        buf_add_fmt(text, "%s\"u%u\"", i > from ? ", " : "", i);
    buf_add_fmt(text, "}  weights = {");
    for (unsigned i = from; i < to; i++)
        buf_add_fmt(text, "%s\"u%u=%u\"", i > from ? ", " : "", i, 1 + i % 4);
    buf_add_fmt(text, "} }\n");
}

static void
bench_open(struct bench *bench)
{
    struct conf_faults faults;
    struct conf *conf;
    struct buf text;

    buf_init(&text, 1u << 20);
    for (unsigned i = 0; i < UPSTREAMS; i++) {
        buf_add_fmt(&text,
                    "upstream \"u%u\" { protocol = {openai} url = \"https://u%u.test/v1\"\n"
                    "    models = {\"model\", \"auto-%u\"} }\n"
                    "model \"auto-%u\" { input = %u output = %u quality = %u }\n",
                    i, i, i, i, 1 + i, 2 + i, 50 + i);
    }
    buf_add_fmt(&text, "model \"model\" { input = 1 output = 2 }\n");
    add_channel(&text, "one", 0, UPSTREAMS);
    add_channel(&text, "low", 0, UPSTREAMS / 2);
    add_channel(&text, "high", UPSTREAMS / 2, UPSTREAMS);
    buf_add_fmt(&text, "auto \"auto\" { models = {\"auto-*\"} }\n");
    conf = conf_load_text(buf_str(&text), "bench", &faults);
    for (size_t i = 0; i < faults.count && conf == NULL; i++)
        fprintf(stderr, "bench-route: %u: %s\n", faults.at[i].line, faults.at[i].message);
    if (conf == NULL || (bench->table = route_table_make(conf)) == NULL)
        exit(1);
    buf_free(&text);
    conf_faults_free(&faults);
    for (unsigned i = 0; i < UPSTREAMS; i++) {
        bench->well[i] = (struct route_health){
            .latency_us = 200000 + (uint32_t)(rng_next(&bench->rng) % 800000),
            .us_per_token = 5000 + (uint32_t)(rng_next(&bench->rng) % 20000),
            .error_ppm = (uint32_t)(rng_next(&bench->rng) % 100000),
            .load_ppm = (uint32_t)(rng_next(&bench->rng) % 1000000),
            .used_ppm = (uint32_t)(rng_next(&bench->rng) % 1000000)};
        bench->some_down[i] = bench->well[i];
        bench->some_down[i].down = i % 10 == 3;
    }
}

static struct route_ask
ask_for(struct bench *bench, enum kind kind)
{
    static const uint16_t one[] = {0}, two[] = {1, 2};

    return (struct route_ask){
        .model = kind == AUTO ? STR("auto") : STR("model"),
        .protocol = CONF_OPENAI,
        .channels = kind == TWO_CHANNELS ? two : one,
        .channel_count = kind == TWO_CHANNELS ? COUNT_OF(two) : COUNT_OF(one),
        .channel_named = STR_NONE,
        .project = STR_NONE,
        .key_name = STR_NONE,
        .health = kind == SOME_DOWN ? bench->some_down : bench->well,
        .rng_state = &bench->rng,
    };
}

/* Not the clock's: others want the core as well. */
static uint64_t
cpu_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double
measure(struct bench *bench, enum kind kind, uint64_t choices)
{
    struct route_ask ask = ask_for(bench, kind);
    uint64_t before = allocations, begin = cpu_ns();
    struct route_plan plan;

    for (uint64_t i = 0; i < choices; i++) {
        if (route_choose(bench->table, &ask, &plan) != ROUTE_OK) {
            fprintf(stderr, "bench-route: %s: no choice\n", kind_name[kind]);
            exit(1);
        }
        __asm__ volatile("" : : "g"(&plan) : "memory"); /* somebody may want it */
    }
    begin = cpu_ns() - begin;
    bench->allocations += allocations - before;
    return (double)begin / (double)choices;
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static uint64_t
number(const char *text, uint64_t max)
{
    uint64_t n;

    if (text == NULL || !str_to_count(str_from(text), max, &n) || n == 0) {
        fprintf(stderr, "bench-route: a number must follow\n");
        exit(2);
    }
    return n;
}

int
main(int argc, char **argv)
{
    static struct bench bench = {.rng = 4711};
    uint64_t choices = 100000, rounds = 9;
    bool json = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-n") == 0)
            choices = number(argv[++i], UINT32_MAX);
        else if (strcmp(argv[i], "-r") == 0)
            rounds = number(argv[++i], ROUNDS_MAX);
        else if (strcmp(argv[i], "--json") == 0)
            json = true;
        else
            return fprintf(stderr, "usage: bench-route [-n CHOICES] [-r ROUNDS] [--json]\n"), 2;
    }
    bench_open(&bench);
    for (uint64_t r = 0; r < rounds; r++)
        for (unsigned kind = 0; kind < KIND_COUNT; kind++)
            bench.ns[kind][r] = measure(&bench, (enum kind)kind, choices);
    printf(json ? "{" : "ns a choice among %u candidates\n", UPSTREAMS);
    for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
        qsort(bench.ns[kind], rounds, sizeof(double), by_value);
        printf(json ? "\"%s\":%.1f," : "%-14s %8.1f\n", kind_name[kind], bench.ns[kind][rounds / 2]);
    }
    printf(json ? "\"allocations\":%llu}\n" : "allocations    %6llu\n",
           (unsigned long long)bench.allocations);
    return bench.allocations > 0;
}

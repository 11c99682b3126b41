#include "cli/bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/jw.h"
#include "base/str.h"
#include "cli/decimal.h"

static const struct {
    const char *head, *name;
    size_t off; /* of the histogram in struct bench_result */
} rows[] = {
    {"first byte", "first_byte_us", offsetof(struct bench_result, first_byte)},
    {"first chunk", "first_chunk_us", offsetof(struct bench_result, first_chunk)},
    {"gap", "gap_us", offsetof(struct bench_result, gap)},
    {"total", "total_us", offsetof(struct bench_result, total)},
};

static const struct {
    const char *name;
    double share;
} quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}};

static const struct hist *
hist_of(const struct bench_result *result, size_t row)
{
    return (const struct hist *)((const char *)result + rows[row].off);
}

/* So many in the time that it took, in thousandths a second. */
static uint64_t
per_1000_s(const struct bench_result *result, uint64_t count)
{
    return (uint64_t)((unsigned __int128)count * 1000000000 / MAX(result->elapsed_us, 1u));
}

/* "12 us", "1.23 ms", "12.3 s": three digits are what it is good for. */
static const char *
time_text(uint64_t ns, char out[32])
{
    static const struct {
        uint64_t ns;
        const char *unit;
    } units[] = {{1000000000, "s"}, {1000000, "ms"}, {1000, "us"}};
    size_t i = 0;
    uint64_t whole, part;

    while (i + 1 < COUNT_OF(units) && ns < units[i].ns)
        i++;
    whole = ns / units[i].ns;
    part = ns % units[i].ns * 100 / units[i].ns;
    if (whole >= 100)
        (void)snprintf(out, 32, "%" PRIu64 " %s", whole, units[i].unit);
    else if (whole >= 10)
        (void)snprintf(out, 32, "%" PRIu64 ".%" PRIu64 " %s", whole, part / 10, units[i].unit);
    else
        (void)snprintf(out, 32, "%" PRIu64 ".%02" PRIu64 " %s", whole, part, units[i].unit);
    return out;
}

static void
thousandths(uint64_t n, char out[32])
{
    (void)snprintf(out, 32, "%" PRIu64 ".%03" PRIu64, n / 1000, n % 1000);
}

/* ---- for people ---- */

static void
show_times(const struct bench_result *result)
{
    char text[32];

    printf("\n%-12s", "");
    for (size_t q = 0; q < COUNT_OF(quantiles); q++)
        printf("  %10s", quantiles[q].name);
    printf("  %10s\n", "max");
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        const struct hist *hist = hist_of(result, row);

        if (hist->count == 0)
            continue;
        printf("%-12s", rows[row].head);
        for (size_t q = 0; q < COUNT_OF(quantiles); q++)
            printf("  %10s", time_text(hist_quantile(hist, quantiles[q].share), text));
        printf("  %10s\n", time_text(hist->max, text));
    }
}

void
bench_show_text(const struct bench_setup *setup, const struct bench_result *result)
{
    uint64_t rate = per_1000_s(result, result->ok);
    char text[DECIMAL_TEXT_LEN];

    if (setup->rate_m > 0) {
        (void)decimal_text(setup->rate_m, 3, text);
        printf("open loop, %s calls a second, %u connections at most, ", text, setup->connections);
    } else {
        printf("closed loop, %u connections, ", setup->connections);
    }
    printf("%s\n", time_text(result->elapsed_us * 1000, text));
    printf("%" PRIu64 " calls came through, %" PRIu64 ".%" PRIu64 " a second; %" PRIu64 " failed\n",
           result->ok, rate / 1000, rate % 1000 / 100, result->failed);
    if (result->ok > 0)
        show_times(result);
    if (result->input_tokens + result->output_tokens > 0)
        printf("\ntokens: %" PRIu64 " in, %" PRIu64 " out, %" PRIu64 " out a second\n",
               result->input_tokens, result->output_tokens,
               per_1000_s(result, result->output_tokens) / 1000);
    if (result->class_count > 0)
        printf("\nfailed:\n");
    for (unsigned i = 0; i < result->class_count; i++)
        printf("%10" PRIu64 "  %s%s%s\n", result->classes[i].count, result->classes[i].name,
               result->classes[i].sample[0] != '\0' ? ": " : "", result->classes[i].sample);
}

void
bench_show_progress(const struct bench *bench)
{
    const struct bench_result *result = bench->result;
    char text[32];

    fprintf(stderr, "\r%4" PRIu64 " s: %" PRIu64 " calls, %" PRIu64 " failed, %u under way, p50 %s   ",
            (clock_mono_us() - bench->begin_us) / 1000000, result->ok, result->failed, bench->busy,
            time_text(hist_quantile(&result->total, 0.5), text));
    fflush(stderr);
}

/* ---- for programs ---- */

static void
hist_write(struct jw *jw, const struct hist *hist)
{
    jw_object(jw);
    jw_key_u64(jw, "count", hist->count);
    for (size_t q = 0; q < COUNT_OF(quantiles); q++)
        jw_key_u64(jw, quantiles[q].name, hist_quantile(hist, quantiles[q].share) / 1000);
    jw_key_u64(jw, "max", hist->max / 1000);
    jw_object_end(jw);
}

static void
rate_write(struct jw *jw, const char *name, uint64_t n)
{
    char text[32];

    thousandths(n, text);
    jw_key(jw, name);
    jw_raw(jw, str_from(text));
}

void
bench_show_json(const struct bench_setup *setup, const struct bench_result *result)
{
    struct buf out;
    struct jw jw;

    buf_init(&out, 1u << 20);
    jw_init(&jw, &out);
    jw_object(&jw);
    jw_key_cstr(&jw, "url", setup->url);
    jw_key_cstr(&jw, "api", proto_protocol_name[setup->api]);
    jw_key_bool(&jw, "stream", setup->stream);
    jw_key_cstr(&jw, "loop", setup->rate_m > 0 ? "open" : "closed");
    jw_key_u64(&jw, "connections", setup->connections);
    if (setup->rate_m > 0)
        rate_write(&jw, "rate", setup->rate_m);
    jw_key_u64(&jw, "elapsed_ms", result->elapsed_us / 1000);
    jw_key_u64(&jw, "sent", result->sent);
    jw_key_u64(&jw, "ok", result->ok);
    jw_key_u64(&jw, "failed", result->failed);
    jw_key_u64(&jw, "unsent", result->unsent);
    jw_key_u64(&jw, "connected", result->connected);
    rate_write(&jw, "calls_per_s", per_1000_s(result, result->ok));
    for (size_t row = 0; row < COUNT_OF(rows); row++) {
        jw_key(&jw, rows[row].name);
        hist_write(&jw, hist_of(result, row));
    }
    jw_key(&jw, "tokens");
    jw_object(&jw);
    jw_key_u64(&jw, "input", result->input_tokens);
    jw_key_u64(&jw, "output", result->output_tokens);
    rate_write(&jw, "output_per_s", per_1000_s(result, result->output_tokens));
    jw_object_end(&jw);
    jw_key(&jw, "errors");
    jw_array(&jw);
    for (unsigned i = 0; i < result->class_count; i++) {
        jw_object(&jw);
        jw_key_cstr(&jw, "class", result->classes[i].name);
        jw_key_u64(&jw, "count", result->classes[i].count);
        jw_key_cstr(&jw, "sample",
                    result->classes[i].sample[0] != '\0' ? result->classes[i].sample : NULL);
        jw_object_end(&jw);
    }
    jw_array_end(&jw);
    jw_object_end(&jw);
    printf("%.*s\n", STR_ARGS(buf_str(&out)));
    buf_free(&out);
}

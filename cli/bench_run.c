/* Who calls when: the closed and the open loop of bench, and their end. */
#include "cli/bench.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "net/tls.h"

#define PROGRESS_MS 1000

void
bench_failed(struct bench *bench, const char *class_name, struct str sample)
{
    struct bench_result *result = bench->result;
    struct bench_class *class = result->classes;

    result->failed++;
    while (class < result->classes + result->class_count && strcmp(class->name, class_name) != 0)
        class++;
    if (class == result->classes + BENCH_CLASSES_MAX)
        class--; /* of more kinds than anybody reads, the last stands for the rest */
    else if (class == result->classes + result->class_count)
        result->class_count++;
    if (class->count++ > 0)
        return;
    str_copy(str_from(class_name), class->name, sizeof(class->name));
    str_copy(sample, class->sample, sizeof(class->sample));
}

/* ---- the loop's end ---- */

static void
loop_end(struct bench *bench)
{
    if (bench->result->elapsed_us == 0)
        bench->result->elapsed_us = MAX(clock_mono_us() - bench->begin_us, 1u);
    net_stop(&bench->net);
}

/* No call begins any more; those under way are waited for. */
static void
bench_over(struct bench *bench)
{
    if (!bench->over) {
        bench->over = true;
        bench->result->unsent = bench->due > bench->result->sent ? bench->due - bench->result->sent : 0;
        for (uint64_t i = 0; i < bench->result->unsent; i++)
            bench_failed(bench, "unsent", STR("no connection was free until the end"));
    }
    if (bench->busy == 0)
        loop_end(bench);
}

static void
on_end(struct wheel_timer *timer)
{
    bench_over(CONTAINER_OF(timer, struct bench, end_timer));
}

static void
on_signal(uv_signal_t *handle, int signum)
{
    struct bench *bench = handle->data;

    (void)signum;
    net_awake(&bench->net);
    if (bench->over)
        loop_end(bench); /* the second one: what is under way is given up */
    else
        bench_over(bench);
}

/* ---- calls ---- */

static struct bench_line *
free_line(struct bench *bench)
{
    if (!list_empty(&bench->idle))
        return LIST_FIRST(&bench->idle, struct bench_line, node);
    if (!list_empty(&bench->closed))
        return LIST_FIRST(&bench->closed, struct bench_line, node);
    return NULL;
}

static uint64_t
due_us(const struct bench *bench, uint64_t number)
{
    return bench->begin_us + number * UINT64_C(1000000000) / bench->setup->rate_m;
}

static bool
all_begun(const struct bench *bench)
{
    return bench->setup->requests > 0 && bench->result->sent >= bench->setup->requests;
}

void
bench_next(struct bench *bench)
{
    struct bench_result *result = bench->result;
    bool open = bench->setup->rate_m > 0;

    while (!bench->over && !all_begun(bench) && (!open || result->sent < bench->due)) {
        struct bench_line *line = free_line(bench);

        if (line == NULL)
            break;
        bench_line_call(line, open ? due_us(bench, result->sent++) : (result->sent++, 0));
    }
    if (bench->over || all_begun(bench))
        bench_over(bench);
}

/* Sets the timer to the next call that is not due yet. */
static void
due_arm(struct bench *bench)
{
    uint64_t at_us = due_us(bench, bench->due);
    const struct itimerspec spec = {
        .it_value = {.tv_sec = (time_t)(at_us / 1000000),
                     .tv_nsec = (long)(at_us % 1000000) * 1000}};

    (void)timerfd_settime(bench->due_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void
on_due(struct net_watch *watch)
{
    struct bench *bench = CONTAINER_OF(watch, struct bench, due_watch);
    uint64_t now_us = clock_mono_us();

    if (bench->over)
        return;
    while (due_us(bench, bench->due) <= now_us &&
           (bench->setup->requests == 0 || bench->due < bench->setup->requests))
        bench->due++;
    bench_next(bench);
    if (!bench->over && (bench->setup->requests == 0 || bench->due < bench->setup->requests))
        due_arm(bench);
}

static void
on_progress(struct wheel_timer *timer)
{
    struct bench *bench = CONTAINER_OF(timer, struct bench, progress_timer);

    bench_show_progress(bench);
    wheel_set(&bench->net.wheel, timer, PROGRESS_MS, on_progress);
}

/* ---- start and end ---- */

static int
begin(struct bench *bench)
{
    static const int signums[] = {SIGINT, SIGTERM};

    for (size_t i = 0; i < COUNT_OF(signums); i++) {
        int rc = uv_signal_init(&bench->net.loop, &bench->signals[i]);

        ASSERT(rc == 0); /* it only ever fails for a loop that has none yet */
        bench->signals[i].data = bench;
        (void)uv_signal_start(&bench->signals[i], on_signal, signums[i]);
    }
    uv_update_time(&bench->net.loop);
    wheel_set(&bench->net.wheel, &bench->end_timer, bench->setup->seconds * 1000, on_end);
    if (bench->setup->progress)
        wheel_set(&bench->net.wheel, &bench->progress_timer, PROGRESS_MS, on_progress);
    if (bench->setup->rate_m == 0)
        return 0;
    bench->due_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (bench->due_fd < 0)
        return -errno;
    return net_watch_eventfd(&bench->net, &bench->due_watch, bench->due_fd, on_due);
}

static void
end(struct bench *bench)
{
    bench->over = true;
    wheel_cancel(&bench->net.wheel, &bench->end_timer);
    wheel_cancel(&bench->net.wheel, &bench->progress_timer);
    for (size_t i = 0; i < COUNT_OF(bench->signals); i++)
        uv_close((uv_handle_t *)&bench->signals[i], NULL);
    for (unsigned i = 0; i < bench->setup->connections; i++)
        bench_line_free(&bench->lines[i]);
    net_unwatch(&bench->due_watch);
    net_end(&bench->net);
    if (bench->due_fd >= 0)
        close(bench->due_fd);
}

int
bench_run(const struct bench_setup *setup, struct bench_result *result)
{
    const struct net_options options = {.accepted_max = 0};
    struct bench *bench = calloc(1, sizeof(*bench));
    int rc = -ENOMEM;

    if (bench == NULL)
        return -ENOMEM;
    bench->setup = setup;
    bench->result = result;
    bench->due_fd = -1;
    list_init(&bench->idle);
    list_init(&bench->closed);
    bench->lines = calloc(setup->connections, sizeof(*bench->lines));
    if (setup->tls)
        bench->tls = tls_client_new(&(struct tls_client_options){setup->ca_file});
    if (bench->lines == NULL || (setup->tls && bench->tls == NULL))
        goto free_bench;
    rc = net_init(&bench->net, &options);
    if (rc < 0)
        goto free_bench;
    for (unsigned i = 0; i < setup->connections; i++)
        bench_line_init(&bench->lines[i], bench);
    bench->begin_us = clock_mono_us();
    rc = begin(bench);
    if (rc == 0) {
        if (setup->rate_m > 0)
            on_due(&bench->due_watch);
        else
            bench_next(bench);
        net_run(&bench->net);
    }
    end(bench);

free_bench:
    tls_client_free(bench->tls);
    free(bench->lines);
    free(bench);
    return rc;
}

#include "cli/doctor.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/jw.h"
#include "base/str.h"
#include "cli/client.h"
#include "cli/help.h"
#include "cli/local.h"

#define TIMEOUT_S_DEFAULT 10
#define TIMEOUT_S_MAX 300
#define STACK_BYTES (512u << 10)
#define TEXT_BYTES_MAX (8u << 20)
#define EXPIRES_SOON_S (21 * 86400)

static const char *const level_name[] = {
    [DOCTOR_OK] = "ok",
    [DOCTOR_WARN] = "warn",
    [DOCTOR_FAIL] = "fail",
};
_Static_assert(COUNT_OF(level_name) == DOCTOR_LEVEL_COUNT, "a new level needs a name");

/* Who comes too late may still write into its report: tasks are never freed. */
struct task {
    const char *what;
    doctor_fn check;
    const void *arg;
    const struct doctor *doctor;
    struct doctor_report report;
    bool started;
    _Atomic bool done; /* written by the task's thread with release; acquire shows its report */
};

void
doctor_say(struct doctor_report *report, enum doctor_level level, const char *what, const char *todo,
           const char *fmt, ...)
{
    struct doctor_finding *finding;
    va_list args;

    if (report->count == DOCTOR_FINDINGS_MAX)
        return;
    finding = &report->at[report->count++];
    finding->level = level;
    str_copy(str_from(what), finding->what, sizeof(finding->what));
    str_copy(str_from(todo != NULL ? todo : ""), finding->todo, sizeof(finding->todo));
    va_start(args, fmt);
    (void)vsnprintf(finding->text, sizeof(finding->text), fmt, args);
    va_end(args);
}

const char *
doctor_day(int64_t wall_s, char out[32])
{
    clock_rfc3339(wall_s * 1000000, out);
    out[10] = '\0';
    return out;
}

enum doctor_level
doctor_expiry(int64_t begin_s, int64_t end_s, const char **why)
{
    int64_t now_s = clock_wall_us() / 1000000;

    *why = end_s <= now_s ? "it has expired" : begin_s > now_s ? "it is not valid yet" : NULL;
    if (*why != NULL)
        return DOCTOR_FAIL;
    *why = end_s - now_s < EXPIRES_SOON_S ? "it expires soon" : NULL;
    return *why != NULL ? DOCTOR_WARN : DOCTOR_OK;
}

/* ---- running ---- */

static void *
task_main(void *arg)
{
    struct task *task = arg;

    task->check(task->doctor, task->arg, &task->report);
    /* Pairs with the acquire in tasks_wait(). */
    atomic_store_explicit(&task->done, true, memory_order_release);
    return NULL;
}

static void
task_start(struct task *task)
{
    pthread_attr_t attr;
    pthread_t thread;

    if (pthread_attr_init(&attr) != 0)
        return;
    (void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&attr, STACK_BYTES);
    task->started = pthread_create(&thread, &attr, task_main, task) == 0;
    (void)pthread_attr_destroy(&attr);
}

/* Until all are done, or the deadline is over for those that are not. */
static void
tasks_wait(struct task *tasks, size_t count, unsigned timeout_ms)
{
    const struct timespec pause = {.tv_nsec = 5000000};
    uint64_t end_us = clock_mono_us() + (uint64_t)timeout_ms * 1000;

    for (size_t i = 0; i < count; i++)
        while (tasks[i].started && !atomic_load_explicit(&tasks[i].done, memory_order_acquire) &&
               clock_mono_us() < end_us)
            (void)nanosleep(&pause, NULL);
}

/* ---- the checks ---- */

static const struct {
    const char *what;
    doctor_fn check;
} checks[] = {
    {"routes.conf", doctor_conf},
    {"descriptors", doctor_descriptors},
    {"clock", doctor_clock},
    {"kernel", doctor_kernel},
    {"memory file", doctor_memory},
    {"state folder", doctor_state},
    {"store", doctor_store},
    {"certificates", doctor_certificates},
    {"server", doctor_server},
    {"ports", doctor_ports},
};

static struct task *
tasks_make(const struct doctor *doctor, bool offline, size_t *count)
{
    size_t upstreams = doctor->conf != NULL && !offline ? doctor->conf->upstream_count : 0;
    struct task *tasks = calloc(COUNT_OF(checks) + upstreams, sizeof(*tasks));

    *count = 0;
    if (tasks == NULL)
        return NULL;
    for (size_t i = 0; i < COUNT_OF(checks); i++)
        tasks[(*count)++] =
            (struct task){.what = checks[i].what, .check = checks[i].check, .doctor = doctor};
    for (size_t i = 0; i < upstreams; i++)
        tasks[(*count)++] = (struct task){.what = doctor->conf->upstreams[i].name.ptr,
                                          .check = doctor_upstream,
                                          .arg = &doctor->conf->upstreams[i],
                                          .doctor = doctor};
    return tasks;
}

/* What a task found, or that it did not come to an end. */
static const struct doctor_report *
task_report(const struct task *task, struct doctor_report *late)
{
    if (atomic_load_explicit(&task->done, memory_order_acquire))
        return &task->report;
    late->count = 0;
    if (!task->started)
        doctor_say(late, DOCTOR_WARN, task->what, NULL, "no thread could be made to look at it");
    else
        doctor_say(late, DOCTOR_FAIL, task->what,
                   "see what hangs: a file system, or a name server that does not answer",
                   "no answer within %u s", task->doctor->timeout_ms / 1000);
    return late;
}

/* ---- showing ---- */

static void
show_json(const struct task *tasks, size_t count, const unsigned sums[DOCTOR_LEVEL_COUNT])
{
    struct doctor_report late;
    struct buf out;
    struct jw jw;

    buf_init(&out, TEXT_BYTES_MAX);
    jw_init(&jw, &out);
    jw_object(&jw);
    jw_key_bool(&jw, "ok", sums[DOCTOR_FAIL] == 0);
    jw_key_u64(&jw, "warnings", sums[DOCTOR_WARN]);
    jw_key_u64(&jw, "failures", sums[DOCTOR_FAIL]);
    jw_key(&jw, "checks");
    jw_array(&jw);
    for (size_t i = 0; i < count; i++) {
        const struct doctor_report *report = task_report(&tasks[i], &late);

        for (unsigned k = 0; k < report->count; k++) {
            jw_object(&jw);
            jw_key_cstr(&jw, "level", level_name[report->at[k].level]);
            jw_key_cstr(&jw, "what", report->at[k].what);
            jw_key_cstr(&jw, "text", report->at[k].text);
            jw_key_cstr(&jw, "todo", report->at[k].todo[0] != '\0' ? report->at[k].todo : NULL);
            jw_object_end(&jw);
        }
    }
    jw_array_end(&jw);
    jw_object_end(&jw);
    printf("%.*s\n", STR_ARGS(buf_str(&out)));
    buf_free(&out);
}

static void
show_text(const struct task *tasks, size_t count, const unsigned sums[DOCTOR_LEVEL_COUNT])
{
    struct doctor_report late;

    for (size_t i = 0; i < count; i++) {
        const struct doctor_report *report = task_report(&tasks[i], &late);

        for (unsigned k = 0; k < report->count; k++) {
            const struct doctor_finding *finding = &report->at[k];

            printf("%-4s  %s: %s%s%s\n", level_name[finding->level], finding->what, finding->text,
                   finding->todo[0] != '\0' ? "; " : "", finding->todo);
        }
    }
    printf("%u ok, %u to look at, %u to be mended\n", sums[DOCTOR_OK], sums[DOCTOR_WARN],
           sums[DOCTOR_FAIL]);
}

static enum cli_exit
show(const struct task *tasks, size_t count, bool json)
{
    unsigned sums[DOCTOR_LEVEL_COUNT] = {0};
    struct doctor_report late;

    for (size_t i = 0; i < count; i++) {
        const struct doctor_report *report = task_report(&tasks[i], &late);

        for (unsigned k = 0; k < report->count; k++)
            sums[report->at[k].level]++;
    }
    if (json)
        show_json(tasks, count, sums);
    else
        show_text(tasks, count, sums);
    return fflush(stdout) == 0 && sums[DOCTOR_FAIL] == 0 ? CLI_DONE : CLI_FAILED;
}

/* ---- entry ---- */

static enum cli_exit
take_timeout(const struct cli_local *local, unsigned *timeout_ms)
{
    const char *value = local_value(local, "timeout");
    uint64_t seconds = TIMEOUT_S_DEFAULT;

    if (value != NULL &&
        (!str_to_count(str_from(value), TIMEOUT_S_MAX, &seconds) || seconds == 0))
        return complain(CLI_USAGE, "--timeout", value, "seconds from 1 to 300");
    *timeout_ms = (unsigned)seconds * 1000;
    return CLI_DONE;
}

enum cli_exit
doctor_run(const struct cli_local *local)
{
    const char *path = local_value(local, "config");
    struct doctor doctor = {
        .state_dir = local->state_dir,
        .listen = local_values(local, "listen"),
        .tls_cert = local_values(local, "tls_cert"),
        .tls_key = local_values(local, "tls_key"),
    };
    static struct cli_given cert, key; /* outlive this: threads look at them */
    struct conf_faults faults;
    struct conf *conf;
    struct task *tasks;
    size_t count;
    enum cli_exit rc = take_timeout(local, &doctor.timeout_ms);

    if (rc != CLI_DONE)
        return rc;
    if (doctor.tls_cert->count != doctor.tls_key->count)
        return complain(CLI_USAGE, "--tls-cert", "not as many keys as certificates",
                        "give --tls-cert and --tls-key in pairs");
    if (path == NULL)
        path = access("routes.conf", F_OK) == 0 ? "routes.conf" : "/etc/turnpike/routes.conf";
    doctor.conf_path = path;
    conf = conf_load(path, &faults);
    doctor.conf = conf;
    doctor.faults = &faults;
    doctor.master_pid = MAX(client_master_pid(doctor.state_dir), 0);
    if (doctor.tls_cert->count == 0 && doctor.master_pid > 0) {
        doctor_serving(doctor.master_pid, &cert, &key);
        doctor.tls_cert = &cert;
        doctor.tls_key = &key;
    }
    tasks = tasks_make(&doctor, local_value(local, "offline") != NULL, &count);
    if (tasks == NULL)
        return complain(CLI_FAILED, "doctor", strerror(ENOMEM), NULL);
    for (size_t i = 0; i < count; i++)
        task_start(&tasks[i]);
    /* Steps within a check have that time as well: a little more, for them to say so themselves. */
    tasks_wait(tasks, count, doctor.timeout_ms + 1000);
    rc = show(tasks, count, local->json);
    /* Threads that hang on look at all this: it goes with the process. */
    (void)fflush(NULL);
    _exit((int)rc);
}

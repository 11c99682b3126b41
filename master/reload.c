#include "master/reload.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/jw.h"
#include "base/log.h"
#include "base/str.h"
#include "master/manager.h"
#include "master/notify.h"
#include "master/shown.h"
#include "master/spawn.h"
#include "master/state.h"
#include "master/supervise.h"

#define LEDGER_US UINT64_C(30000000)  /* for the ledger process, which may be starting itself */
#define WORKERS_US UINT64_C(10000000) /* for all new workers to serve */
#define HANDOVER_US UINT64_C(5000000) /* for old ones to stop accepting */
#define LOOK_US UINT64_C(20000)       /* between looks at what no descriptor tells */
#define HANDOVER_LOOK_US UINT64_C(1000)
#define ROOM_US UINT64_C(500000)      /* the same, while it waits for old workers to go */
#define ANSWER_BYTES_MAX (4u << 20)
#define WHY_BYTES 512

/* How it ended. */
struct outcome {
    enum cli_exit status;
    const char *why, *hint; /* NULL when it is done */
    uint32_t generation;
    unsigned started, draining;
};

/* ---- words to the ledger process ---- */

bool
reload_say(struct master *m, enum ledger_word_kind kind, int with_fd)
{
    struct ledger_word word = {.kind = (uint32_t)kind, .generation = m->reload.next.number,
                               .asked = m->reload.asked};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } room = {{0}};
    struct iovec part = {&word, sizeof word};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

    if (m->ledger.state != CHILD_SERVING || m->ledger.lifeline_fd < 0)
        return false;
    if (m->reload.next.conf != NULL) {
        word.text_hash = m->reload.next.conf->text_hash;
        word.price_version = m->reload.next.conf->price_version;
    }
    if (with_fd >= 0) {
        struct cmsghdr *with;

        message.msg_control = room.bytes;
        message.msg_controllen = sizeof room.bytes;
        with = CMSG_FIRSTHDR(&message);
        with->cmsg_level = SOL_SOCKET;
        with->cmsg_type = SCM_RIGHTS;
        with->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(with), &with_fd, sizeof(int));
    }
    return sendmsg(m->ledger.lifeline_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) ==
           (ssize_t)sizeof word;
}

static void
write_faults(struct jw *jw, const struct conf_faults *faults)
{
    jw_key(jw, "faults");
    jw_array(jw);
    for (size_t i = 0; i < faults->count; i++) {
        jw_object(jw);
        jw_key_cstr(jw, "file", faults->at[i].file);
        jw_key_u64(jw, "line", faults->at[i].line);
        jw_key_cstr(jw, "severity", faults->at[i].warning ? "warning" : "error");
        jw_key_cstr(jw, "message", faults->at[i].message);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

/* To whoever asked. It may be long, so it goes in a file of its own. */
static void
answer(struct master *m, const struct outcome *out, const struct conf_faults *faults)
{
    int fd = memfd_create("reload", MFD_CLOEXEC);
    struct buf text;
    struct jw jw;

    buf_init(&text, ANSWER_BYTES_MAX);
    jw_init(&jw, &text);
    jw_object(&jw);
    jw_key_bool(&jw, "ok", out->status == CLI_DONE);
    jw_key_u64(&jw, "exit", (uint64_t)out->status);
    jw_key_cstr(&jw, "why", out->why);
    jw_key_cstr(&jw, "hint", out->hint);
    jw_key_u64(&jw, "generation", out->generation);
    jw_key_u64(&jw, "started", out->started);
    jw_key_u64(&jw, "draining", out->draining);
    write_faults(&jw, faults);
    jw_object_end(&jw);
    if (fd < 0 || text.failed || write(fd, text.ptr, text.len) != (ssize_t)text.len)
        log_warn("reload.unanswered", "errno=%d", errno);
    /* Also when there is nothing to tell: who asked must not wait for ever. */
    (void)reload_say(m, LEDGER_SAID, fd);
    if (fd >= 0)
        close(fd);
    buf_free(&text);
}

static uint32_t
generation_now(const struct master *m)
{
    return atomic_load_explicit(&m->region->header->generation, memory_order_relaxed);
}

/* To one who asked while there is no question of it. */
static void
answer_busy(struct master *m, const char *why, const char *hint)
{
    static const struct conf_faults none;

    answer(m,
           &(struct outcome){.status = CLI_BUSY, .why = why, .hint = hint,
                             .generation = generation_now(m),
                             .draining = supervise_draining(m)},
           &none);
}

/* ---- the end of it, either way ---- */

static void
log_faults(const struct conf_faults *faults)
{
    for (size_t i = 0; i < faults->count; i++) {
        const struct conf_fault *fault = &faults->at[i];

        log_event(fault->warning ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR,
                  fault->warning ? "conf.warning" : "conf.fault", "at=%s:%u message=%s",
                  fault->file, fault->line, log_quote(str_from(fault->message)));
    }
}

static void
generation_free(struct generation *generation)
{
    conf_free(&generation->conf);
    state_certificates_free(generation->certificates);
    *generation = (struct generation){0};
}

/* Tells all that want to know, and forgets. */
static void
over(struct master *m, const struct outcome *out)
{
    struct reload *reload = &m->reload;

    if (reload->asked)
        answer(m, out, &reload->faults);
    if (!m->stopping)
        notify_send(out->status == CLI_DONE ? "READY=1\nSTATUS=serving"
                                           : "READY=1\nSTATUS=serving; the last reload failed");
    conf_faults_free(&reload->faults);
    reload->state = RELOAD_NONE;
    reload->asked = reload->told = reload->wait_told = false;
    reload->kept_by = 0;
    reload->died[0] = '\0';
}

static void PRINTF_LIKE(4, 5)
    fail(struct master *m, enum cli_exit status, const char *hint, const char *fmt, ...)
{
    struct reload *reload = &m->reload;
    char why[WHY_BYTES];
    va_list args;

    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    for (unsigned i = 0; i < m->options->worker_count; i++)
        supervise_drain(m, WORKERS_NEXT + i);
    if (reload->told)
        (void)reload_say(m, LEDGER_DROP, -1);
    log_event(m->stopping ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, "reload.failed",
              "why=%s generation=%u effect=%s", log_quote(str_from(why)), generation_now(m),
              "\"nothing has changed\"");
    log_faults(&reload->faults);
    over(m, &(struct outcome){.status = status, .why = why, .hint = hint,
                              .generation = generation_now(m),
                              .draining = supervise_draining(m)});
    generation_free(&reload->next);
}

/* With the certificates that are served from now on. */
static bool
say_take(struct master *m)
{
    int fd = shown_certificates_fd(m);
    bool said = reload_say(m, LEDGER_TAKE, fd);

    if (fd >= 0)
        close(fd);
    return said;
}

/* All new workers serve. */
static void
change_over(struct master *m)
{
    struct reload *reload = &m->reload;
    struct generation before = m->now;
    unsigned count = m->options->worker_count;

    for (unsigned i = 0; i < count; i++) {
        supervise_drain(m, i);
        m->worker[i] = m->worker[WORKERS_NEXT + i];
        m->worker[WORKERS_NEXT + i] = (struct child){.lifeline_fd = -1};
    }
    m->now = reload->next;
    /* Another takes its place, when it has sent what it has. */
    if (m->telemetry.pid <= 0 ||
        !conf_telemetry_same(&before.conf->telemetry, &m->now.conf->telemetry))
        supervise_end_telemetry(m);
    manager_replace(m);
    /* Another than the one that read it: it has what it was forked with, so the next shall be. */
    shown_certificates(m);
    if (m->ledger.pid > 0 && (m->ledger.pid != reload->kept_by || !say_take(m)))
        kill(m->ledger.pid, SIGKILL);
    reload->next = (struct generation){0};
    generation_free(&before);
    reload->state = RELOAD_HANDOVER;
    reload->give_up_us = clock_mono_us() + HANDOVER_US;
}

/* Nothing can fail any more: one that hangs is not waited for. */
static void
hand_over(struct master *m)
{
    unsigned count = m->options->worker_count;

    if ((supervise_accepting(m) > 0 || !manager_is_settled(m)) &&
        clock_mono_us() < m->reload.give_up_us)
        return;
    /* Not before: who sees the number in the status may rely on the new prices. */
    atomic_store_explicit(&m->region->header->generation, m->now.number, memory_order_relaxed);
    log_info("reload.done", "generation=%u workers=%u draining=%u price_version=%016llx",
             m->now.number, count, supervise_draining(m),
             (unsigned long long)m->now.conf->price_version);
    log_faults(&m->reload.faults);
    over(m, &(struct outcome){.generation = m->now.number, .started = count,
                              .draining = supervise_draining(m)});
}

/* ---- the steps ---- */

static void
notify_reloading(void)
{
    char text[96];

    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=reloading",
             (unsigned long long)clock_mono_us());
    notify_send(text);
}

static bool
read_all(struct master *m)
{
    struct reload *reload = &m->reload;
    struct state_fault fault;

    reload->next.conf = conf_reload(m->options->conf_path, m->now.conf, &reload->faults);
    if (reload->next.conf == NULL) {
        fail(m, CLI_BAD_CONF, "the old configuration stays in force", "%s has %zu fault%s",
             m->options->conf_path, reload->faults.fault_count,
             reload->faults.fault_count == 1 ? "" : "s");
        return false;
    }
    if (!state_certificates(m->options, reload->next.certificates, &fault)) {
        fail(m, CLI_BAD_CONF,
             fault.status == CLI_NOT_ALLOWED ? "the server's user must be able to read it, or restart it"
                                         : "the old certificates stay in use",
             "%s: %s", fault.file, fault.why);
        return false;
    }
    return true;
}

static void
begin(struct master *m)
{
    struct reload *reload = &m->reload;

    reload->wanted = false;
    notify_reloading();
    log_info("reload.begun", "asked_by=%s", reload->asked ? "command" : "signal");
    if (!read_all(m))
        return;
    reload->next.number = ++m->generation_last;
    reload->state = RELOAD_LEDGER;
    reload->give_up_us = clock_mono_us() + LEDGER_US;
}

/* Each worker needs a table, and old ones that drain have theirs. */
static bool
has_room(const struct master *m)
{
    return spawn_tables_free(m) >= m->options->worker_count;
}

static void
start_workers(struct master *m)
{
    uint64_t now_us = clock_mono_us();
    unsigned serving = 0;

    for (unsigned i = 0; i < m->options->worker_count; i++) {
        const struct child *child = &m->worker[WORKERS_NEXT + i];

        if (child->state == CHILD_NONE && now_us >= child->start_us)
            spawn_worker(m, WORKERS_NEXT + i, i, &m->reload.next);
        serving += child->state == CHILD_SERVING;
    }
    if (serving == m->options->worker_count)
        change_over(m);
    else if (now_us >= m->reload.give_up_us)
        fail(m, CLI_FAILED, "see the server's log", "%u of %u new workers do not serve after %u s",
             m->options->worker_count - serving, m->options->worker_count,
             (unsigned)(WORKERS_US / 1000000));
}

void
reload_turn(struct master *m)
{
    struct reload *reload = &m->reload;

    if (m->stopping)
        return;
    if (reload->state == RELOAD_NONE && reload->wanted && m->upgrade.state == UPGRADE_NONE) {
        if (has_room(m))
            begin(m);
        else if (!reload->wait_told)
            log_warn("reload.waits", "draining=%u effect=%s", supervise_draining(m),
                     "\"it begins when workers of earlier generations have gone\"");
        reload->wait_told = reload->state == RELOAD_NONE && reload->wanted;
    }
    if (reload->state == RELOAD_LEDGER && !reload->told)
        reload->told = reload_say(m, LEDGER_KEEP, -1);
    if (reload->state == RELOAD_LEDGER && clock_mono_us() >= reload->give_up_us)
        fail(m, CLI_FAILED, "see the server's log", "the ledger process does not answer");
    if (reload->state == RELOAD_WORKERS && reload->died[0] != '\0')
        fail(m, CLI_FAILED, "see the server's log", "a new worker died: %s", reload->died);
    if (reload->state == RELOAD_WORKERS)
        start_workers(m);
    if (reload->state == RELOAD_HANDOVER)
        hand_over(m);
}

uint64_t
reload_due_us(const struct master *m)
{
    if (m->stopping || (m->reload.state == RELOAD_NONE && !m->reload.wanted))
        return UINT64_MAX;
    return clock_mono_us() + (m->reload.state == RELOAD_HANDOVER ? HANDOVER_LOOK_US
                              : m->reload.wait_told              ? ROOM_US
                                                                 : LOOK_US);
}

/* ---- what happens meanwhile ---- */

void
reload_hangup(struct master *m)
{
    m->reload.wanted = true;
}

static void
ask(struct master *m)
{
    if (m->stopping)
        answer_busy(m, "the server is stopping", NULL);
    else if (m->upgrade.state != UPGRADE_NONE)
        answer_busy(m, "an upgrade is under way", "try again when it is done");
    else if (m->reload.state != RELOAD_NONE || m->reload.wanted)
        answer_busy(m, "one is under way", "try again when it is done");
    else if (!has_room(m))
        answer_busy(m, "workers of earlier generations still finish their calls",
                    "try again later; turnpike status shows them, time-reload bounds them");
    else
        m->reload.wanted = m->reload.asked = true;
}

void
reload_ledger_said(struct master *m, const struct ledger_word *word)
{
    struct reload *reload = &m->reload;
    bool about_this = reload->state == RELOAD_LEDGER && word->generation == reload->next.number;

    if (word->kind == LEDGER_ASKS) {
        ask(m);
    } else if (word->kind == LEDGER_KEPT && about_this) {
        reload->kept_by = m->ledger.pid;
        reload->state = RELOAD_WORKERS;
        reload->give_up_us = clock_mono_us() + WORKERS_US;
    } else if (word->kind == LEDGER_NOT_KEPT && about_this) {
        fail(m, CLI_BUSY, "try again", "%s was changed while it was read", m->options->conf_path);
    }
}

/* Who asked has seen the end of the connection. The next one is told what to keep. */
void
reload_ledger_died(struct master *m)
{
    m->reload.asked = false;
    if (m->reload.state == RELOAD_LEDGER)
        m->reload.told = false;
}

void
reload_worker_died(struct master *m, uint32_t number, const char *how)
{
    if (m->reload.state == RELOAD_WORKERS)
        snprintf(m->reload.died, sizeof m->reload.died, "worker %u, %s", number + 1, how);
}

void
reload_stop(struct master *m)
{
    m->reload.wanted = m->reload.wait_told = false;
    if (m->reload.state == RELOAD_HANDOVER) {
        m->reload.give_up_us = 0;
        hand_over(m);
    } else if (m->reload.state != RELOAD_NONE) {
        fail(m, CLI_BUSY, NULL, "the server is stopping");
    } else if (m->reload.asked) {
        answer_busy(m, "the server is stopping", NULL);
    }
    m->reload.asked = false;
}

#include "master/successor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/jw.h"
#include "base/log.h"
#include "base/str.h"
#include "base/version.h"
#include "conf/conf.h"
#include "ledger/ledger.h"
#include "master/check.h"
#include "master/listeners.h"
#include "master/manager.h"
#include "master/master.h"
#include "master/notify.h"
#include "master/serve.h"
#include "master/spawn.h"
#include "master/state.h"
#include "master/supervise.h"

#define WORKERS_US UINT64_C(20000000) /* for all new workers to serve */
#define ACCEPT_US UINT64_C(5000000)   /* for old ones to stop accepting */
#define LEDGER_GOES_US UINT64_C(10000000)
#define STEP_MS 20

static const struct options_handed *
handed_of(const struct handover *h, struct options_handed *out)
{
    *out = (struct options_handed){h->listen, h->listen_count, h->worker_count};
    return out;
}

/* ---- the check ---- */

static int
refuse(const char *why, const char *hint)
{
    options_complain("upgrade", why, hint);
    return CLI_FAILED;
}

/* A key that was read as root, say: it would be lost. */
static bool
has_secret(const struct conf *conf, struct str name)
{
    struct str credential, upstream = str_split(name, '/', &credential);

    for (size_t i = 0; i < conf->upstream_count; i++) {
        const struct conf_upstream *u = &conf->upstreams[i];

        if (!str_eq(u->name, upstream))
            continue;
        for (size_t k = 0; k < u->credential_count; k++)
            if (u->credentials[k].disabled_reason != NULL &&
                str_eq(u->credentials[k].name, credential))
                return false;
    }
    return true;
}

static int
check_secrets(const struct conf *conf, const struct handover *h)
{
    char why[512];

    for (size_t at = 0; at < h->secrets_bytes; at += strlen(h->secrets + at) + 1) {
        if (has_secret(conf, str_from(h->secrets + at)))
            continue;
        snprintf(why, sizeof why, "the key of upstream %.200s cannot be read any more",
                 h->secrets + at);
        options_complain("upgrade", why, "the server's user must be able to read it, or restart it");
        return CLI_BAD_CONF;
    }
    return 0;
}

static int
check_conf(const struct options *o, const struct handover *h)
{
    struct worker_certificate certificates[OPTIONS_CERT_MAX] = {{{NULL, 0}, {NULL, 0}}};
    struct state_fault fault;
    struct conf_faults faults;
    struct conf *conf = conf_load(o->conf_path, &faults);
    int rc = CLI_BAD_CONF;

    if (conf == NULL) {
        check_print_faults(&faults, false);
    } else {
        rc = check_secrets(conf, h);
        if (rc == 0 && !state_certificates(o, certificates, &fault)) {
            options_complain(fault.file, fault.why, fault.hint);
            rc = fault.status == CLI_NOT_ALLOWED ? CLI_NOT_ALLOWED : CLI_BAD_CONF;
        }
    }
    state_certificates_free(certificates);
    conf_faults_free(&faults);
    conf_free(&conf);
    return rc;
}

/* The memory file that the running server has mapped, and no other that has its name by now. */
static int
adopt_same(const struct options *o, const struct handover *h, char *path, size_t cap,
           struct region **out)
{
    struct stat theirs, ours;
    const char *why = NULL;
    int rc = region_dir(o->state_dir, path, cap, &why);

    if (rc == 0)
        rc = region_adopt(path, out);
    if (rc == 0 && (fstat(h->region_fd, &theirs) < 0 || fstat((*out)->fd, &ours) < 0 ||
                    theirs.st_dev != ours.st_dev || theirs.st_ino != ours.st_ino)) {
        region_detach(*out);
        *out = NULL;
        rc = -ESTALE;
    }
    if (rc < 0)
        return refuse("the server's memory file is not where it was",
                      "turnpike stop, and start it anew");
    return 0;
}

static bool
is_rebuild(const struct handover *h)
{
    return h->layout != REGION_LAYOUT_VERSION || h->schema != ledger_schema;
}

static int
check_books(const struct options *o, const struct handover *h)
{
    struct region *region = NULL;
    char path[sizeof ((struct master *)0)->region_path], why[128];
    int rc;

    if (!ledger_reads_schema(h->schema)) {
        snprintf(why, sizeof why, "it cannot read a store of schema %u, only of %u", h->schema,
                 ledger_schema);
        return refuse(why, NULL);
    }
    if (is_rebuild(h))
        return 0;
    rc = adopt_same(o, h, path, sizeof path, &region);
    region_detach(region);
    return rc;
}

static void
say_report(const struct handover *h)
{
    struct buf text;
    struct jw jw;

    buf_init(&text, 4096);
    jw_init(&jw, &text);
    jw_object(&jw);
    jw_key_cstr(&jw, "turnpike", turnpike_version);
    jw_key_bool(&jw, "rebuild", is_rebuild(h));
    jw_object_end(&jw);
    printf("%.*s\n", (int)text.len, text.ptr);
    buf_free(&text);
}

int
successor_check(int argc, char **argv, struct handover *h, const char *why)
{
    static struct options options;
    struct options_handed handed;
    int rc;

    log_setup(&(struct log_setup){.process = "upgrade", .level_max = LOG_LEVEL_ERROR});
    handover_test_point("check");
    if (why != NULL)
        return refuse(why, "stop the server, and start the new version");
    rc = options_serve(argc, argv, handed_of(h, &handed), &options);
    if (rc >= 0)
        return rc == 0 ? CLI_USAGE : rc;
    rc = check_conf(&options, h);
    if (rc == 0)
        rc = check_books(&options, h);
    if (rc == 0)
        say_report(h);
    handover_free(h);
    return rc;
}

/* ---- going back ---- */

/* As we came: with the words that were handed to us. */
static void
go_back_as_we_came(const struct handover *h)
{
    int rc;

    if (h->program_fd < 0)
        return;
    handover_fds_over_exec(h, true);
    rc = handover_exec(h->program_fd, "back", h->file_fd);
    log_error("upgrade.no-way-back", "errno=%d", -rc);
}

/* Of a crash: nothing is called that a signal handler may not. */
static const struct handover *crash_handover;
static char crash_word[64];
static char **crash_environ;
static size_t crash_digits_at;

static void
on_crash(int signal_number)
{
    crash_word[crash_digits_at] = (char)('0' + signal_number / 10 % 10);
    crash_word[crash_digits_at + 1] = (char)('0' + signal_number % 10);
    handover_fds_over_exec(crash_handover, true);
    (void)syscall(SYS_execveat, crash_handover->program_fd, "", handover_argv(), crash_environ,
                  AT_EMPTY_PATH);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
static struct sigaction crash_before[COUNT_OF(crash_signals)];

void
successor_crash_forget(void)
{
    if (crash_handover == NULL)
        return;
    crash_handover = NULL;
    for (size_t i = 0; i < COUNT_OF(crash_signals); i++)
        sigaction(crash_signals[i], &crash_before[i], NULL);
}

static void
crash_goes_back(const struct handover *h)
{
    struct sigaction action = {.sa_handler = on_crash, .sa_flags = SA_NODEFER};
    size_t count = 0;

    while (environ[count] != NULL)
        count++;
    crash_environ = calloc(count + 2, sizeof *crash_environ); /* kept: once a process */
    if (h->program_fd < 0 || crash_environ == NULL)
        return;
    memcpy(crash_environ, environ, count * sizeof *environ);
    crash_environ[count] = crash_word;
    crash_digits_at = (size_t)snprintf(crash_word, sizeof crash_word, HANDOVER_ENV "=back:%d:",
                                       h->file_fd);
    crash_handover = h;
    for (size_t i = 0; i < COUNT_OF(crash_signals); i++)
        sigaction(crash_signals[i], &action, &crash_before[i]);
}

/* What we have started goes, and all is where it was. Comes back when there is no way. */
static void
go_back(struct master *m, struct handover *h, const char *why)
{
    struct handover_words words = {.program_fd = -1, .region_fd = h->rebuild ? -1 : m->region->fd,
                                   .rebuild = h->rebuild, .why = why,
                                   .hint = "see the server's log", .exit = CLI_FAILED};
    int file_fd, rc;

    log_error("upgrade.goes-back", "why=%s to=%s", log_quote(str_from(why)), h->version);
    if (h->program_fd < 0)
        return;
    for (unsigned i = 0; i < m->options->worker_count; i++)
        supervise_drain(m, i);
    if (h->rebuild) {
        if (m->ledger_served && supervise_finish(m) != 0)
            return;
        if (region_remove(m->region_path) < 0)
            return;
    } else {
        supervise_ledger_leaves(m);
    }
    file_fd = handover_write(m, &words);
    if (file_fd < 0)
        return;
    handover_keep_fds(m, &words, true);
    (void)fcntl(file_fd, F_SETFD, 0);
    rc = handover_exec(h->program_fd, "back", file_fd);
    log_error("upgrade.no-way-back", "errno=%d", -rc);
}

/* ---- taking ---- */

int
successor_options(int argc, char **argv, struct handover *h, const char *why, struct options *out)
{
    struct options_handed handed;
    int rc;

    if (why != NULL)
        rc = refuse(why, NULL);
    else
        rc = options_serve(argc, argv, handed_of(h, &handed), out);
    if (rc >= 0)
        go_back_as_we_came(h);
    return rc;
}

static void
take_descriptors(struct master *m, const struct handover *h)
{
    m->lock_fd = h->lock_fd;
    m->control_fd = h->control_fd;
    m->manage_fd = h->manage_fd;
    m->ledger_wake_fd = h->ledger_wake_fd;
    m->upgrade.asker_fd = h->asker_fd;
    m->handed_fd[0] = h->file_fd;
    m->handed_fd[1] = h->program_fd;
    memcpy(m->worker_wake_fd, h->worker_wake_fd, sizeof m->worker_wake_fd);
    memcpy(m->listen_fd, h->listen_fd, sizeof m->listen_fd);
    memcpy(m->ticket_secret, h->ticket_secret, sizeof m->ticket_secret);
}

static unsigned
free_old_place(const struct master *m)
{
    unsigned place = WORKERS_OLD;

    while (place < WORKERS_MAX - 1 && m->worker[place].pid > 0)
        place++;
    return place;
}

/* In charge stay those that were, when we come back; else they serve until ours do. */
static void
take_worker(struct master *m, const struct handover *h, const struct handover_worker *w)
{
    siginfo_t ignored;
    bool in_charge = h->mode == HANDOVER_BACK && !w->drains && w->number < m->options->worker_count;
    unsigned place = in_charge && m->worker[w->number].pid <= 0 ? w->number : free_old_place(m);
    struct child *child = &m->worker[place];

    if (waitid(P_PID, (id_t)w->pid, &ignored, WEXITED | WNOHANG | WNOWAIT) < 0)
        return; /* a successor of ours has seen its end */
    *child = (struct child){
        .pid = w->pid,
        .state = w->serving ? CHILD_SERVING : CHILD_STARTING,
        .lifeline_fd = w->lifeline_fd,
        .table_idx = w->table_idx,
        .forked_us = clock_mono_us(),
        .number = w->number,
        .kill_us = w->kill_us,
        .stop_ms = w->stop_ms,
        .reload_ms = w->reload_ms,
        .replaced = place >= WORKERS_OLD && !w->drains,
    };
}

static int
take_region(struct master *m, const struct handover *h)
{
    int rc;

    if (h->rebuild) {
        m->generation_last = h->generation_last;
        rc = state_region(m->options->state_dir, false, m->region_path, sizeof m->region_path,
                          &m->region);
        if (rc == 0)
            serve_mark_header(m);
        if (rc == 0 && h->started_wall_us > 0)
            atomic_store_explicit(&m->region->header->started_wall_us, h->started_wall_us,
                                  memory_order_relaxed);
        return rc;
    }
    rc = adopt_same(m->options, h, m->region_path, sizeof m->region_path, &m->region);
    if (rc != 0)
        return rc;
    m->generation_last = MAX(h->generation_last, spawn_generation_last(m));
    m->now.number = h->mode == HANDOVER_BACK
                        ? atomic_load_explicit(&m->region->header->generation, memory_order_relaxed)
                        : ++m->generation_last;
    m->ledger_served = true;
    return 0;
}

static int
take_all(struct master *m, const struct handover *h)
{
    const struct options *o = m->options;
    int rc = check_load_conf(o->conf_path, &m->now.conf);

    if (rc == 0)
        rc = serve_load_certificates(m);
    if (rc == 0)
        rc = state_control_path(o->state_dir, m->control_path, sizeof m->control_path);
    if (rc == 0)
        rc = take_region(m, h);
    if (rc != 0)
        return rc;
    take_descriptors(m, h);
    rc = manager_listen(m);
    if (rc != 0)
        return rc;
    for (unsigned i = 0; i < h->worker_child_count; i++)
        take_worker(m, h, &h->worker[i]);
    m->ledger_before = h->ledger_pid;
    m->ledger_before_end_us = clock_mono_us() + LEDGER_GOES_US;
    m->reload.wanted = h->reload_wanted;
    handover_program_is(h->program);
    serve_harden();
    listeners_name(m);
    if (serve_take_signals(m) < 0)
        return refuse(strerror(errno), NULL);
    return 0;
}

/* ---- a generation of ours ---- */

static const char *
start_workers(struct master *m)
{
    uint64_t give_up_us = clock_mono_us() + WORKERS_US;
    unsigned count = m->options->worker_count;

    while (!m->stopping && (supervise_serving(m) < count || !manager_is_settled(m))) {
        if (supervise_died(m))
            return "a new worker died";
        if (clock_mono_us() >= give_up_us)
            return "the new workers do not serve";
        supervise_step(m, STEP_MS);
    }
    return NULL;
}

/* NULL when all serve, or the server is told to stop; else why not. */
static const char *
start_ours(struct master *m, const struct handover *h)
{
    if (supervise_start_ledger(m) != 0 && !m->stopping)
        return "the new ledger process does not start";
    handover_test_point("ledger");
    if (h->rebuild)
        successor_crash_forget();
    return start_workers(m);
}

static void
wait_for_old_to_stop_accepting(struct master *m)
{
    uint64_t give_up_us = clock_mono_us() + ACCEPT_US;

    while (!m->stopping && supervise_accepting(m) > 0 && clock_mono_us() < give_up_us)
        supervise_step(m, 1);
}

/* There is no way back from here, and no need of one. */
static void
settle_in(struct master *m, struct handover *h)
{
    successor_crash_forget();
    handover_fds_over_exec(h, false);
    close_fd(&m->handed_fd[0]);
    close_fd(&m->handed_fd[1]);
    h->program_fd = h->file_fd = -1;
}

static void
notify_ready(const char *status)
{
    char text[160];

    snprintf(text, sizeof text, "READY=1\nMAINPID=%d\nSTATUS=%s", (int)getpid(), status);
    notify_send(text);
}

/* For the audit log: by whom this version took that one's place. */
static void
tell_ledger(struct master *m, const struct handover *h)
{
    struct ucred asker;
    socklen_t len = sizeof asker;
    int fd = memfd_create("upgraded", MFD_CLOEXEC);
    struct buf text;
    struct jw jw;

    buf_init(&text, 4096);
    jw_init(&jw, &text);
    jw_object(&jw);
    jw_key_cstr(&jw, "from", h->version);
    jw_key_cstr(&jw, "to", turnpike_version);
    jw_key_u64(&jw, "generation", m->now.number);
    if (m->upgrade.asker_fd >= 0 &&
        getsockopt(m->upgrade.asker_fd, SOL_SOCKET, SO_PEERCRED, &asker, &len) == 0)
        jw_key_u64(&jw, "uid", asker.uid);
    jw_object_end(&jw);
    if (fd < 0 || text.failed || write(fd, text.ptr, text.len) != (ssize_t)text.len ||
        !reload_say(m, LEDGER_UPGRADED, fd))
        log_warn("upgrade.untold", "errno=%d effect=\"it is not in the audit log\"", errno);
    if (fd >= 0)
        close(fd);
    buf_free(&text);
}

static void
say_done(struct master *m, const struct handover *h)
{
    unsigned draining = supervise_draining(m);

    tell_ledger(m, h);
    log_info("upgrade.done", "from=%s to=%s generation=%u workers=%u draining=%u rebuilt=%d listen=%s",
             h->version, turnpike_version, m->now.number, m->options->worker_count, draining,
             h->rebuild, log_quote(str_from(m->listeners_text)));
    upgrade_answer(m, &(struct upgrade_outcome){.from = h->version, .to = turnpike_version,
                                                .started = m->options->worker_count,
                                                .draining = draining});
    notify_ready("serving");
}

static int
take(struct master *m, struct handover *h)
{
    const char *why;

    supervise_watch(m);
    crash_goes_back(h);
    handover_test_point("taken");
    why = start_ours(m, h);
    if (why == NULL)
        handover_test_point("workers");
    if (why != NULL && !m->stopping) {
        go_back(m, h, why);
        return CLI_FAILED; /* the children see us go */
    }
    if (!m->stopping) {
        atomic_store_explicit(&m->region->header->generation, m->now.number, memory_order_relaxed);
        supervise_replace(m);
        wait_for_old_to_stop_accepting(m);
    }
    settle_in(m, h);
    if (!m->stopping)
        say_done(m, h);
    else
        upgrade_answer(m, &(struct upgrade_outcome){.status = CLI_BUSY,
                                                    .why = "the server is stopping",
                                                    .from = h->version, .to = turnpike_version});
    handover_test_point("done");
    return 0;
}

static int
come_back(struct master *m, struct handover *h)
{
    char why[sizeof h->why];

    if (h->by_signal != 0)
        snprintf(why, sizeof why, "the new program crashed after it took over: signal %u",
                 h->by_signal);
    else
        snprintf(why, sizeof why, "%s",
                 h->why[0] != '\0' ? h->why : "the new program could not take over");
    /* One of ours, before anybody is told; should it not start, it is tried again as always. */
    if (supervise_start_ledger(m) != 0)
        m->ledger_served = !h->rebuild;
    log_error("upgrade.failed", "why=%s version=%s effect=%s", log_quote(str_from(why)),
              turnpike_version, "\"this version goes on\"");
    upgrade_answer(m, &(struct upgrade_outcome){
                          .status = h->exit != 0 ? (enum cli_exit)h->exit : CLI_FAILED,
                          .why = why,
                          .hint = h->hint[0] != '\0' ? h->hint : "see the server's log",
                          .from = turnpike_version,
                          .draining = supervise_draining(m)});
    settle_in(m, h);
    notify_ready("serving; the last upgrade failed");
    return 0;
}

int
successor_take(struct master *m, struct handover *h)
{
    int rc = take_all(m, h);

    if (rc != 0) {
        go_back_as_we_came(h);
        return rc;
    }
    rc = h->mode == HANDOVER_BACK ? come_back(m, h) : take(m, h);
    handover_free(h);
    return rc;
}

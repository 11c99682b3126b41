/*
 * The order of a start matters and is this: everything that can be wrong about the command line,
 * routes.conf and the certificates is found before anything is bound; the state directory's lock
 * comes before whatever it protects; sockets are bound before root is dropped, and root is dropped
 * before the control socket and the memory file are made, or found; the ledger process has
 * recovered the books before the first worker is forked.
 */
#include "master/serve.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/version.h"
#include "master/check.h"
#include "master/handover.h"
#include "master/listeners.h"
#include "master/manager.h"
#include "master/notify.h"
#include "master/shown.h"
#include "master/spawn.h"
#include "master/state.h"
#include "master/successor.h"
#include "master/supervise.h"

#define DESCRIPTORS_SPARE 128 /* of a worker: listeners, wake-ups, the log, the ledger's socket */
#define EXIT_REGION_STALE 3 /* of the ledger process: the memory file is not this store's */

static struct master the_master; /* too large for a stack; one a process */

/* ---- before the fork ---- */

int
serve_load_certificates(struct master *m)
{
    struct state_fault fault;

    if (state_certificates(m->options, m->now.certificates, &fault)) {
        shown_certificates(m);
        return 0;
    }
    options_complain(fault.file, fault.why, fault.hint);
    return fault.status;
}

static int
make_eventfds(struct master *m)
{
    for (unsigned i = 0; i < COUNT_OF(m->worker_wake_fd); i++)
        m->worker_wake_fd[i] = -1;
    for (unsigned i = 0; i < spawn_tables_max(m); i++) {
        m->worker_wake_fd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (m->worker_wake_fd[i] < 0)
            return -1;
    }
    m->ledger_wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return m->ledger_wake_fd < 0 ? -1 : 0;
}

int
serve_take_signals(struct master *m)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR2);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -1;
    signal(SIGPIPE, SIG_IGN);
    m->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    return m->signal_fd < 0 ? -1 : 0;
}

void
serve_harden(void)
{
    struct rlimit none = {0, 0}, files;

    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)setrlimit(RLIMIT_CORE, &none);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

/* A worker takes its share of the clients, and one connection to an upstream for each at most: where that is more than
 * it may have descriptors, it is said now and not when clients wait. */
static void
count_descriptors(const struct master *m)
{
    unsigned workers = m->options->worker_count;
    uint64_t share = (m->now.conf->limits.connections + workers - 1) / workers, upstreams = 0;
    struct rlimit files;

    for (size_t i = 0; i < m->now.conf->upstream_count; i++)
        upstreams += m->now.conf->upstreams[i].connections_max;
    share += MIN(upstreams, share) + DESCRIPTORS_SPARE;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max < share)
        log_warn("descriptors.few", "limit=%llu wanted=%llu hint=%s",
                 (unsigned long long)files.rlim_max, (unsigned long long)share,
                 log_quote(STR("raise LimitNOFILE or ulimit -Hn, or lower limits connections")));
}

static int
prepare(struct master *m)
{
    const struct options *o = m->options;
    int rc;

    rc = check_load_conf(o->conf_path, &m->now.conf);
    if (rc == 0)
        rc = serve_load_certificates(m);
    if (rc == 0)
        rc = state_open(o, &m->lock_fd);
    if (rc == 0)
        rc = listeners_bind(m);
    if (rc == 0)
        rc = state_drop_root(o);
    if (rc == 0)
        rc = state_control_socket(o->state_dir, m->control_path, sizeof m->control_path,
                                  &m->control_fd);
    if (rc == 0)
        rc = manager_listen(m);
    if (rc == 0)
        rc = state_region(o->state_dir, false, m->region_path, sizeof m->region_path, &m->region);
    if (rc != 0)
        return rc;
    serve_harden();
    count_descriptors(m);
    rng_bytes(m->ticket_secret, sizeof m->ticket_secret);
    listeners_name(m);
    if (make_eventfds(m) < 0 || serve_take_signals(m) < 0) {
        options_complain("serve", strerror(errno),
                         errno == EMFILE ? "raise LimitNOFILE or ulimit -Hn" : NULL);
        return CLI_FAILED;
    }
    return 0;
}

void
serve_mark_header(struct master *m)
{
    struct region_header *header = m->region->header;

    atomic_store_explicit(&header->master_pid, (uint32_t)getpid(), memory_order_relaxed);
    atomic_store_explicit(&header->started_wall_us, clock_wall_us(), memory_order_relaxed);
    atomic_store_explicit(&header->draining, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&header->master_seq, 1, memory_order_relaxed);
    m->generation_last = MAX(m->generation_last, spawn_generation_last(m)) + 1;
    m->now.number = m->generation_last;
    atomic_store_explicit(&header->generation, m->now.number, memory_order_relaxed);
}

int
serve_region_anew(struct master *m)
{
    int rc;

    region_detach(m->region);
    m->region = NULL;
    rc = state_region(m->options->state_dir, true, m->region_path, sizeof m->region_path, &m->region);
    if (rc == 0)
        serve_mark_header(m);
    return rc;
}

/* A memory file of another store (its directory was replaced) is made anew, once. */
static int
start_ledger(struct master *m)
{
    int rc;

    serve_mark_header(m);
    rc = supervise_start_ledger(m);
    if (rc != EXIT_REGION_STALE)
        return rc;
    log_warn("region.stale", "dir=%s", m->region_path);
    rc = serve_region_anew(m);
    return rc != 0 ? rc : supervise_start_ledger(m);
}

/* A memory file that no ledger process has served from has nothing in it. */
static int
start_failed(struct master *m, int rc)
{
    if (m->control_path[0] != '\0')
        unlink(m->control_path);
    if (m->manage_path[0] != '\0')
        unlink(m->manage_path);
    if (m->region != NULL &&
        atomic_load_explicit(&m->region->header->ready_seq, memory_order_acquire) == 0)
        (void)region_remove(m->region_path);
    return rc;
}

/* Says why the ledger process did not start, by its exit status, and gives ours. */
static int
no_ledger(const struct options *o, int status)
{
    switch (status) {
    case LEDGER_EXIT_VERSION:
        options_complain(o->state_dir, "the store is of another version of turnpike",
                         "use that one, or restore a backup; turnpike doctor says which it is");
        return CLI_FAILED;
    case LEDGER_EXIT_DAMAGED:
        options_complain(o->state_dir, "the store is damaged, or not of this program",
                         "restore a backup, and keep what is there");
        return CLI_FAILED;
    case LEDGER_EXIT_FULL:
        options_complain(o->state_dir, "the disk of the store is full", "make room");
        return CLI_FAILED;
    case LEDGER_EXIT_DENIED:
        options_complain(o->state_dir, "the store may not be read and written",
                         "run as its owner (--user), on a disk that is mounted for writing");
        return CLI_NOT_ALLOWED;
    default:
        options_complain("ledger process", "does not start", "see the log above");
        return status == CLI_BUSY ? status : CLI_FAILED;
    }
}

static int
start(struct master *m)
{
    int rc = prepare(m);

    if (rc != 0)
        return start_failed(m, rc);
    rc = start_ledger(m);
    if (rc != 0)
        return start_failed(m, no_ledger(m->options, rc));
    rc = supervise_start_workers(m);
    if (rc == 0 && !m->stopping) {
        log_info("serve.ready", "version=%s workers=%u listen=%s", turnpike_version,
                 m->options->worker_count, log_quote(str_from(m->listeners_text)));
        notify_send("READY=1\nSTATUS=serving");
    }
    if (rc != 0)
        raise(SIGTERM);
    m->start_status = rc;
    return 0;
}

static void
master_init(struct master *m, const struct options *options)
{
    log_setup(&(struct log_setup){.process = "master",
                                  .level_max = options->log_debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
                                  .json = options->log_json});
    (void)prctl(PR_SET_NAME, "turnpike"); /* a program run by its descriptor has a number for a name */
    m->options = options;
    m->control_fd = m->lock_fd = m->signal_fd = m->ledger_wake_fd = -1;
    m->handed_fd[0] = m->handed_fd[1] = -1;
    m->telemetry_fd[0] = m->telemetry_fd[1] = -1;
    m->ledger.lifeline_fd = m->telemetry.lifeline_fd = m->manage.lifeline_fd = -1;
    m->manage_fd = -1;
    for (unsigned i = 0; i < MANAGE_OLD_MAX; i++)
        m->manage_old[i].lifeline_fd = -1;
    upgrade_init(&m->upgrade);
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        m->worker[i].lifeline_fd = -1;
}

static int
run(struct master *m)
{
    int rc = supervise_run(m);

    unlink(m->control_path);
    unlink(m->manage_path);
    if (rc == CLI_DONE && state_region_empty(m->region))
        (void)region_remove(m->region_path);
    rc |= m->start_status;
    log_info("serve.stopped", "status=%d", rc);
    return rc;
}

int
serve_main(int argc, char **argv)
{
    static struct options options;
    static struct handover handover;
    struct master *m = &the_master;
    const char *why = NULL;
    bool understood = handover_read(&handover, &why);
    int rc;

    if (handover.mode == HANDOVER_CHECK)
        return successor_check(argc, argv, &handover, understood ? NULL : why);
    if (handover.mode != HANDOVER_NONE)
        rc = successor_options(argc, argv, &handover, understood ? NULL : why, &options);
    else
        rc = options_serve(argc, argv, NULL, &options);
    if (rc >= 0)
        return rc;
    master_init(m, &options);
    rc = handover.mode == HANDOVER_NONE ? start(m) : successor_take(m, &handover);
    return rc != 0 ? rc : run(m);
}

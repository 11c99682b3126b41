/*
 * The order of a start matters and is this: everything that can be wrong about the command line,
 * routes.conf and the certificates is found before anything is bound; the state directory's lock
 * comes before whatever it protects; sockets are bound before root is dropped, and root is dropped
 * before the control socket and the memory file are made, or found; the ledger process has
 * recovered the books before the first worker is forked.
 */
#include "master/serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/jw.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/str.h"
#include "base/term.h"
#include "master/notify.h"
#include "master/spawn.h"
#include "master/state.h"
#include "master/supervise.h"
#include "net/listen.h"

#define EXIT_REGION_STALE 3 /* of the ledger process: the memory file is not this store's */

static struct master the_master; /* too large for a stack; one a process */

/* ---- routes.conf ---- */

static void
print_faults(const struct conf_faults *faults)
{
    for (size_t i = 0; i < faults->count; i++) {
        const struct conf_fault *fault = &faults->at[i];

        fprintf(stderr, "%s%s%s:%u:%s %s%s%s%s\n",
                log_priority(fault->warning ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR),
                term_on(stderr, TERM_HEAD), fault->file,
                fault->line, term_off(stderr, TERM_HEAD), term_on(stderr, TERM_WARN),
                fault->warning ? "warning: " : "", term_off(stderr, TERM_WARN), fault->message);
    }
}

static void
print_faults_json(const struct conf_faults *faults, bool ok)
{
    struct buf buf;
    struct jw jw;

    buf_init(&buf, 16u << 20);
    jw_init(&jw, &buf);
    jw_object(&jw);
    jw_key_bool(&jw, "ok", ok);
    jw_key(&jw, "faults");
    jw_array(&jw);
    for (size_t i = 0; i < faults->count; i++) {
        jw_object(&jw);
        jw_key_cstr(&jw, "file", faults->at[i].file);
        jw_key_u64(&jw, "line", faults->at[i].line);
        jw_key_cstr(&jw, "severity", faults->at[i].warning ? "warning" : "error");
        jw_key_cstr(&jw, "message", faults->at[i].message);
        jw_object_end(&jw);
    }
    jw_array_end(&jw);
    jw_object_end(&jw);
    printf("%.*s\n", (int)buf.len, buf.ptr);
    buf_free(&buf);
}

int
check_main(int argc, char **argv)
{
    struct options options;
    struct conf_faults faults;
    struct conf *conf;
    int rc = options_check(argc, argv, &options);

    if (rc >= 0)
        return rc;
    conf = conf_load(options.conf_path, &faults);
    rc = conf ? CLI_DONE : CLI_BAD_CONF;
    if (options.json)
        print_faults_json(&faults, conf != NULL);
    else
        print_faults(&faults);
    if (conf != NULL && !options.json)
        printf("%s: ok: %zu upstreams, %zu models, %zu channels\n", options.conf_path,
               conf->upstream_count, conf->model_count, conf->channel_count);
    conf_faults_free(&faults);
    conf_free(&conf);
    return rc;
}

static int
load_conf(const char *path, struct conf **out)
{
    struct conf_faults faults;

    *out = conf_load(path, &faults);
    if (*out == NULL) {
        print_faults(&faults);
        conf_faults_free(&faults);
        return CLI_BAD_CONF;
    }
    for (size_t i = 0; i < faults.count; i++)
        log_warn("conf.warning", "at=%s:%u message=%s", faults.at[i].file, faults.at[i].line,
                 log_quote(str_from(faults.at[i].message)));
    conf_faults_free(&faults);
    return 0;
}

/* ---- before the fork ---- */

static int
load_certificates(struct master *m)
{
    struct state_fault fault;

    if (state_certificates(m->options, m->now.certificates, &fault))
        return 0;
    options_complain(fault.file, fault.why, fault.hint);
    return fault.status;
}

/* The workers of a master that was killed close their listeners as soon as they notice. */
#define PROBES 40u
#define PROBE_WAIT_MS 50

static int
probe(const char *address, char *err, size_t cap)
{
    int rc = net_listen_probe(str_from(address), err, cap);

    for (unsigned i = 1; rc == -EADDRINUSE && i < PROBES; i++) {
        (void)poll(NULL, 0, PROBE_WAIT_MS);
        rc = net_listen_probe(str_from(address), err, cap);
    }
    return rc;
}

/* With port 0 all workers' sockets must get the port that the first one got. */
static int
bind_one(struct master *m, unsigned worker, unsigned k)
{
    const char *address = m->options->listen[k].address;
    char fixed[128], err[256];
    int fd;

    if (worker > 0) {
        const char *colon = strrchr(address, ':');

        snprintf(fixed, sizeof fixed, "%.*s:%u", (int)(colon ? colon - address : 0), address,
                 net_listen_port(m->listen_fd[0][k]));
        address = fixed;
    }
    fd = worker == 0 ? probe(address, err, sizeof err) : 0;
    if (fd == 0)
        fd = net_listen_socket(str_from(address), err, sizeof err);
    if (fd < 0) {
        options_complain("serve", err,
                         fd == -EACCES ? "ports below 1024 need root"
                                       : "another ADDR:PORT can be named with -l");
        return fd == -EACCES ? CLI_NOT_ALLOWED : CLI_FAILED;
    }
    m->listen_fd[worker][k] = fd;
    return 0;
}

static int
bind_all(struct master *m)
{
    for (unsigned k = 0; k < m->options->listen_count; k++)
        for (unsigned i = 0; i < m->options->worker_count; i++) {
            int rc = bind_one(m, i, k);

            if (rc != 0)
                return rc;
        }
    return 0;
}

/* Where we listen, with the ports we got: as text for the log, as JSON for status. */
static void
name_listeners(struct master *m)
{
    static const char *const scheme[] = {
        [LISTENER_PLAIN] = "http", [LISTENER_TLS] = "https", [LISTENER_METRICS] = "metrics"};
    struct buf text, json;
    struct jw jw;

    buf_init(&text, sizeof m->listeners_text - 1);
    buf_init(&json, sizeof m->listeners_json - 1);
    jw_init(&jw, &json);
    jw_array(&jw);
    for (unsigned k = 0; k < m->options->listen_count; k++) {
        const char *address = m->options->listen[k].address;
        const char *colon = strrchr(address, ':');
        char url[256];
        int n = snprintf(url, sizeof url, "%s://%.*s:%u", scheme[m->options->listen[k].kind],
                         (int)(colon ? colon - address : 0), address,
                         net_listen_port(m->listen_fd[0][k]));

        buf_add_fmt(&text, "%s%.*s", k ? " " : "", n, url);
        jw_cstr(&jw, url);
    }
    jw_array_end(&jw);
    str_copy(buf_str(&text), m->listeners_text, sizeof m->listeners_text);
    str_copy(json.failed ? STR("[]") : buf_str(&json), m->listeners_json,
             sizeof m->listeners_json);
    buf_free(&text);
    buf_free(&json);
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

static int
take_signals_over(struct master *m)
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

/* Secrets live in this process: no core files, no reading of its memory by others. */
static void
harden(void)
{
    struct rlimit none = {0, 0}, files;

    (void)prctl(PR_SET_DUMPABLE, 0);
    (void)setrlimit(RLIMIT_CORE, &none);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int
prepare(struct master *m, int *lock_fd, char *region_path, size_t cap, char *control_path,
        size_t control_cap)
{
    const struct options *o = m->options;
    int rc;

    rc = load_conf(o->conf_path, &m->now.conf);
    if (rc == 0)
        rc = load_certificates(m);
    if (rc == 0)
        rc = state_open(o, lock_fd);
    if (rc == 0)
        rc = bind_all(m);
    if (rc == 0)
        rc = state_drop_root(o);
    if (rc == 0)
        rc = state_control_socket(o->state_dir, control_path, control_cap, &m->control_fd);
    if (rc != 0)
        return rc;
    m->control_path = control_path;
    rc = state_region(o->state_dir, false, region_path, cap, &m->region);
    if (rc != 0)
        return rc;
    harden();
    rng_bytes(m->ticket_secret, sizeof m->ticket_secret);
    name_listeners(m);
    if (make_eventfds(m) < 0 || take_signals_over(m) < 0) {
        options_complain("serve", strerror(errno), NULL);
        return CLI_FAILED;
    }
    return 0;
}

static void
mark_header(struct master *m)
{
    struct region_header *header = m->region->header;

    atomic_store_explicit(&header->master_pid, (uint32_t)getpid(), memory_order_relaxed);
    atomic_store_explicit(&header->started_wall_us, clock_wall_us(), memory_order_relaxed);
    atomic_store_explicit(&header->draining, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&header->master_seq, 1, memory_order_relaxed);
    m->generation_last = spawn_generation_last(m) + 1;
    m->now.number = m->generation_last;
    atomic_store_explicit(&header->generation, m->now.number, memory_order_relaxed);
}

/* A memory file of another store (its directory was replaced) is made anew, once. */
static int
start_ledger(struct master *m, char *region_path, size_t cap)
{
    int rc;

    mark_header(m);
    rc = supervise_start_ledger(m);
    if (rc != EXIT_REGION_STALE)
        return rc;
    log_warn("region.stale", "dir=%s", region_path);
    region_detach(m->region);
    m->region = NULL;
    rc = state_region(m->options->state_dir, true, region_path, cap, &m->region);
    if (rc != 0)
        return rc;
    mark_header(m);
    return supervise_start_ledger(m);
}

/* With every slot free and everything committed the memory file has nothing that the store lacks. */
static bool
region_is_empty(const struct region *region)
{
    for (uint32_t i = 0; i < region->header->geometry.table_max; i++)
        if (atomic_load_explicit(&region->header->table[i].state, memory_order_acquire) !=
            TABLE_FREE)
            return false;
    return true;
}

/* A memory file that no ledger process has served from has nothing in it. */
static int
start_failed(struct master *m, const char *region_path, int rc)
{
    if (m->control_path != NULL)
        unlink(m->control_path);
    if (m->region != NULL &&
        atomic_load_explicit(&m->region->header->ready_seq, memory_order_acquire) == 0)
        (void)region_remove(region_path);
    return rc;
}

int
serve_main(int argc, char **argv)
{
    static struct options options;
    char region_path[4200], control_path[128];
    struct master *m = &the_master;
    int lock_fd = -1, stopped;
    int rc = options_serve(argc, argv, &options);

    if (rc >= 0)
        return rc;
    log_setup(&(struct log_setup){.process = "master",
                                  .level_max = options.log_debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
                                  .json = options.log_json});
    m->options = &options;
    m->ledger.lifeline_fd = -1;
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        m->worker[i].lifeline_fd = -1;
    rc = prepare(m, &lock_fd, region_path, sizeof region_path, control_path, sizeof control_path);
    if (rc != 0)
        return start_failed(m, region_path, rc);
    rc = start_ledger(m, region_path, sizeof region_path);
    if (rc != 0) {
        options_complain("ledger process", "does not start", "see the log above");
        return start_failed(m, region_path, rc == CLI_BUSY ? rc : CLI_FAILED);
    }
    rc = supervise_start_workers(m);
    if (rc == 0 && !m->stopping) {
        log_info("serve.ready", "workers=%u listen=%s", options.worker_count,
                 log_quote(str_from(m->listeners_text)));
        notify_send("READY=1\nSTATUS=serving");
    }
    if (rc != 0)
        raise(SIGTERM);
    stopped = supervise_run(m);
    unlink(control_path);
    if (stopped == CLI_DONE && region_is_empty(m->region))
        (void)region_remove(region_path);
    rc |= stopped;
    log_info("serve.stopped", "status=%d", rc);
    return rc;
}

#include "master/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/js.h"
#include "base/jw.h"
#include "base/log.h"
#include "base/str.h"
#include "base/version.h"
#include "master/handover.h"
#include "master/master.h"
#include "master/notify.h"
#include "master/serve.h"
#include "master/spawn.h"
#include "master/state.h"
#include "master/supervise.h"

#define CHECK_US UINT64_C(30000000)  /* for the new program to say what it thinks */
#define COMMIT_US UINT64_C(60000000) /* for all to be committed, once nobody calls */
#define LOOK_US UINT64_C(20000)
#define WAIT_US UINT64_C(500000)
#define SAID_BYTES 8192
#define WHY_BYTES 512
#define ANSWER_BYTES_MAX 65536
#define CANNOT_RUN 127 /* exit status of a check that is none: as a shell says it */

void
upgrade_init(struct upgrade *u)
{
    *u = (struct upgrade){.asker_fd = -1, .program_fd = -1, .said_fd = -1, .complained_fd = -1};
}

bool
upgrade_pauses(const struct master *m)
{
    return m->upgrade.state >= UPGRADE_DRAIN;
}

/* ---- answers ---- */

static void
answer_to(int fd, const struct upgrade_outcome *out, uint32_t generation)
{
    struct buf text;
    struct jw jw;

    buf_init(&text, ANSWER_BYTES_MAX);
    jw_init(&jw, &text);
    jw_object(&jw);
    jw_key_bool(&jw, "ok", true);
    jw_key(&jw, "result");
    jw_object(&jw);
    jw_key_bool(&jw, "ok", out->status == CLI_DONE);
    jw_key_u64(&jw, "exit", (uint64_t)out->status);
    jw_key_cstr(&jw, "why", out->why);
    jw_key_cstr(&jw, "hint", out->hint);
    jw_key_cstr(&jw, "from", out->from);
    jw_key_cstr(&jw, "to", out->to);
    jw_key_cstr(&jw, "said", out->said);
    jw_key_u64(&jw, "generation", generation);
    jw_key_u64(&jw, "started", out->started);
    jw_key_u64(&jw, "draining", out->draining);
    jw_object_end(&jw);
    jw_object_end(&jw);
    buf_add_char(&text, '\n');
    if (text.failed ||
        send(fd, text.ptr, text.len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)text.len)
        log_warn("upgrade.unanswered", "errno=%d", errno);
    buf_free(&text);
}

static uint32_t
generation_now(const struct master *m)
{
    return atomic_load_explicit(&m->region->header->generation, memory_order_relaxed);
}

void
upgrade_answer(struct master *m, const struct upgrade_outcome *out)
{
    if (m->upgrade.asker_fd >= 0)
        answer_to(m->upgrade.asker_fd, out, generation_now(m));
    close_fd(&m->upgrade.asker_fd);
}

/* ---- its end, when it does not happen ---- */

static void
forget(struct upgrade *u)
{
    close_fd(&u->program_fd);
    close_fd(&u->said_fd);
    close_fd(&u->complained_fd);
    u->state = UPGRADE_NONE;
    u->checker = u->told_to_end = 0;
    u->wait_told = u->check_killed = u->rebuild = false;
    u->version[0] = '\0';
}

static void PRINTF_LIKE(5, 6)
    fail(struct master *m, enum cli_exit status, const char *hint, const char *said,
         const char *fmt, ...)
{
    struct upgrade *u = &m->upgrade;
    char why[WHY_BYTES];
    va_list args;

    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    log_event(m->stopping ? LOG_LEVEL_WARN : LOG_LEVEL_ERROR, "upgrade.failed",
              "why=%s program=%s version=%s effect=%s", log_quote(str_from(why)),
              log_quote(str_from(handover_program())), turnpike_version,
              "\"this version goes on\"");
    upgrade_answer(m, &(struct upgrade_outcome){.status = status, .why = why, .hint = hint,
                                                .from = turnpike_version,
                                                .to = u->version[0] ? u->version : NULL,
                                                .said = said,
                                                .draining = supervise_draining(m)});
    if (!m->stopping)
        notify_send("READY=1\nSTATUS=serving; the last upgrade failed");
    if (u->checker > 0)
        kill(u->checker, SIGKILL);
    forget(u);
}

/* ---- the check ---- */

/* In the child: what is a new program's own, and nothing of ours but what it is to look at. */
static _Noreturn void
run_check(struct master *m, int file_fd)
{
    const struct upgrade *u = &m->upgrade;
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC), rc;
    sigset_t none;

    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(u->said_fd, STDOUT_FILENO) < 0 ||
        dup2(u->complained_fd, STDERR_FILENO) < 0)
        _exit(CLI_FAILED);
    (void)fcntl(file_fd, F_SETFD, 0);
    (void)fcntl(m->region->fd, F_SETFD, 0);
    unsetenv("JOURNAL_STREAM"); /* what it says is for people */
    rc = handover_exec(u->program_fd, "check", file_fd);
    fprintf(stderr, "%s\n", strerror(-rc));
    fflush(stderr);
    _exit(CANNOT_RUN);
}

static bool
start_check(struct master *m)
{
    struct upgrade *u = &m->upgrade;
    struct handover_words words = {.program_fd = -1, .region_fd = m->region->fd};
    int file_fd = handover_write(m, &words);

    u->said_fd = memfd_create("said", MFD_CLOEXEC);
    u->complained_fd = memfd_create("complained", MFD_CLOEXEC);
    if (file_fd >= 0 && u->said_fd >= 0 && u->complained_fd >= 0)
        u->checker = fork();
    else
        u->checker = -1;
    if (u->checker == 0)
        run_check(m, file_fd);
    if (file_fd >= 0)
        close(file_fd);
    return u->checker > 0;
}

static void
begin(struct master *m)
{
    struct upgrade *u = &m->upgrade;
    char text[96];

    u->wanted = false;
    snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=upgrading",
             (unsigned long long)clock_mono_us());
    notify_send(text);
    log_info("upgrade.begun", "program=%s version=%s asked_by=%s",
             log_quote(str_from(handover_program())), turnpike_version,
             u->asker_fd >= 0 ? "command" : "signal");
    /* Opened once: what is checked is what will run, whatever becomes of the name. */
    u->program_fd = open(handover_program(), O_PATH | O_CLOEXEC);
    if (u->program_fd < 0) {
        int error = errno;

        fail(m, error == EACCES ? CLI_NOT_ALLOWED : CLI_FAILED, "install the new version there",
             NULL, "%s: %s", handover_program(), strerror(error));
        return;
    }
    if (!start_check(m)) {
        u->checker = 0;
        fail(m, CLI_FAILED, NULL, NULL, "the new program cannot be tried: %s", strerror(errno));
        return;
    }
    u->state = UPGRADE_CHECK;
    u->give_up_us = clock_mono_us() + CHECK_US;
    handover_test_point("checking");
}

/* The beginning of a file in memory, as a string. */
static void
read_file(int fd, char *out, size_t cap)
{
    ssize_t n = pread(fd, out, cap - 1, 0);

    out[MAX(n, 0)] = '\0';
}

/* "turnpike: serve: …" of the last line: the words. */
static void
last_line(const char *text, char *out, size_t cap)
{
    struct str all = str_from(text), line;

    while (all.len > 0 && all.ptr[all.len - 1] == '\n')
        all.len--;
    line = all;
    for (size_t i = 0; i < all.len; i++)
        if (all.ptr[i] == '\n')
            line = (struct str){all.ptr + i + 1, all.len - i - 1};
    if (str_starts_with(line, STR("turnpike: ")))
        line = (struct str){line.ptr + 10, line.len - 10};
    str_copy(line, out, cap);
}

static unsigned
lines_of(const char *text)
{
    unsigned n = 0;

    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

static bool
read_report(struct upgrade *u)
{
    char said[SAID_BYTES], room[SAID_BYTES];
    struct js_value all, version;
    struct js_error err;
    struct str text;

    read_file(u->said_fd, said, sizeof said);
    if (!js_check(str_from(said), &all, &err))
        return false;
    version = js_get(all, STR("turnpike"));
    if (!js_is(version, JS_STRING))
        return false;
    text = js_unescape(version, room, sizeof room);
    if (text.ptr == NULL || text.len >= sizeof u->version)
        return false;
    str_copy(text, u->version, sizeof u->version);
    u->rebuild = js_bool(js_get(all, STR("rebuild")), false);
    return true;
}

static enum cli_exit
exit_of(int status)
{
    static const enum cli_exit told[] = {CLI_BUSY, CLI_NOT_ALLOWED, CLI_BAD_CONF};

    for (size_t i = 0; i < COUNT_OF(told); i++)
        if (WIFEXITED(status) && WEXITSTATUS(status) == (int)told[i])
            return told[i];
    return CLI_FAILED;
}

/* True when it may go on. */
static bool
check_passed(struct master *m)
{
    struct upgrade *u = &m->upgrade;
    int status = u->check_status;
    char complaint[SAID_BYTES], line[WHY_BYTES - 64];
    bool known;

    if (u->check_killed) {
        fail(m, CLI_FAILED, "see the server's log", NULL, "the new program does not end its check");
        return false;
    }
    known = read_report(u);
    read_file(u->complained_fd, complaint, sizeof complaint);
    last_line(complaint, line, sizeof line);
    if (WIFSIGNALED(status)) {
        fail(m, CLI_FAILED, "is it whole, and for this machine?", NULL,
             "the new program crashes: signal %d", WTERMSIG(status));
    } else if (WEXITSTATUS(status) == CANNOT_RUN) {
        fail(m, CLI_FAILED, "is it for this machine?", NULL, "the new program cannot be run: %s", line);
    } else if (WEXITSTATUS(status) != 0) {
        fail(m, exit_of(status), NULL, lines_of(complaint) > 1 ? complaint : NULL,
             "the new program refuses: %s", line[0] != '\0' ? line : "it does not say why");
    } else if (!known) {
        fail(m, CLI_FAILED, "is it the right file?", NULL, "%s is no turnpike that can take over",
             handover_program());
    } else {
        return true;
    }
    return false;
}

/* ---- the exec ---- */

/* Our ledger process was told to go: another of ours takes its place. */
static void
ledger_anew(struct master *m)
{
    close_fd(&m->ledger.lifeline_fd);
    m->ledger_before = m->ledger.pid;
    m->ledger = (struct child){.lifeline_fd = -1};
}

static void
become(struct master *m)
{
    struct upgrade *u = &m->upgrade;
    struct handover_words words = {.program_fd = open("/proc/self/exe", O_PATH | O_CLOEXEC),
                                   .region_fd = u->rebuild ? -1 : m->region->fd,
                                   .rebuild = u->rebuild};
    int file_fd = words.program_fd < 0 ? -errno : handover_write(m, &words), rc = file_fd;

    if (file_fd >= 0) {
        log_info("upgrade.exec", "from=%s to=%s", turnpike_version, u->version);
        handover_test_point("exec");
        supervise_ledger_leaves(m);
        handover_keep_fds(m, &words, true);
        (void)fcntl(file_fd, F_SETFD, 0);
        rc = handover_exec(u->program_fd, "take", file_fd);
        handover_keep_fds(m, &words, false);
        close(file_fd);
        ledger_anew(m);
    }
    if (words.program_fd >= 0)
        close(words.program_fd);
    fail(m, CLI_FAILED, NULL, NULL, "the new program cannot be run: %s", strerror(-rc));
}

/* ---- another memory file ---- */

static void
begin_drain(struct master *m)
{
    struct upgrade *u = &m->upgrade;

    u->state = UPGRADE_DRAIN;
    atomic_store_explicit(&m->region->header->draining, DRAINING_REBUILD, memory_order_release);
    for (unsigned i = 0; i < m->options->worker_count; i++)
        supervise_drain(m, i);
    log_info("upgrade.draining", "to=%s workers=%u effect=%s", u->version, supervise_draining(m),
             "\"its memory file is another: calls under way end first, new ones wait\"");
    notify_send("STATUS=upgrading; calls under way end first");
}

/* Workers start again, on what is there. */
static void
resume(struct master *m)
{
    m->hung_up = m->ledger_done = false;
    atomic_store_explicit(&m->region->header->draining, DRAINING_NOT, memory_order_relaxed);
    for (unsigned i = 0; i < m->options->worker_count; i++)
        m->worker[i].start_us = 0;
}

static void
begin_commit(struct master *m)
{
    m->upgrade.state = UPGRADE_COMMIT;
    m->upgrade.give_up_us = clock_mono_us() + COMMIT_US;
    m->hung_up = true;
    handover_test_point("drained");
}

/* One that is still starting would die of it. */
static void
end_ledger(struct master *m)
{
    if (m->ledger.state != CHILD_SERVING || m->upgrade.told_to_end == m->ledger.pid)
        return;
    m->upgrade.told_to_end = m->ledger.pid;
    kill(m->ledger.pid, SIGTERM);
}

static void
end_commit(struct master *m)
{
    handover_test_point("committed");
    if (state_region_empty(m->region) && region_remove(m->region_path) == 0) {
        become(m); /* comes back only when it could not */
        if (serve_region_anew(m) != 0)
            exit(CLI_FAILED); /* nobody runs, and all is committed: a start is what is needed */
    } else {
        fail(m, CLI_FAILED, "see the server's log", NULL, "the memory file is not empty");
    }
    resume(m);
}

static void
turn_commit(struct master *m)
{
    end_ledger(m);
    if (m->ledger_done) {
        end_commit(m);
    } else if (clock_mono_us() >= m->upgrade.give_up_us) {
        fail(m, CLI_FAILED, "see the server's log", NULL, "what is settled cannot be committed");
        resume(m);
    }
}

/* ---- the steps ---- */

static bool
may_begin(const struct master *m)
{
    return m->reload.state == RELOAD_NONE && !m->reload.wanted &&
           m->ledger.state == CHILD_SERVING &&
           spawn_tables_free(m) >= m->options->worker_count;
}

static void
turn_wanted(struct master *m)
{
    struct upgrade *u = &m->upgrade;

    if (may_begin(m)) {
        begin(m);
        return;
    }
    if (!u->wait_told)
        log_warn("upgrade.waits", "draining=%u effect=%s", supervise_draining(m),
                 "\"it begins when workers of earlier generations have gone\"");
    u->wait_told = true;
}

static void
turn_check(struct master *m)
{
    struct upgrade *u = &m->upgrade;

    if (u->checker > 0) {
        if (clock_mono_us() >= u->give_up_us && !u->check_killed) {
            u->check_killed = true;
            kill(u->checker, SIGKILL);
        }
        return;
    }
    if (!check_passed(m))
        return;
    if (u->rebuild)
        begin_drain(m);
    else
        become(m);
}

void
upgrade_turn(struct master *m)
{
    struct upgrade *u = &m->upgrade;

    if (m->stopping)
        return;
    if (u->state == UPGRADE_NONE && u->wanted)
        turn_wanted(m);
    if (u->state == UPGRADE_CHECK)
        turn_check(m);
    if (u->state == UPGRADE_DRAIN && supervise_draining(m) == 0)
        begin_commit(m);
    if (u->state == UPGRADE_COMMIT)
        turn_commit(m);
}

uint64_t
upgrade_due_us(const struct master *m)
{
    const struct upgrade *u = &m->upgrade;

    if (m->stopping || (u->state == UPGRADE_NONE && !u->wanted))
        return UINT64_MAX;
    return clock_mono_us() + (u->wait_told ? WAIT_US : LOOK_US);
}

/* ---- what happens meanwhile ---- */

void
upgrade_signalled(struct master *m)
{
    if (m->upgrade.state == UPGRADE_NONE)
        m->upgrade.wanted = true;
}

void
upgrade_asked(struct master *m, int asker_fd)
{
    struct upgrade *u = &m->upgrade;
    struct upgrade_outcome busy = {.status = CLI_BUSY, .from = turnpike_version,
                                   .draining = supervise_draining(m)};

    if (asker_fd < 0)
        return;
    if (m->stopping) {
        busy.why = "the server is stopping";
    } else if (u->state != UPGRADE_NONE || u->wanted) {
        busy.why = "one is under way";
        busy.hint = "try again when it is done";
    } else if (m->reload.state != RELOAD_NONE || m->reload.wanted) {
        busy.why = "a reload is under way";
        busy.hint = "try again when it is done";
    } else if (!may_begin(m)) {
        busy.why = "workers of earlier generations still finish their calls";
        busy.hint = "try again later; turnpike status shows them, time-reload bounds them";
    } else {
        u->asker_fd = asker_fd;
        u->wanted = true;
        return;
    }
    answer_to(asker_fd, &busy, generation_now(m));
    close(asker_fd);
}

bool
upgrade_child_ended(struct master *m, pid_t pid, int status)
{
    if (pid != m->upgrade.checker)
        return false;
    m->upgrade.checker = 0;
    m->upgrade.check_status = status;
    return true;
}

void
upgrade_stop(struct master *m)
{
    struct upgrade *u = &m->upgrade;

    u->wanted = false;
    if (u->state != UPGRADE_NONE || u->asker_fd >= 0)
        fail(m, CLI_BUSY, NULL, NULL, "the server is stopping");
    m->hung_up = m->ledger_done = false;
}

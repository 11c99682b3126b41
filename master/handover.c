#include "master/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/js.h"
#include "base/jw.h"
#include "base/str.h"
#include "base/version.h"
#include "master/master.h"

#define FILE_BYTES_MAX (1u << 20)
#define FD_MAX 1000000u

static const char *const mode_name[] = {
    [HANDOVER_NONE] = "", [HANDOVER_CHECK] = "check", [HANDOVER_TAKE] = "take", [HANDOVER_BACK] = "back"};
_Static_assert(COUNT_OF(mode_name) == HANDOVER_MODE_COUNT, "a new mode needs a name");
static const char *const kind_name[] = {
    [LISTENER_PLAIN] = "http", [LISTENER_TLS] = "https", [LISTENER_METRICS] = "metrics"};

/* ---- the program ---- */

static char **started_argv;
static char program_path[PATH_MAX];

/* What a shell would have run: a word without a slash is looked for in $PATH. */
static void
program_find(const char *word, char *out, size_t cap)
{
    struct str rest = str_from(getenv("PATH"));

    while (strchr(word, '/') == NULL && rest.ptr != NULL) {
        struct str dir = str_split(rest, ':', &rest);

        snprintf(out, cap, "%.*s/%s", (int)dir.len, dir.ptr, word);
        if (dir.len > 0 && access(out, X_OK) == 0)
            return;
    }
    snprintf(out, cap, "%s", word);
}

void
handover_remember(char **argv)
{
    char found[PATH_MAX], here[PATH_MAX];
    ssize_t n;

    started_argv = argv;
    program_find(argv[0] != NULL ? argv[0] : "", found, sizeof found);
    if (found[0] == '/') {
        str_copy(str_from(found), program_path, sizeof program_path);
    } else if (strchr(found, '/') != NULL && getcwd(here, sizeof here) != NULL) {
        size_t len = str_copy(str_from(here), program_path, sizeof program_path - 1);

        program_path[len++] = '/';
        str_copy(str_from(strncmp(found, "./", 2) == 0 ? found + 2 : found), program_path + len,
                 sizeof program_path - len);
    } else {
        n = readlink("/proc/self/exe", program_path, sizeof program_path - 1);
        program_path[MAX(n, 0)] = '\0';
    }
}

char **
handover_argv(void)
{
    return started_argv;
}

const char *
handover_program(void)
{
    return program_path;
}

void
handover_program_is(const char *path)
{
    str_copy(str_from(path), program_path, sizeof program_path);
}

int
handover_exec(int program_fd, const char *mode, int file_fd)
{
    char value[64];

    snprintf(value, sizeof value, "%s:%d", mode, file_fd);
    if (setenv(HANDOVER_ENV, value, 1) < 0)
        return -ENOMEM;
    (void)syscall(SYS_execveat, program_fd, "", started_argv, environ, AT_EMPTY_PATH);
    unsetenv(HANDOVER_ENV);
    return -errno;
}

#ifdef UPGRADE_TEST_POINTS
#include <signal.h>

/* The file says "DO:NAME": what shall happen, and where. */
void
handover_test_point(const char *name)
{
    const char *path = getenv("TURNPIKE_TEST_POINT");
    FILE *file = path != NULL ? fopen(path, "re") : NULL;
    char line[64] = "", what[16] = "", where[32] = "";

    if (file == NULL)
        return;
    if (fgets(line, sizeof line, file) == NULL)
        line[0] = '\0';
    fclose(file);
    if (sscanf(line, "%15[a-z]:%31[a-z]", what, where) != 2 || strcmp(where, name) != 0)
        return;
    if (strcmp(what, "stop") == 0)
        raise(SIGSTOP);
    else if (strcmp(what, "crash") == 0)
        raise(SIGABRT); /* as an assertion does; of others a sanitizer makes its own end */
    else if (strcmp(what, "exit") == 0)
        _exit(1);
}
#endif

/* ---- descriptors ---- */

static void
keep_over_exec(int fd, bool keep)
{
    if (fd >= 0)
        (void)fcntl(fd, F_SETFD, keep ? 0 : FD_CLOEXEC);
}

void
handover_fds_over_exec(const struct handover *h, bool keep)
{
    const int fds[] = {h->program_fd, h->lock_fd, h->control_fd, h->region_fd, h->ledger_wake_fd,
                       h->asker_fd, h->manage_fd};

    for (size_t i = 0; i < COUNT_OF(fds); i++)
        keep_over_exec(fds[i], keep);
    for (unsigned i = 0; i < REGION_TABLES_MAX; i++)
        keep_over_exec(h->worker_wake_fd[i], keep);
    for (unsigned i = 0; i < h->worker_count; i++)
        for (unsigned k = 0; k < h->listen_count; k++)
            keep_over_exec(h->listen_fd[i][k], keep);
    for (unsigned i = 0; i < h->worker_child_count; i++)
        keep_over_exec(h->worker[i].lifeline_fd, keep);
}

void
handover_keep_fds(const struct master *m, const struct handover_words *words, bool keep)
{
    const int fds[] = {words->program_fd,  words->region_fd, m->lock_fd, m->control_fd,
                       m->ledger_wake_fd, m->upgrade.asker_fd, m->manage_fd};

    for (size_t i = 0; i < COUNT_OF(fds); i++)
        keep_over_exec(fds[i], keep);
    for (unsigned i = 0; i < REGION_TABLES_MAX; i++)
        keep_over_exec(m->worker_wake_fd[i], keep);
    for (unsigned i = 0; i < m->options->worker_count; i++)
        for (unsigned k = 0; k < m->options->listen_count; k++)
            keep_over_exec(m->listen_fd[i][k], keep);
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        if (m->worker[i].pid > 0)
            keep_over_exec(m->worker[i].lifeline_fd, keep);
}

/* ---- writing ---- */

static void
write_listeners(struct jw *jw, const struct master *m)
{
    jw_key(jw, "listeners");
    jw_array(jw);
    for (unsigned k = 0; k < m->options->listen_count; k++) {
        jw_object(jw);
        jw_key_cstr(jw, "kind", kind_name[m->options->listen[k].kind]);
        jw_key_cstr(jw, "address", m->options->listen[k].address);
        jw_key(jw, "fds");
        jw_array(jw);
        for (unsigned i = 0; i < m->options->worker_count; i++)
            jw_i64(jw, m->listen_fd[i][k]);
        jw_array_end(jw);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

/* Those that a successor started before it gave up are to drain when they come back with it. */
static void
write_workers(struct jw *jw, const struct master *m)
{
    jw_key(jw, "workers");
    jw_array(jw);
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        const struct child *child = &m->worker[i];

        if (child->pid <= 0)
            continue;
        jw_object(jw);
        jw_key_i64(jw, "pid", child->pid);
        jw_key_i64(jw, "lifeline", child->lifeline_fd);
        jw_key_u64(jw, "table", child->table_idx);
        jw_key_u64(jw, "number", child->number);
        jw_key_bool(jw, "serving", child->state == CHILD_SERVING);
        jw_key_bool(jw, "drains", i >= WORKERS_NEXT && !child->replaced);
        jw_key_bool(jw, "killed", i >= WORKERS_OLD && !child->replaced && child->kill_us == 0);
        jw_key_u64(jw, "kill_us", child->kill_us);
        jw_key_u64(jw, "stop_ms", child->stop_ms);
        jw_key_u64(jw, "reload_ms", child->reload_ms);
        jw_object_end(jw);
    }
    jw_array_end(jw);
}

static void
write_secrets(struct jw *jw, const struct conf *conf)
{
    jw_key(jw, "secrets");
    jw_array(jw);
    for (size_t i = 0; conf != NULL && i < conf->upstream_count; i++)
        for (size_t k = 0; k < conf->upstreams[i].credential_count; k++) {
            const struct conf_credential *credential = &conf->upstreams[i].credentials[k];
            struct buf name;

            if (credential->secret.len == 0)
                continue;
            buf_init(&name, 65536);
            buf_add_str(&name, conf->upstreams[i].name);
            if (credential->name.len > 0) {
                buf_add_char(&name, '/');
                buf_add_str(&name, credential->name);
            }
            jw_str(jw, buf_str(&name));
            buf_free(&name);
        }
    jw_array_end(jw);
}

static void
write_all(struct jw *jw, const struct master *m, const struct handover_words *words)
{
    char secret[2 * sizeof m->ticket_secret + 1];

    str_hex(m->ticket_secret, sizeof m->ticket_secret, secret);
    jw_object(jw);
    jw_key_u64(jw, "protocol", HANDOVER_PROTOCOL);
    jw_key_cstr(jw, "version", turnpike_version);
    jw_key_cstr(jw, "program", handover_program());
    jw_key_u64(jw, "layout", REGION_LAYOUT_VERSION);
    jw_key_u64(jw, "schema", ledger_schema);
    jw_key_bool(jw, "rebuild", words->rebuild);
    jw_key_i64(jw, "program_fd", words->program_fd);
    jw_key_i64(jw, "lock_fd", m->lock_fd);
    jw_key_i64(jw, "control_fd", m->control_fd);
    jw_key_i64(jw, "region_fd", words->region_fd);
    jw_key_i64(jw, "ledger_wake_fd", m->ledger_wake_fd);
    jw_key_i64(jw, "asker_fd", m->upgrade.asker_fd);
    jw_key_i64(jw, "manage_fd", m->manage_fd);
    jw_key(jw, "worker_wake_fds");
    jw_array(jw);
    for (unsigned i = 0; i < REGION_TABLES_MAX; i++)
        jw_i64(jw, m->worker_wake_fd[i]);
    jw_array_end(jw);
    jw_key_u64(jw, "worker_count", m->options->worker_count);
    write_listeners(jw, m);
    jw_key_cstr(jw, "ticket_secret", secret);
    jw_key_i64(jw, "ledger_pid", MAX(m->ledger.pid, 0));
    jw_key_u64(jw, "generation_last", m->generation_last);
    jw_key_i64(jw, "started_us", atomic_load_explicit(&m->region->header->started_wall_us,
                                                      memory_order_relaxed));
    jw_key_bool(jw, "reload_wanted", m->reload.wanted);
    write_workers(jw, m);
    write_secrets(jw, m->now.conf);
    jw_key_cstr(jw, "why", words->why);
    jw_key_cstr(jw, "hint", words->hint);
    jw_key_u64(jw, "exit", words->exit);
    jw_object_end(jw);
    explicit_bzero(secret, sizeof secret);
}

int
handover_write(const struct master *m, const struct handover_words *words)
{
    int fd = memfd_create("handover", MFD_CLOEXEC), rc = 0;
    struct buf text;
    struct jw jw;

    if (fd < 0)
        return -errno;
    buf_init(&text, FILE_BYTES_MAX);
    jw_init(&jw, &text);
    write_all(&jw, m, words);
    if (text.failed)
        rc = -ENOMEM;
    else if (pwrite(fd, text.ptr, text.len, 0) != (ssize_t)text.len)
        rc = -EIO;
    if (text.ptr != NULL)
        explicit_bzero(text.ptr, text.cap);
    buf_free(&text);
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

/* ---- reading ---- */

static bool
number(struct js_value object, const char *name, uint64_t max, uint64_t *out)
{
    return js_count(js_get(object, str_from(name)), max, out);
}

static bool
u32(struct js_value object, const char *name, uint32_t max, uint32_t *out)
{
    uint64_t n;

    if (!number(object, name, max, &n))
        return false;
    *out = (uint32_t)n;
    return true;
}

static bool
fd_of(struct js_value value, int *out)
{
    int64_t n;

    if (!js_i64(value, &n) || n < -1 || n > (int64_t)FD_MAX)
        return false;
    *out = (int)n;
    return true;
}

static bool
pid_of(struct js_value object, const char *name, pid_t *out)
{
    uint64_t n;

    if (!number(object, name, INT_MAX, &n))
        return false;
    *out = (pid_t)n;
    return true;
}

/* Absent or null: empty. */
static bool
text_of(struct js_value object, const char *name, char *out, size_t cap)
{
    struct js_value value = js_get(object, str_from(name));
    char room[8192];
    struct str text;

    out[0] = '\0';
    if (!js_is(value, JS_STRING))
        return true;
    text = js_unescape(value, room, sizeof room);
    if (text.ptr == NULL || text.len >= cap)
        return false;
    str_copy(text, out, cap);
    return true;
}

static bool
read_listener(struct handover *h, struct js_value object)
{
    unsigned k = h->listen_count;
    struct js_value key, value, kind = js_get(object, STR("kind"));
    struct js_iter it;
    unsigned i = 0;

    if (k == OPTIONS_LISTEN_MAX || !text_of(object, "address", h->address[k], sizeof h->address[k]))
        return false;
    h->listen[k].address = h->address[k];
    h->listen[k].passed_fd = -1; /* all are handed */
    for (unsigned n = 0; n < COUNT_OF(kind_name); n++)
        if (js_str_eq(kind, str_from(kind_name[n])))
            h->listen[k].kind = (enum worker_listener_kind)n;
    for (js_iter_init(&it, js_get(object, STR("fds"))); js_next(&it, &key, &value); i++)
        if (i >= h->worker_count || !fd_of(value, &h->listen_fd[i][k]))
            return false;
    h->listen_count++;
    return i == h->worker_count;
}

static bool
read_worker(struct handover *h, struct js_value object)
{
    struct handover_worker *w = &h->worker[h->worker_child_count];

    if (h->worker_child_count == HANDOVER_WORKERS_MAX)
        return false;
    w->serving = js_bool(js_get(object, STR("serving")), false);
    w->drains = js_bool(js_get(object, STR("drains")), false);
    w->killed = js_bool(js_get(object, STR("killed")), false);
    h->worker_child_count++;
    return pid_of(object, "pid", &w->pid) && w->pid > 0 &&
           fd_of(js_get(object, STR("lifeline")), &w->lifeline_fd) &&
           u32(object, "table", REGION_TABLES_MAX - 1, &w->table_idx) &&
           u32(object, "number", OPTIONS_WORKERS_MAX - 1, &w->number) &&
           str_to_u64(js_get(object, STR("kill_us")).raw, &w->kill_us) &&
           u32(object, "stop_ms", UINT32_MAX, &w->stop_ms) &&
           u32(object, "reload_ms", UINT32_MAX, &w->reload_ms);
}

static bool
read_secrets(struct handover *h, struct js_value list)
{
    struct js_value key, value;
    struct js_iter it;

    h->secrets = malloc(list.raw.len + 1);
    if (h->secrets == NULL)
        return false;
    for (js_iter_init(&it, list); js_next(&it, &key, &value);) {
        struct str name = js_unescape(value, h->secrets + h->secrets_bytes, value.raw.len + 1);

        if (name.ptr == NULL)
            return false;
        memmove(h->secrets + h->secrets_bytes, name.ptr, name.len);
        h->secrets_bytes += name.len;
        h->secrets[h->secrets_bytes++] = '\0';
    }
    return true;
}

static bool
read_fds(struct handover *h, struct js_value all)
{
    static const char *const names[] = {"lock_fd", "control_fd", "region_fd", "ledger_wake_fd",
                                        "asker_fd"};
    int *const to[] = {&h->lock_fd, &h->control_fd, &h->region_fd, &h->ledger_wake_fd, &h->asker_fd};
    struct js_value key, value;
    struct js_iter it;
    unsigned i = 0;

    for (size_t n = 0; n < COUNT_OF(names); n++)
        if (!fd_of(js_get(all, str_from(names[n])), to[n]))
            return false;
    /* Of earlier versions there is none. */
    if (js_is(js_get(all, STR("manage_fd")), JS_NUMBER) && !fd_of(js_get(all, STR("manage_fd")), &h->manage_fd))
        return false;
    for (js_iter_init(&it, js_get(all, STR("worker_wake_fds"))); js_next(&it, &key, &value); i++)
        if (i >= REGION_TABLES_MAX || !fd_of(value, &h->worker_wake_fd[i]))
            return false;
    return true;
}

static bool
read_lists(struct handover *h, struct js_value all)
{
    struct js_value key, value;
    struct js_iter it;

    for (js_iter_init(&it, js_get(all, STR("listeners"))); js_next(&it, &key, &value);)
        if (!read_listener(h, value))
            return false;
    for (js_iter_init(&it, js_get(all, STR("workers"))); js_next(&it, &key, &value);)
        if (!read_worker(h, value))
            return false;
    return read_secrets(h, js_get(all, STR("secrets")));
}

static bool
read_members(struct handover *h, struct js_value all)
{
    struct js_value secret = js_get(all, STR("ticket_secret"));
    uint32_t status = 0;

    h->rebuild = js_bool(js_get(all, STR("rebuild")), false);
    h->reload_wanted = js_bool(js_get(all, STR("reload_wanted")), false);
    if (!js_i64(js_get(all, STR("started_us")), &h->started_wall_us) ||
        !u32(all, "layout", UINT32_MAX, &h->layout) || !u32(all, "schema", UINT32_MAX, &h->schema) ||
        !u32(all, "worker_count", OPTIONS_WORKERS_MAX, &h->worker_count) || h->worker_count == 0 ||
        !u32(all, "generation_last", UINT32_MAX, &h->generation_last) ||
        !u32(all, "exit", 125, &status) || !pid_of(all, "ledger_pid", &h->ledger_pid))
        return false;
    h->exit = status;
    return js_is(secret, JS_STRING) &&
           str_unhex(secret.raw, h->ticket_secret, sizeof h->ticket_secret) &&
           text_of(all, "program", h->program, sizeof h->program) &&
           text_of(all, "why", h->why, sizeof h->why) &&
           text_of(all, "hint", h->hint, sizeof h->hint) && read_fds(h, all) && read_lists(h, all);
}

/* What must be known even of words that cannot be understood: who can be gone back to. */
static const char *
read_text(struct handover *h, struct str text)
{
    struct js_value all;
    struct js_error err;
    uint64_t protocol;

    if (!js_check(text, &all, &err) || !js_is(all, JS_OBJECT))
        return "what the running server hands over cannot be read";
    (void)fd_of(js_get(all, STR("program_fd")), &h->program_fd);
    (void)text_of(all, "version", h->version, sizeof h->version);
    if (!number(all, "protocol", UINT32_MAX, &protocol) || protocol != HANDOVER_PROTOCOL)
        return "it cannot take over from a server of that version";
    return read_members(h, all) ? NULL : "what the running server hands over makes no sense";
}

/* "take:7", "back:7:11". */
static bool
read_mode(struct handover *h, const char *value)
{
    struct str rest, mode = str_split(str_from(value), ':', &rest);
    struct str after, fd = str_split(rest, ':', &after);
    uint64_t n;

    for (unsigned i = 1; i < COUNT_OF(mode_name); i++)
        if (str_eq(mode, str_from(mode_name[i])))
            h->mode = (enum handover_mode)i;
    if (h->mode == HANDOVER_NONE || !str_to_count(fd, FD_MAX, &n))
        return false;
    h->file_fd = (int)n;
    if (after.len > 0 && str_to_count(after, 64, &n))
        h->by_signal = (unsigned)n;
    return true;
}

bool
handover_read(struct handover *h, const char **why)
{
    const char *value = getenv(HANDOVER_ENV);
    struct stat st;
    char *text = NULL;

    memset(h, 0, sizeof *h);
    memset(h->worker_wake_fd, -1, sizeof h->worker_wake_fd);
    memset(h->listen_fd, -1, sizeof h->listen_fd);
    h->file_fd = h->program_fd = h->lock_fd = h->control_fd = h->region_fd = -1;
    h->ledger_wake_fd = h->asker_fd = h->manage_fd = -1;
    if (value == NULL)
        return true;
    *why = HANDOVER_ENV " is for a server that is upgraded";
    if (!read_mode(h, value) || fstat(h->file_fd, &st) < 0 || st.st_size <= 0 ||
        st.st_size > (off_t)FILE_BYTES_MAX) {
        h->mode = h->mode == HANDOVER_NONE ? HANDOVER_CHECK : h->mode;
        return false;
    }
    unsetenv(HANDOVER_ENV);
    text = malloc((size_t)st.st_size);
    *why = "what the running server hands over cannot be read";
    if (text != NULL && pread(h->file_fd, text, (size_t)st.st_size, 0) == st.st_size)
        *why = read_text(h, (struct str){text, (size_t)st.st_size});
    if (text != NULL)
        explicit_bzero(text, (size_t)st.st_size);
    free(text);
    if (h->mode == HANDOVER_BACK && h->program_fd >= 0) { /* of a crash: it is this very program */
        close(h->program_fd);
        h->program_fd = -1;
    }
    return *why == NULL;
}

void
handover_free(struct handover *h)
{
    free(h->secrets);
    h->secrets = NULL;
    h->secrets_bytes = 0;
    explicit_bzero(h->ticket_secret, sizeof h->ticket_secret);
}

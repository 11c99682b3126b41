/* turnpike restore: ledger/restore.h by the command line. The file is opened with our own rights, and read with
 * those of the state directory's owner. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/jw.h"
#include "base/str.h"
#include "cli/apart.h"
#include "cli/backup.h"
#include "cli/client.h"
#include "cli/help.h"
#include "cli/local.h"
#include "cli/progress.h"
#include "ledger/restore.h"

struct restoring {
    struct restore restore;
    const char *state_dir;
    bool verify, json;
    _Atomic uint64_t done_bytes, about_bytes; /* relaxed: for a line on the terminal */
};

static volatile sig_atomic_t interrupted;

static void
on_signal(int signo)
{
    (void)signo;
    interrupted = 1;
}

/* What is half made is removed before we end. */
static void
hear_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGHUP, &action, NULL);
}

static bool
on_progress(void *arg, uint64_t done_bytes, uint64_t about_bytes)
{
    struct restoring *restoring = arg;

    atomic_store_explicit(&restoring->done_bytes, done_bytes, memory_order_relaxed);
    atomic_store_explicit(&restoring->about_bytes, about_bytes, memory_order_relaxed);
    return interrupted == 0;
}

static void
look(void *arg, uint64_t *done_bytes, uint64_t *about_bytes)
{
    struct restoring *restoring = arg;

    *done_bytes = atomic_load_explicit(&restoring->done_bytes, memory_order_relaxed);
    *about_bytes = atomic_load_explicit(&restoring->about_bytes, memory_order_relaxed);
}

/* ---- what is said of it ---- */

static void
say_json(const struct restoring *restoring)
{
    const struct restore *restore = &restoring->restore;
    struct buf out;
    struct jw jw;

    buf_init(&out, 65536);
    jw_init(&jw, &out);
    jw_object(&jw);
    jw_key_bool(&jw, "restored", !restoring->verify);
    backup_about_write(&restore->about, &jw);
    jw_key_cstr(&jw, "aside", restore->aside[0] != '\0' ? restore->aside : NULL);
    jw_object_end(&jw);
    printf("%.*s\n", STR_ARGS(buf_str(&out)));
    buf_free(&out);
}

static void
say(const struct restoring *restoring)
{
    const struct restore *restore = &restoring->restore;
    char time[RFC3339_LEN + 1];

    clock_rfc3339(restore->about.wall_us, time);
    printf("%s backup of %.19sZ: %llu tenant%s, %llu call%s, last sequence %llu; the books balance\n",
           restoring->verify ? "good:" : "restored:", time,
           (unsigned long long)restore->about.tenants, restore->about.tenants == 1 ? "" : "s",
           (unsigned long long)restore->about.calls, restore->about.calls == 1 ? "" : "s",
           (unsigned long long)restore->about.seq);
    if (restore->aside[0] != '\0')
        printf("the store that was there is now %s%s\n", restore->aside,
               restore->aside_unsettled ? "; it could not be opened" : "");
}

static enum cli_exit
failed(const struct restore *restore, int rc)
{
    enum cli_exit status = rc == -EBUSY                       ? CLI_BUSY
                           : rc == -EACCES || rc == -EPERM ? CLI_NOT_ALLOWED
                                                              : CLI_FAILED;
    const char *hint = restore->fault.hint;

    if (hint == NULL && rc == -EBUSY)
        hint = "stop it first: turnpike stop";
    if (hint == NULL && status == CLI_NOT_ALLOWED)
        hint = "run as its owner or as root";
    return complain(status, restore->fault.what, restore->fault.why, hint);
}

/* ---- doing it ---- */

static int
verify(struct restoring *restoring)
{
    const char *tmp = getenv("TMPDIR");
    char dir[4096];
    int rc;

    if ((size_t)snprintf(dir, sizeof(dir), "%s/turnpike-verify-XXXXXX",
                         tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp") >= sizeof(dir) ||
        mkdtemp(dir) == NULL) {
        snprintf(restoring->restore.fault.what, sizeof(restoring->restore.fault.what), "%s", dir);
        restoring->restore.fault.why = "there is no place to unpack it";
        restoring->restore.fault.hint = "name one in TMPDIR";
        return -errno;
    }
    rc = restore_verify(&restoring->restore, dir);
    (void)rmdir(dir);
    return rc;
}

static enum cli_exit
work(void *arg, struct apart_said *said)
{
    struct restoring *restoring = arg;
    struct progress progress = {.what = "restore", .look = look, .arg = restoring};
    int rc;

    (void)said;
    hear_signals();
    progress_start(&progress);
    rc = restoring->verify ? verify(restoring)
                           : restore_run(&restoring->restore, restoring->state_dir);
    progress_end(&progress);
    if (rc < 0)
        return failed(&restoring->restore, rc);
    if (restoring->json)
        say_json(restoring);
    else
        say(restoring);
    return CLI_DONE;
}

static enum cli_exit
open_file(const char *path, int *fd)
{
    *fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                 : open(path, O_RDONLY | O_CLOEXEC);
    if (*fd >= 0)
        return CLI_DONE;
    return complain(errno == EACCES ? CLI_NOT_ALLOWED : CLI_FAILED, path, strerror(errno), NULL);
}

/* Before anything is read: 0, or why not. */
static enum cli_exit
may_restore(const char *state_dir)
{
    int fd = client_connect(state_dir);

    if (fd >= 0) {
        close(fd);
        return complain(CLI_BUSY, "restore", "a server runs on this state directory",
                        "stop it first: turnpike stop");
    }
    if (fd == -ENOENT && access(state_dir, F_OK) != 0 && mkdir(state_dir, 0700) != 0)
        return complain(errno == EACCES ? CLI_NOT_ALLOWED : CLI_FAILED, state_dir, strerror(errno),
                        NULL);
    return CLI_DONE;
}

enum cli_exit
restore_cli_run(const struct cli_local *local)
{
    struct restoring restoring = {
        .state_dir = local->state_dir,
        .verify = local_value(local, "verify") != NULL,
        .json = local->json,
    };
    struct restore *restore = &restoring.restore;
    struct apart apart = {.work = work, .arg = &restoring};
    enum cli_exit status = open_file(local->arguments[0], &restore->fd);

    if (status != CLI_DONE)
        return status;
    restore->file = local->arguments[0];
    restore->force = local_value(local, "force") != NULL;
    restore->on_progress = on_progress;
    restore->arg = &restoring;
    status = restoring.verify ? CLI_DONE : may_restore(local->state_dir);
    if (status == CLI_DONE) {
        status = apart_run(&apart, "restore");
        apart_end(&apart);
    }
    close(restore->fd);
    return status;
}

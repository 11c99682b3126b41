/*
 * The ledger writes the backup into a descriptor of ours; we name the file when it is whole. What is no
 * file goes through a pipe of our own, since the ledger makes what it gets non-blocking, which others
 * who share standard output with us would notice.
 */
#include "cli/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/str.h"
#include "cli/apart.h"
#include "cli/ask.h"
#include "cli/help.h"
#include "cli/local.h"
#include "cli/outfile.h"
#include "cli/progress.h"
#include "ledger/backup.h"

struct taking {
    struct ask_of of;
    struct outfile out;
};

/* ---- a pipe in between ---- */

struct pump {
    pthread_t thread;
    int from, to;
    int error;
};

static void *
pump_main(void *arg)
{
    struct pump *pump = arg;
    static char bytes[65536];
    ssize_t n;

    while (pump->error == 0 && (n = read(pump->from, bytes, sizeof(bytes))) > 0) {
        for (ssize_t at = 0, wrote; at < n; at += wrote) {
            wrote = write(pump->to, bytes + at, (size_t)(n - at));
            if (wrote < 0 && errno == EINTR)
                wrote = 0;
            if (wrote < 0) {
                pump->error = errno;
                break;
            }
        }
    }
    close(pump->from); /* who still writes is told */
    return NULL;
}

/* The end to write to, or a negative errno. */
static int
pump_start(struct pump *pump, int to)
{
    int fds[2];

    *pump = (struct pump){.to = to};
    if (pipe2(fds, O_CLOEXEC) != 0)
        return -errno;
    pump->from = fds[0];
    if (pthread_create(&pump->thread, NULL, pump_main, pump) == 0)
        return fds[1];
    close(fds[0]);
    close(fds[1]);
    return -EAGAIN;
}

/* ---- taking one ---- */

static void
look(void *arg, uint64_t *done_bytes, uint64_t *about_bytes)
{
    const struct taking *taking = arg;
    struct backup_about about;
    struct stat st;

    if (taking->out.is_stream || fstat(taking->out.fd, &st) != 0)
        return;
    *done_bytes = (uint64_t)st.st_size;
    if (backup_about_peek(taking->out.fd, &about) == 0)
        *about_bytes = about.store_bytes;
}

/* fd is closed. */
static enum cli_exit
ask_for_it(const struct taking *taking, int fd, struct buf *answer)
{
    struct ask_link link;
    enum cli_exit status = ask_link_open(&taking->of, &link);

    buf_init(answer, 0);
    if (status == CLI_DONE)
        status = ask_link_ask(&taking->of, &link, STR("{\"cmd\":\"backup\"}"), fd, answer);
    else
        close(fd);
    ask_link_close(&link);
    return status;
}

static enum cli_exit
hear(const struct taking *taking, struct buf *answer, struct apart_said *said)
{
    struct js_value result;
    enum cli_exit status = ask_result(taking->of.noun, buf_str(answer), &result);

    if (status == CLI_DONE)
        apart_say(said, result.raw);
    return status;
}

static enum cli_exit
take_through_pipe(const struct taking *taking, struct apart_said *said)
{
    struct pump pump;
    int fd = pump_start(&pump, taking->out.fd);
    enum cli_exit status;
    struct buf answer;

    if (fd < 0)
        return complain(CLI_FAILED, taking->of.noun, strerror(-fd), NULL);
    status = ask_for_it(taking, fd, &answer);
    pthread_join(pump.thread, NULL);
    if (status == CLI_DONE && pump.error != 0)
        status = complain(CLI_FAILED, taking->out.path, strerror(pump.error), NULL);
    if (status == CLI_DONE)
        status = hear(taking, &answer, said);
    ask_forget(&answer);
    return status;
}

static enum cli_exit
take(void *arg, struct apart_said *said)
{
    struct taking *taking = arg;
    struct progress progress = {.what = taking->of.noun, .look = look, .arg = taking};
    struct stat st;
    struct buf answer;
    enum cli_exit status;
    int fd;

    if (fstat(taking->out.fd, &st) != 0 || !S_ISREG(st.st_mode))
        return take_through_pipe(taking, said);
    fd = fcntl(taking->out.fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return complain(CLI_FAILED, taking->of.noun, strerror(errno), NULL);
    progress_start(&progress);
    status = ask_for_it(taking, fd, &answer);
    progress_end(&progress);
    if (status == CLI_DONE)
        status = hear(taking, &answer, said);
    ask_forget(&answer);
    return status;
}

/* ---- what is said of it ---- */

static void
say_taken(const struct outfile *out, struct js_value result)
{
    char time[40], tenants[24], calls[24], seq[24], size[24];
    uint64_t bytes = 0;

    if (!str_to_u64(js_get(result, STR("bytes")).raw, &bytes))
        bytes = 0;
    print_value(js_get(result, STR("time")), time, sizeof(time));
    print_value(js_get(result, STR("tenants")), tenants, sizeof(tenants));
    print_value(js_get(result, STR("calls")), calls, sizeof(calls));
    print_value(js_get(result, STR("seq")), seq, sizeof(seq));
    fprintf(out->is_stream ? stderr : stdout,
            "backup of %s: %s tenant%s, %s call%s, last sequence %s; %s%s%s\n", time, tenants,
            strcmp(tenants, "1") == 0 ? "" : "s", calls, strcmp(calls, "1") == 0 ? "" : "s", seq,
            progress_bytes(bytes, size), out->is_stream ? "" : " in ", out->is_stream ? "" : out->path);
}

static enum cli_exit
finish(struct taking *taking, const struct apart *apart, bool json)
{
    struct str text = {apart->said->text, apart->said->len};
    struct js_value result;
    struct js_error err;
    bool stream = taking->out.is_stream;
    enum cli_exit status = outfile_keep(&taking->out);

    if (status != CLI_DONE)
        return status;
    if (json)
        fprintf(stream ? stderr : stdout, "%.*s\n", STR_ARGS(text));
    else if (js_check(text, &result, &err))
        say_taken(&taking->out, result);
    return CLI_DONE;
}

enum cli_exit
backup_run(const struct cli_local *local)
{
    struct taking taking = {.of = {.state_dir = local->state_dir, .noun = "backup"}};
    struct apart apart = {.work = take, .arg = &taking};
    enum cli_exit status;

    if (strcmp(local->arguments[0], "-") == 0 && isatty(STDOUT_FILENO))
        return complain(CLI_USAGE, "backup", "standard output is a terminal",
                        "name a file, or send it to one");
    status = outfile_open(&taking.out, "backup", local->arguments[0],
                          local_value(local, "force") != NULL);
    if (status != CLI_DONE)
        return status;
    status = apart_run(&apart, "backup");
    if (status == CLI_DONE)
        status = finish(&taking, &apart, local->json);
    else
        outfile_drop(&taking.out);
    apart_end(&apart);
    return status;
}

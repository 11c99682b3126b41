#include "cli/ask.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/help.h"
#include "cli/print.h"
#include "ledger/store.h"

#define ASK_MS 60000u
#define ASK_PATIENT_MS (24 * 3600 * 1000u) /* the caller may interrupt us */
#define ANSWER_BYTES_MAX (128u << 20)
#define BUSY_TRIES 50 /* of 100 ms: somebody else works on the store, or a server starts */

static enum cli_exit
server_failed(const struct ask_of *of, int rc)
{
    if (rc == -EPIPE)
        return complain(CLI_BUSY, of->noun, "the server went away before it answered",
                        "look whether it was done before you try again");
    if (rc == -ETIMEDOUT)
        return complain(CLI_BUSY, of->noun, "the server does not answer",
                        "look whether it was done before you try again");
    return complain(CLI_FAILED, of->noun, strerror(-rc), NULL);
}

static enum cli_exit
no_store(int rc, const struct store_fault *fault)
{
    enum cli_exit status = CLI_FAILED;
    const char *hint = store_error_text(rc);

    if (rc == -EACCES || rc == -EPERM) {
        status = CLI_NOT_ALLOWED;
        hint = "run as its owner or as root";
    } else if (rc == -ENOENT) {
        hint = "name the state directory with -s, or start turnpike serve once";
    } else if (rc == -EBUSY) {
        status = CLI_BUSY;
        hint = "try again";
    }
    return complain(status, fault->what, fault->why, fault->hint != NULL ? fault->hint : hint);
}

static enum cli_exit
no_dir(const char *dir, int error)
{
    return complain(error == EACCES || error == EPERM || error == EROFS ? CLI_NOT_ALLOWED : CLI_FAILED,
                    dir, strerror(error), "name a directory of yours with -s");
}

enum cli_exit
ask_link_open(const struct ask_of *of, struct ask_link *link)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    struct store_fault fault = {.why = ""};
    int rc = -EBUSY;

    *link = (struct ask_link){.fd = -1};
    for (int tries = 0; tries < BUSY_TRIES && rc == -EBUSY; tries++) {
        link->fd = client_connect(of->state_dir);
        if (link->fd >= 0)
            return CLI_DONE;
        if (link->fd == -EACCES || link->fd == -EPERM)
            return complain(CLI_NOT_ALLOWED, of->state_dir, "the server may not be asked",
                            "run as its user or as root");
        if (of->needs_server)
            return complain(CLI_NO_SERVER, of->noun, "no server runs here",
                            "start turnpike serve, or name its state directory with -s");
        if (tries > 0)
            (void)nanosleep(&pause, NULL);
        rc = store_open(of->state_dir, &link->store, &fault);
        if (rc == -ENOENT && of->makes_dir) {
            if (mkdir(of->state_dir, 0700) != 0 && errno != EEXIST)
                return no_dir(of->state_dir, errno);
            rc = store_open(of->state_dir, &link->store, &fault);
        }
        if (rc == 0)
            return CLI_DONE;
    }
    return no_store(rc, &fault);
}

static enum cli_exit
store_answered(const struct ask_of *of, int rc, const struct buf *answer)
{
    return answer->len > 0 ? CLI_DONE
                           : complain(CLI_FAILED, of->noun, store_error_text(rc), NULL);
}

enum cli_exit
ask_link_ask(const struct ask_of *of, struct ask_link *link, struct str request, int passed_fd,
         struct buf *answer)
{
    int rc;

    buf_init(answer, ANSWER_BYTES_MAX);
    if (link->fd < 0) {
        rc = store_ask_with(link->store, request, passed_fd, answer);
        return store_answered(of, rc, answer);
    }
    rc = client_ask_long(link->fd, request, passed_fd, answer);
    if (passed_fd >= 0)
        close(passed_fd);
    return rc == 0 ? CLI_DONE : server_failed(of, rc);
}

void
ask_link_close(struct ask_link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
    store_close(&link->store);
}

enum cli_exit
ask_ledger(const struct ask_of *of, struct str request, struct buf *answer)
{
    struct ask_link link;
    enum cli_exit status;
    int rc;

    buf_init(answer, ANSWER_BYTES_MAX);
    status = ask_link_open(of, &link);
    if (status != CLI_DONE)
        return status;
    if (link.fd >= 0) {
        rc = client_ask(link.fd, request, answer, of->patient ? ASK_PATIENT_MS : ASK_MS);
        status = rc == 0 ? CLI_DONE : server_failed(of, rc);
    } else {
        rc = store_ask(link.store, request, answer);
        status = store_answered(of, rc, answer);
    }
    ask_link_close(&link);
    return status;
}

static void
text_of(struct js_value value, char *out, size_t cap)
{
    out[0] = '\0';
    if (js_is(value, JS_STRING))
        print_value(value, out, cap);
}

enum cli_exit
ask_result(const char *what, struct str answer, struct js_value *result)
{
    char why[512], hint[256];
    int64_t status = CLI_FAILED;
    struct js_value value;
    struct js_error err;

    if (!js_check(answer, &value, &err))
        return complain(CLI_FAILED, what, "the answer cannot be read", NULL);
    *result = js_get(value, STR("result"));
    if (js_bool(js_get(value, STR("ok")), false))
        return CLI_DONE;
    text_of(js_get(value, STR("why")), why, sizeof(why));
    text_of(js_get(value, STR("hint")), hint, sizeof(hint));
    if (!js_i64(js_get(value, STR("exit")), &status) || status < 1 || status > 125)
        status = CLI_FAILED;
    return complain((enum cli_exit)status, what, why, hint);
}

void
ask_forget(struct buf *answer)
{
    if (answer->ptr != NULL)
        explicit_bzero(answer->ptr, answer->cap);
    buf_free(answer);
}

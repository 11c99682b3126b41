#include "cli/ask.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/help.h"
#include "ledger/store.h"

#define ASK_MS 60000u
#define ANSWER_BYTES_MAX (128u << 20)
#define BUSY_TRIES 50 /* of 100 ms: somebody else works on the store, or a server starts */

static enum cli_exit
ask_server(const struct ask_of *of, int fd, struct str request, struct buf *answer)
{
    int rc = client_ask(fd, request, answer, ASK_MS);

    close(fd);
    if (rc == 0)
        return CLI_DONE;
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

static enum cli_exit
ask_store(const struct ask_of *of, struct store *store, struct str request, struct buf *answer)
{
    int rc = store_ask(store, request, answer);

    store_close(&store);
    return answer->len > 0 ? CLI_DONE
                           : complain(CLI_FAILED, of->noun, store_error_text(rc), NULL);
}

enum cli_exit
ask_ledger(const struct ask_of *of, struct str request, struct buf *answer)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    struct store_fault fault = {.why = ""};
    int rc = -EBUSY;

    buf_init(answer, ANSWER_BYTES_MAX);
    for (int tries = 0; tries < BUSY_TRIES && rc == -EBUSY; tries++) {
        struct store *store;
        int fd = client_connect(of->state_dir);

        if (fd >= 0)
            return ask_server(of, fd, request, answer);
        if (fd == -EACCES || fd == -EPERM)
            return complain(CLI_NOT_ALLOWED, of->state_dir, "the server may not be asked",
                            "run as its user or as root");
        if (of->needs_server)
            return complain(CLI_NO_SERVER, of->noun, "no server runs here",
                            "start turnpike serve, or name its state directory with -s");
        if (tries > 0)
            (void)nanosleep(&pause, NULL);
        rc = store_open(of->state_dir, &store, &fault);
        if (rc == -ENOENT && of->makes_dir) {
            if (mkdir(of->state_dir, 0700) != 0 && errno != EEXIST)
                return no_dir(of->state_dir, errno);
            rc = store_open(of->state_dir, &store, &fault);
        }
        if (rc == 0)
            return ask_store(of, store, request, answer);
    }
    return no_store(rc, &fault);
}

void
ask_forget(struct buf *answer)
{
    if (answer->ptr != NULL)
        explicit_bzero(answer->ptr, answer->cap);
    buf_free(answer);
}

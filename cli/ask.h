/*
 * One request to the ledger: over the control socket of the server that runs, or, where none does, on
 * the store itself by the same code.
 */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include "base/base.h"
#include "base/buf.h"
#include "base/js.h"
#include "cli/cli.h"

struct store;

struct ask_of {
    const char *state_dir;
    const char *noun; /* of the subcommand that asks, for messages */
    bool needs_server;
    bool patient;   /* the answer may take as long as calls do */
    bool makes_dir; /* a state directory that is not there is made */
};

/*
 * CLI_DONE: *answer is what the ledger said, one line of JSON that may be a refusal. Else the exit status, and
 * it has been said why. *answer is overwritten; ask_forget() it in either case.
 */
enum cli_exit ask_ledger(const struct ask_of *of, struct str request, struct buf *answer);
/*
 * Several requests to the same ledger, or one that may take long. Where no server runs the process takes the
 * rights of the state directory's owner: what needs others is to be opened before.
 */
struct ask_link {
    int fd;              /* the control socket, or -1 */
    struct store *store; /* or the store */
};
enum cli_exit ask_link_open(const struct ask_of *of, struct ask_link *link);
/* As ask_ledger(), but it waits as long as it takes. passed_fd (-1: none) goes with the request and is closed. */
enum cli_exit ask_link_ask(const struct ask_of *of, struct ask_link *link, struct str request,
                       int passed_fd, struct buf *answer);
void ask_link_close(struct ask_link *link);
/*
 * What an answer says: CLI_DONE and its result, which lies in the answer's bytes; else the exit status of its
 * refusal, which has been told. what: of the message, as "key add".
 */
enum cli_exit ask_result(const char *what, struct str answer, struct js_value *result);
/* Wipes it, since there may be a key in it, and frees it. */
void ask_forget(struct buf *answer);

#endif

/*
 * One request to the ledger: over the control socket of the server that runs, or, where none does, on
 * the store itself by the same code.
 */
#ifndef CLI_ASK_H
#define CLI_ASK_H

#include "base/base.h"
#include "base/buf.h"
#include "cli/cli.h"

struct ask_of {
    const char *state_dir;
    const char *noun; /* of the subcommand that asks, for messages */
    bool needs_server;
    bool makes_dir; /* a state directory that is not there is made */
};

/*
 * CLI_DONE: *answer is what the ledger said, one line of JSON that may be a refusal. Else the exit status, and
 * it has been said why. *answer is overwritten; ask_forget() it in either case.
 */
enum cli_exit ask_ledger(const struct ask_of *of, struct str request, struct buf *answer);
/* Wipes it, since there may be a key in it, and frees it. */
void ask_forget(struct buf *answer);

#endif

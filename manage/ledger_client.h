/*
 * Asks the ledger process, over its control socket, without waiting on the loop: one question, one answer
 * (ledger/command.h). A few connections are kept; what finds none free waits its turn, and what finds too many
 * waiting is refused at once.
 *
 * The ledger process may die and have a successor. What cannot do harm when it is asked twice is asked again
 * until its time is over: questions that change nothing, those with an idempotency key, and those of which not
 * a byte was sent. Of another nobody can know whether it was done: LEDGER_UNKNOWN.
 */
#ifndef MANAGE_LEDGER_CLIENT_H
#define MANAGE_LEDGER_CLIENT_H

#include "base/base.h"
#include "base/buf.h"
#include "base/js.h"
#include "net/net.h"

struct ledger_client;
struct ledger_ask;

/* How it came out. */
enum ledger_said {
    LEDGER_DONE = 0, /* the result is there */
    LEDGER_REFUSED,  /* it says why */
    LEDGER_AWAY,     /* nobody answered, and nothing was done */
    LEDGER_UNKNOWN,  /* nobody answered, and it may have been done */
};

struct ledger_answer {
    enum ledger_said said;
    struct js_value result; /* an object when LEDGER_DONE; valid during the call */
    /* Of LEDGER_REFUSED, valid during the call. */
    struct js_value refusal; /* the whole answer */
    int status;              /* "exit": enum command_exit's numbers */
    bool absent;
    struct str code, field, why, hint; /* STR_NONE when not said */
};

/* From the loop, once, never from within ledger_client_ask(). */
typedef void (*ledger_client_fn)(void *arg, const struct ledger_answer *answer);

/* NULL: no memory. The path must stay. */
struct ledger_client *ledger_client_new(struct net *net, const char *path);
/* Nobody is told any more. The net still runs (net_end()) to give the memory back. */
void ledger_client_end(struct ledger_client **client);

struct ledger_question {
    struct buf *request; /* one line with its newline; taken over, and empty then, also at a failure */
    bool again;          /* may be asked twice */
    unsigned wait_ms;    /* until nobody waits any more; 0: LEDGER_WAIT_MS */
    ledger_client_fn answered;
    void *arg;
};
#define LEDGER_WAIT_MS 10000u
#define LEDGER_WAIT_LONG_MS 60000u

/* NULL: too many are waiting, or no memory. answered is then not called. */
struct ledger_ask *ledger_client_ask(struct ledger_client *client, const struct ledger_question *question);
/* Nobody waits for the answer any more: what was sent is done all the same. */
void ledger_client_forget(struct ledger_ask **ask);

#endif

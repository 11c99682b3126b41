/*
 * Asks the ledger process, over the control socket, without waiting on the loop: one question, one
 * answer (ledger/command.h). A connection that breaks before the answer is there is made anew until
 * the time is over, since a ledger process that dies has a successor: so a question must be one that
 * can be asked again without harm.
 */
#ifndef WORKER_LEDGER_ASK_H
#define WORKER_LEDGER_ASK_H

#include "base/js.h"
#include "base/jw.h"
#include "worker/room.h"

struct ledger_query;

/* How it came out. */
enum ledger_said {
    LEDGER_DONE = 0, /* the result is there */
    LEDGER_ABSENT,   /* what was asked for is not there, and will not come */
    LEDGER_BUSY,     /* it says why; ask later */
    LEDGER_REFUSED,  /* it says why */
    LEDGER_SILENT,   /* nothing came in time, or nothing that can be read */
};

struct ledger_answer {
    enum ledger_said said;
    struct js_value result; /* an object when LEDGER_DONE; valid during the call */
    char why[160];          /* "" when it does not say */
};

/* From the loop, once, never from within ledger_ask_send(). */
typedef void (*ledger_answered_fn)(void *arg, const struct ledger_answer *answer);

/* A request to be written: the arguments go between. */
void ledger_ask_begin(struct jw *jw, struct buf *out, const char *cmd);
/*
 * Ends the request, frees it and sends it. NULL when too many are asked at a time or memory is short:
 * answered is then not called.
 */
struct ledger_query *ledger_ask_send(struct worker *w, struct jw *jw, ledger_answered_fn answered,
                                     void *arg);
/* Nobody waits for the answer any more: the question is asked all the same. */
void ledger_ask_forget(struct ledger_query **query);

#endif

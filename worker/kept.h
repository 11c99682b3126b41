/*
 * Files and batches (proto_is_file()): what an upstream keeps for a tenant, and whose it is.
 *
 * The provider knows one account for all tenants; the ledger process knows whose is which
 * (ledger/kept.h). So a call that names something asks first (CALL_FIND_WAIT): what is not the
 * tenant's is a 404 and nothing is forwarded, what is goes to the upstream and the credential that it
 * came to. What an answer says is the tenant's from now on (an upload's file, a batch, the files that a
 * batch names) is committed before the client hears of it (CALL_KEEP_WAIT); where that fails, what was
 * made is unmade at the upstream as far as it can be. Of a list only what is the tenant's is left.
 *
 * A batch is paid for when it is made, by the request: for its model's per-batched-request and the
 * number of lines that the file had when it came here, with a hold for exactly that.
 */
#ifndef WORKER_KEPT_H
#define WORKER_KEPT_H

#include "shm/key.h"
#include "worker/ledger_ask.h"
#include "worker/room.h"

struct kept_call {
    struct ledger_query *query; /* under way; NULL none */
    /* What the call names, as its record says; "" where it names none, or that has none. */
    char upstream[CONF_NAME_LEN_MAX + 1], credential[CONF_NAME_LEN_MAX + 1];
    char model[BATCH_MODEL_LEN_MAX + 1];
    char output[PROTO_ID_LEN_MAX + 1], errors[PROTO_ID_LEN_MAX + 1];
    enum proto_endpoint endpoint; /* that its lines are for; ENDPOINT_COUNT: none that is known */
    uint32_t lines;
    struct route_only only; /* where it lies */
    bool found;
    /* What the answer made. */
    char made[PROTO_ID_LEN_MAX + 1];
    bool undoes; /* it could not be recorded: the upstream is asked to take it back */
    struct proto_error error; /* what the client is told then */
    struct kept_list *list;   /* kept_list.c's; NULL: the call is for no list */
};

/* The call is one for files or batches: makes call->kept. */
bool kept_begin(struct call *call, struct proto_error *error) MUST_CHECK;
void kept_free(struct call *call);

/* Does it name something that must be the tenant's? */
bool kept_names_one(const struct call *call);
/* Asks whose it is; call_admit() follows, or a refusal. May end the call. */
void kept_ask_whose(struct call *call);
/* What only these calls have to be refused for. A call that makes a batch gets the plan of its model,
 * at its price. */
bool kept_admit(struct call *call, const struct key_extra *extra, struct str channel,
                struct proto_error *error) MUST_CHECK;
/* The key may not use the model that such calls stand for, or not where this one has to go. */
void kept_not_offered(const struct call *call, struct proto_error *error);

/* A whole answer, understood. Records what is to be recorded, then sends it on; may end the call. */
void kept_answered(struct call *call, struct str body);

static inline const struct route_only *
kept_only(const struct call *call)
{
    return call->kept != NULL && call->kept->found ? &call->kept->only : NULL;
}

/* Requests that it is paid by: the lines, for one that makes a batch. */
static inline uint32_t
kept_requests(const struct call *call)
{
    return call->endpoint == ENDPOINT_BATCH_CREATE ? call->kept->lines : 1;
}

/* What of a query goes to the upstream. */
struct str kept_query(const struct call *call);

static inline bool
kept_undoes(const struct call *call)
{
    return call->kept != NULL && call->kept->undoes;
}
/* Does the upstream make something for it that costs, or that stays? Then it is sent once at most. */
static inline bool
kept_makes(const struct call *call)
{
    return call->kept != NULL && !call->kept->undoes &&
           (call->endpoint == ENDPOINT_FILE_UPLOAD || call->endpoint == ENDPOINT_BATCH_CREATE);
}
/* What is asked of the upstream now, where it speaks the caller's protocol. */
static inline enum proto_endpoint
kept_endpoint(const struct call *call)
{
    if (!kept_undoes(call))
        return (enum proto_endpoint)call->endpoint;
    return call->endpoint == ENDPOINT_BATCH_CREATE ? ENDPOINT_BATCH_CANCEL : ENDPOINT_FILE_DELETE;
}
/* What was made was to be taken back, and the upstream has said something to that, or nothing: tells
 * the client. True when it was so; the call is over then. */
bool kept_undone(struct call *call);

/* ---- between the files of this: kept.c, kept_list.c ---- */

/* The body is kept in call->body, the connection given back, the call waits. False: no memory, and the
 * call is over. */
bool kept_hold(struct call *call, struct str body) MUST_CHECK;
/* Who asks, of what is at the upstream that the call is at: members of a question. */
void kept_write_owner(struct call *call, struct jw *jw);
/* The call waits for this answer. False: too many questions are under way. */
bool kept_ask(struct call *call, struct jw *jw, ledger_answered_fn answered) MUST_CHECK;
/* Nothing is lost: the client may ask again. Ends the call. */
void kept_fail(struct call *call, const char *what);

bool kept_list_begin(struct call *call, struct proto_error *error) MUST_CHECK;
void kept_list_free(struct kept_list *list);
void kept_list_page(struct call *call, struct str body); /* May end the call. */
struct str kept_list_query(const struct kept_list *list);

#endif

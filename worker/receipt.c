#include "worker/receipt.h"

#include <stdlib.h>

#include "base/jw.h"
#include "base/str.h"
#include "worker/callid.h"
#include "worker/client.h"
#include "worker/ledger_ask.h"

struct own_query {
    struct ledger_query *asked;
    struct client *client;
    enum proto_protocol shape;
};

static void
send_error(struct client *c, enum proto_protocol shape, enum error_kind kind, const char *text)
{
    struct proto_error error;
    char id[CALL_ID_LEN + 1];
    uint8_t bytes[16];

    error_set(&error, kind, NULL, NULL, "turnpike: %s", text);
    if (kind == ERROR_UNAVAILABLE)
        error.retry_after_s = 1;
    callid_make(c->worker, bytes, id);
    (void)client_send_error(c, shape, &error, (struct str){id, CALL_ID_LEN}, NULL);
}

static void
send_receipt(struct client *c, struct str receipt)
{
    struct h1_out out;
    char id[CALL_ID_LEN + 1];
    uint8_t bytes[16];

    callid_make(c->worker, bytes, id);
    client_head(c, &out, 200, (struct str){id, CALL_ID_LEN});
    h1_out_own(&out, "content-type: ", STR("application/json"));
    (void)client_send_whole(c, &out, receipt);
}

/*
 * Only when the ledger process says that there is no such call is that so; one that runs still will
 * have its receipt, and a ledger process that stops or fails has a successor.
 */
static void
on_answered(void *arg, const struct ledger_answer *answer)
{
    struct own_query *q = arg;
    struct client *c = q->client;
    enum proto_protocol shape = q->shape;

    c->query = NULL;
    free(q);
    switch (answer->said) {
    case LEDGER_DONE: send_receipt(c, answer->result.raw); return;
    case LEDGER_ABSENT: /* or not any more, which it says */
        send_error(c, shape, ERROR_NOT_FOUND,
                   answer->why[0] != '\0' ? answer->why : "there is no such call");
        return;
    case LEDGER_BUSY: send_error(c, shape, ERROR_UNAVAILABLE, answer->why); return;
    case LEDGER_REFUSED:
        send_error(c, shape, ERROR_UNAVAILABLE, "the ledger cannot tell at the moment");
        return;
    case LEDGER_SILENT: break;
    }
    send_error(c, shape, ERROR_UNAVAILABLE, "the ledger does not answer");
}

void
receipt_ask(struct client *c, struct str id, enum proto_protocol shape, uint32_t tenant_id)
{
    struct own_query *q;
    struct buf request;
    struct jw jw;

    if (id.len != CALL_ID_LEN) {
        send_error(c, shape, ERROR_NOT_FOUND, "there is no such call");
        return;
    }
    ledger_ask_begin(&jw, &request, "call.show");
    jw_key_str(&jw, "id", id);
    jw_key_u64(&jw, "tenant", tenant_id);
    jw_key_bool(&jw, "as_tenant", true);
    q = calloc(1, sizeof *q);
    if (q != NULL)
        q->asked = ledger_ask_send(c->worker, &jw, on_answered, q);
    else
        buf_free(&request);
    if (q == NULL || q->asked == NULL) {
        free(q);
        send_error(c, shape, ERROR_UNAVAILABLE, "too many receipts are asked for");
        return;
    }
    q->client = c;
    q->shape = shape;
    c->query = q;
}

void
receipt_client_gone(struct client *c)
{
    struct own_query *q = c->query;

    c->query = NULL;
    ledger_ask_forget(&q->asked);
    free(q);
}

#include "worker/idem.h"

#include <string.h>

#include "base/clock.h"
#include "base/str.h"

#define HEADER "idempotency-key"

/* Visible ASCII in one header: what else may come, other programs on the way may change. */
static bool
key_is_good(const struct h1_head *head, struct str key)
{
    unsigned headers = 0;

    for (size_t i = 0; i < head->header_count; i++)
        headers += head->headers[i].known == H1_IDEMPOTENCY_KEY;
    if (headers != 1 || key.len == 0 || key.len > IDEM_KEY_LEN_MAX)
        return false;
    for (size_t i = 0; i < key.len; i++)
        if (key.ptr[i] < '!' || key.ptr[i] > '~')
            return false;
    return true;
}

/* Header lines for the answer. Out of memory leaves them out: the text names the call as well. */
static void
name_first(struct call *call, struct str first, bool finished)
{
    struct h1_out out;
    char *copy;

    h1_out_init(&out, call->worker->head_buf, HEAD_BYTES_MAX);
    h1_out_own(&out, "x-turnpike-call: ", first);
    if (finished) {
        h1_out_own(&out, "idempotent-replayed: ", STR("true"));
        /* The SDKs repeat a 409 unless they are told not to. */
        h1_out_own(&out, "x-should-retry: ", STR("false"));
    }
    if (out.failed || (copy = arena_alloc(&call->arena, out.len)) == NULL)
        return;
    memcpy(copy, out.ptr, out.len);
    call->down_lines = (struct str){copy, out.len};
}

static bool
refuse(struct call *call, enum idem_result result, const uint8_t first_id[CALL_ID_BYTES],
       struct proto_error *error)
{
    char first[CALL_ID_LEN + 1];

    if (result == IDEM_FULL) {
        error_set(error, ERROR_UNAVAILABLE, NULL, NULL,
                  "turnpike: too many calls with an " HEADER " at a time");
        error->retry_after_s = 1;
        return false;
    }
    call_id_text(first_id, first);
    name_first(call, (struct str){first, CALL_ID_LEN}, result == IDEM_DONE);
    if (result == IDEM_OTHER_REQUEST) {
        error_set(error, ERROR_UNPROCESSABLE, HEADER, "idempotency_key_reused",
                  "turnpike: this " HEADER " was used for another request, %s", first);
    } else if (result == IDEM_DONE) {
        error_set(error, ERROR_CONFLICT, HEADER, "idempotency_key_finished",
                  "turnpike: the call with this " HEADER " is finished and was not repeated; "
                  "its receipt is /v1/receipts/%s",
                  first);
    } else {
        error_set(error, ERROR_CONFLICT, HEADER, "idempotency_key_in_use",
                  "turnpike: the call with this " HEADER " is still running, %s", first);
        error->retry_after_s = 1;
    }
    return false;
}

bool
idem_begin(struct call *call, struct proto_error *error)
{
    const struct worker *w = call->worker;
    const struct h1_req *req = &call->client->req;
    struct str key = h1_head_get(req->head, H1_IDEMPOTENCY_KEY);
    struct idem_ask ask = {.table_idx = w->inherit->table_idx,
                           .now_s = worker_mono_us(w) / 1000000};
    uint8_t first_id[CALL_ID_BYTES];
    enum idem_result result;

    if (!key_is_good(req->head, key)) {
        error_set(error, ERROR_BAD_REQUEST, HEADER, NULL,
                  "turnpike: " HEADER " must be one header of 1 to %u visible ASCII characters",
                  IDEM_KEY_LEN_MAX);
        return false;
    }
    memcpy(ask.call_id, call->id, sizeof(ask.call_id));
    idem_hash(w->region, call->key->tenant_id, key, h1_head_path(req->head), req->body, &ask);
    result = idem_take(w->region, &ask, &call->idem, first_id);
    return result == IDEM_TAKEN || refuse(call, result, first_id, error);
}

void
idem_settled(struct call *call, enum record_outcome outcome, int64_t charge_ucr)
{
    bool answered = call->head_sent || outcome == OUTCOME_OK || outcome == OUTCOME_NO_USAGE;

    if (answered || charge_ucr > 0)
        idem_finish(&call->idem);
    else
        idem_release(&call->idem);
}

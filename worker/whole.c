#include "worker/whole.h"

#include "base/log.h"
#include "base/str.h"
#include "base/ucr.h"
#include "proto/answer.h"
#include "worker/call.h"
#include "worker/client.h"
#include "worker/commit.h"
#include "worker/feed.h"
#include "worker/forward.h"
#include "worker/kept.h"
#include "worker/media.h"
#include "worker/relay.h"
#include "worker/settle.h"
#include "worker/speak.h"
#include "worker/stream.h"
#include "worker/stream_wait.h"
#include "worker/uconn.h"

#define ERROR_BODY_BYTES_MAX (64u << 10)

static void
upstream_said_no(struct call *call, struct str body)
{
    struct str list[2];
    struct upstream_answer answer = {
        .status = call->upstream_status, .retry_after = STR_NONE, .retry_after_ms = STR_NONE,
        .body = body};
    struct proto_error error;
    struct str lines = call->down_lines, line;

    /* The headers that pass are kept as lines: "retry-after: 3\r\n". */
    while (lines.len > 0) {
        struct str name, value;

        line = str_split(lines, '\n', &lines);
        name = str_split(line, ':', &value);
        value = str_trim(value);
        if (value.len > 0 && value.ptr[value.len - 1] == '\r')
            value.len--;
        if (str_eq(name, STR("retry-after")))
            answer.retry_after = value;
        else if (str_eq(name, STR("retry-after-ms")))
            answer.retry_after_ms = value;
    }
    call->wait_s = error_retry_after_s(answer.retry_after, answer.retry_after_ms);
    error_from_upstream(&answer, relay_secrets(call, list), &error);
    speak_error_field(call, &error);
    log_info("upstream.refused", "call=%s upstream=%.*s status=%u", call->id_text,
             STR_ARGS(call_upstream(call)->name), call->upstream_status);
    forward_failed(call, REASON_STATUS, &error, error_may_fail_over(&error));
}

static void
error_in_200(struct call *call, struct str body)
{
    struct str list[2];
    struct proto_error error;

    error_from_object(body, relay_secrets(call, list), &error);
    forward_failed(call, REASON_ERROR_EVENT, &error, error_may_fail_over(&error));
}

static void
write_whole_head(struct call *call, struct client *client, struct h1_out *out, int64_t charge_ucr,
                 struct str model)
{
    char text[UCR_TEXT_LEN + 1];
    size_t len = ucr_text(charge_ucr, text);

    client_head(client, out, 200, (struct str){call->id_text, CALL_ID_LEN});
    h1_out_lines(out, call->down_lines);
    call_head_lines(call, out, model);
    h1_out_own(out, "x-turnpike-cost: ", (struct str){text, len});
}

/* What was generated is looked at for an answer without usage, and where the usage may be so far
 * below it that settling doubts it; else the walk over the answer is saved. */
static struct answer_output
output_of(const struct call *call, const struct answer *answer, const struct usage *usage)
{
    uint64_t doubted_above = (uint64_t)usage->output * call->worker->limits->usage_band;

    if (usage->state == USAGE_PRESENT && answer_output_max(answer) <= doubted_above)
        return (struct answer_output){.any = false};
    return answer_output(answer);
}

/* Settles; the answer goes to the client, or waits until that is durable. */
static void
whole_settle(struct call *call, const struct settle_end *end, struct str body)
{
    const struct str model = end->model_reported;
    struct client *client;
    struct h1_out out;
    int64_t charge_ucr;

    settle_attempt(call, REASON_NONE, 200);
    feed_ok_whole(call, end->usage.state == USAGE_PRESENT ? end->usage.output
                                                          : (uint32_t)end->output_estimate);
    charge_ucr = settle_call(call, end);
    if (call->uconn)
        uconn_release(call->uconn);
    if (call->worker->inherit->durability != DURABILITY_RELAXED &&
        !settle_committed(call)) {
        stream_wait_commit(call, body, charge_ucr, model);
        return;
    }
    client = call_detach_client(call);
    ASSERT(client != NULL);
    write_whole_head(call, client, &out, charge_ucr, model);
    {
        struct buf kept = call->body; /* body may point into it: it outlives the call */

        buf_init(&call->body, 0);
        call_end(call);
        (void)client_send_whole(client, &out, body);
        buf_free(&kept);
    }
}

/* What the client gets of an answer that is translated, in place of it. False: it cannot be. */
static bool
whole_spoken(struct call *call, struct str *body)
{
    struct buf spoken;

    buf_init(&spoken, 2 * call->worker->limits->response_body_bytes);
    if (!speak_whole(call, *body, &spoken)) {
        buf_free(&spoken);
        relay_failed(call, REASON_BAD_ANSWER, ERROR_UPSTREAM_FAILED,
                     "its answer cannot be translated");
        return false;
    }
    buf_free(&call->body);
    call->body = spoken;
    *body = buf_str(&call->body);
    return true;
}

void
whole_collected(struct call *call)
{
    struct settle_end end = {.outcome = OUTCOME_OK};
    char model[METER_MODEL_CAP];
    struct str body = STR_NONE;

    str_copy(str_from(call->meter.model), model, sizeof model);
    if (meter_content(&call->meter) == CONTENT_NONE) {
        relay_failed(call, REASON_EMPTY, ERROR_UPSTREAM_FAILED, "its answer is empty");
        return;
    }
    if (!commit_is_model(call, str_from(model))) {
        commit_other_model(call, str_from(model));
        return;
    }
    if (!whole_spoken(call, &body))
        return;
    stream_used(call, &end);
    end.model_reported = str_from(model);
    call_set_state(call, CALL_WHOLE);
    whole_settle(call, &end, body);
}

static void
whole_ok(struct call *call, const struct answer *answer, struct str body)
{
    struct usage usage = settle_judge(call, answer->usage);
    struct answer_output output = output_of(call, answer, &usage);
    struct settle_end end = {
        .outcome = OUTCOME_OK,
        .by = SETTLE_USAGE,
        .usage = usage,
        .so_far = settle_estimate(call, output.estimate),
        .service = answer->service,
        .output_estimate = output.estimate,
        .has_output = output.any,
        .http_status = 200,
        .model_reported = answer->model,
    };
    char model[METER_MODEL_CAP], service[METER_SERVICE_CAP];

    if (proto_is_media((enum proto_endpoint)call->endpoint)) {
        struct media_made made = media_made_of(answer);

        end.usage = media_usage(call, usage, made);
        end.so_far = media_so_far(call, made);
    }
    call->response_bytes = body.len;
    if (call->speaks) { /* the body that these point into is replaced */
        str_copy(answer->model, model, sizeof model);
        str_copy(answer->service, service, sizeof service);
        end.model_reported = str_from(model);
        end.service = str_from(service);
        if (!whole_spoken(call, &body))
            return;
    }
    whole_settle(call, &end, body);
}

/* What came is an answer, but by another model, or there is nothing in it. The call is over then, or
 * has moved on. */
static bool
whole_refused(struct call *call, const struct answer *answer)
{
    enum content content = answer_content(answer);
    bool empty = content == CONTENT_NONE ||
                 (content == CONTENT_EMPTY && forward_may_go_on(call));
    bool other = !commit_is_model(call, answer->model);

    if (!empty && !other)
        return false;
    if (answer->usage.state == USAGE_PRESENT) {
        struct price_count count = settle_count(&answer->usage);

        commit_operator_cost(call, &count);
    }
    if (other)
        commit_other_model(call, answer->model);
    else
        relay_failed(call, REASON_EMPTY, ERROR_UPSTREAM_FAILED, "its answer is empty");
    return true;
}

void
whole_kept(struct call *call, struct str body)
{
    struct media_made made = {.any = true};
    struct settle_end end = {
        .outcome = OUTCOME_OK,
        .by = SETTLE_USAGE,
        .usage = media_usage(call, (struct usage){.state = USAGE_ABSENT}, made),
        .so_far = media_so_far(call, made),
        .http_status = 200,
    };

    call->response_bytes = body.len;
    whole_settle(call, &end, body);
}

void
whole_done(struct call *call, struct str body)
{
    struct answer answer;

    if (kept_undone(call))
        return;
    if (call->upstream_status >= 300) {
        upstream_said_no(call, body);
        return;
    }
    answer_read((enum proto_endpoint)call->up_endpoint, body, &answer);
    switch (answer.kind) {
    case ANSWER_OK:
        if (call->kept != NULL)
            kept_answered(call, body);
        else if (!whole_refused(call, &answer))
            whole_ok(call, &answer, body);
        return;
    case ANSWER_ERROR:
        error_in_200(call, body);
        return;
    case ANSWER_UNKNOWN:
    case ANSWER_NOT_JSON:
    case ANSWER_KIND_COUNT:
        break;
    }
    relay_failed(call, REASON_BAD_ANSWER, ERROR_UPSTREAM_FAILED, "its answer cannot be understood");
}

void
whole_committed(struct call *call, int64_t charge_ucr, struct str model)
{
    struct client *client = call_detach_client(call);
    struct buf kept = call->body;
    struct h1_out out;

    if (client == NULL) {
        call_end(call);
        return;
    }
    write_whole_head(call, client, &out, charge_ucr, model);
    buf_init(&call->body, 0);
    call_end(call);
    (void)client_send_whole(client, &out, buf_str(&kept));
    buf_free(&kept);
}

bool
whole_take(struct call *call, const struct h1_res_out *out)
{
    bool error_body = call->upstream_status >= 300;

    for (size_t i = 0; i < out->span_count; i++) {
        if (error_body && call->body.len >= ERROR_BODY_BYTES_MAX)
            continue; /* enough to understand it by */
        if (!buf_add_str(&call->body, out->spans[i])) {
            relay_failed(call, REASON_TOO_LARGE, ERROR_UPSTREAM_FAILED, "its answer is too large");
            return false;
        }
    }
    return true;
}

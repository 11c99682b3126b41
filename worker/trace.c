#include "worker/trace.h"

#include <string.h>

#include "base/str.h"
#include "base/trace.h"

/* What the caller sent; false when that is nothing, or nothing to go by. */
static bool
parent_of(const struct h1_head *head, struct trace_parent *out)
{
    bool found = false;

    for (size_t i = 0; i < head->header_count; i++) {
        if (!str_eq_nocase(h1_head_name(head, i), STR("traceparent")))
            continue;
        if (found || !trace_parse(h1_head_value(head, i), out))
            return false; /* of two there is none to go by */
        found = true;
    }
    return found;
}

void
trace_begin(const struct call *call)
{
    struct record *r = hold_record(&call->worker->holds, call->slot);
    struct trace_parent parent;

    if (call->client == NULL)
        return;
    if (parent_of(call->client->req.head, &parent)) {
        memcpy(r->trace_id, parent.trace_id, sizeof r->trace_id);
        memcpy(r->trace_parent, parent.span_id, sizeof r->trace_parent);
        r->flags |= RECORD_TRACE_PARENT;
        if (parent.flags & TRACE_SAMPLED)
            r->flags |= RECORD_TRACED;
    } else if (trace_sampled(call_id_seed(call->id), call->worker->conf->telemetry.sample_u)) {
        r->flags |= RECORD_TRACED;
    }
}

bool
trace_replaces(const struct call *call, const struct h1_head *head, size_t idx)
{
    const struct record *r = hold_record(&call->worker->holds, call->slot);

    /* A state belongs to the parent it came with. */
    return str_eq_nocase(h1_head_name(head, idx), STR("traceparent")) ||
           (!(r->flags & RECORD_TRACE_PARENT) &&
            str_eq_nocase(h1_head_name(head, idx), STR("tracestate")));
}

void
trace_head_lines(const struct call *call, struct h1_out *out)
{
    const struct record *r = hold_record(&call->worker->holds, call->slot);
    struct trace_parent ours = {0};
    char text[TRACE_PARENT_LEN + 1];

    memcpy(ours.trace_id, r->flags & RECORD_TRACE_PARENT ? r->trace_id : call->id,
           sizeof ours.trace_id);
    trace_span_id(call->id, call->try_count + 1u, ours.span_id);
    ours.flags = r->flags & RECORD_TRACED ? TRACE_SAMPLED : 0;
    trace_text(&ours, text);
    h1_out_own(out, "traceparent: ", (struct str){text, TRACE_PARENT_LEN});
}

/* Replies: answers, refusals, and the headers that all have. */
#include "manage/api_in.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

/* ---- headers ---- */

/* Nothing of ours is a page, may be framed, guessed to be of another type, or kept by anybody. */
void
reply_headers(struct request *request, const char *type)
{
    if (type != NULL)
        request_header(request, "content-type", str_from(type));
    request_header(request, "cache-control", STR("no-store"));
    request_header(request, "content-security-policy", STR("default-src 'none'; frame-ancestors 'none'; base-uri 'none'; "
                                                           "form-action 'none'"));
    request_header(request, "x-content-type-options", STR("nosniff"));
    request_header(request, "x-frame-options", STR("DENY"));
    request_header(request, "referrer-policy", STR("no-referrer"));
    request_header(request, "cross-origin-resource-policy", STR("same-origin"));
    request_header(request, "cross-origin-opener-policy", STR("same-origin"));
    request_header(request, "vary", STR("accept-language, authorization, cookie"));
    if (request->tls)
        request_header(request, "strict-transport-security", STR("max-age=31536000"));
}

void
op_head(struct op_call *call, unsigned status, const char *type)
{
    request_head(call->request, status);
    reply_headers(call->request, type);
    if (call->cookie.text != NULL)
        request_header(call->request, "set-cookie", str_from(call->cookie.text));
}

void
op_over(struct op_call *call)
{
    ledger_client_forget(&call->ask);
    call->answered = NULL;
    call->request->on_gone = NULL;
    if (call->args.ptr != NULL)
        explicit_bzero(call->args.ptr, call->args.cap);
    buf_free(&call->args);
}

/* ---- answers ---- */

static unsigned
status_of(const struct op_call *call)
{
    return call->op->status != 0 ? call->op->status : 200;
}

void
op_answer(struct op_call *call, struct str json)
{
    struct request *request = call->request;

    op_head(call, status_of(call), "application/json");
    op_over(call);
    request_send(request, json);
}

void
op_answer_empty(struct op_call *call)
{
    struct request *request = call->request;

    op_head(call, 204, NULL);
    op_over(call);
    request_send(request, STR(""));
}

/* ---- refusals ---- */

void
reply_problem(struct op_call *call, const struct problem *problem, uint64_t retry_after_s, const char *allow)
{
    struct request *request = call->request;
    struct buf out;
    char digits[24];

    /* An answer that has begun can only be cut: nobody shall take it for the whole. */
    if (request_has_begun(request)) {
        op_over(call);
        request_cut(request);
        return;
    }
    buf_init(&out, 64u << 10);
    problem_write(&out, problem);
    op_head(call, problem->status, PROBLEM_TYPE);
    request_header(request, "content-language", str_from(lang_name[call->lang]));
    if (problem->status == 503 && retry_after_s == 0)
        retry_after_s = 1;
    if (retry_after_s > 0) {
        snprintf(digits, sizeof digits, "%llu", (unsigned long long)retry_after_s);
        request_header(request, "retry-after", str_from(digits));
    }
    if (problem->status == 401)
        request_header(request, "www-authenticate", STR("Bearer realm=\"turnpike\""));
    if (allow != NULL)
        request_header(request, "allow", str_from(allow));
    op_over(call);
    request_send(request, buf_str(&out));
    buf_free(&out);
}

static void
refuse(struct op_call *call, unsigned status, const char *field, const char *code, const char *detail)
{
    struct problem problem = {
        .status = status,
        .code = str_from(code),
        .detail = str_from(detail),
        .field = str_from(field),
        .request_id = call->request->id,
        .lang = call->lang,
    };

    reply_problem(call, &problem, call->retry_after_s, NULL);
}

void
op_refuse(struct op_call *call, unsigned status, const char *code, const char *detail)
{
    refuse(call, status, NULL, code, detail);
}

void
op_refuse_field(struct op_call *call, unsigned status, const char *field, const char *code, const char *detail)
{
    refuse(call, status, field, code, detail);
}

/* ---- what the ledger refused ---- */

static const struct field *
by_arg(const struct field *fields, struct str arg)
{
    for (; fields != NULL && fields->name != NULL; fields++)
        if (str_eq(arg, str_from(fields->arg != NULL ? fields->arg : fields->name)))
            return fields;
    return NULL;
}

/* The ledger names its argument: the request's own name for it, if it is the request's at all. "models[2]" keeps
 * what follows the name. */
static struct str
field_of(struct op_call *call, struct str arg, const struct field **found)
{
    struct str name = {arg.ptr, MIN(str_find(arg, '[', 0), str_find(arg, '.', 0))};
    char *text;
    size_t len;

    *found = NULL;
    if (arg.len == 0)
        return STR_NONE;
    *found = by_arg(call->op->body, name);
    if (*found == NULL)
        *found = by_arg(call->op->params, name);
    if (*found == NULL)
        return STR_NONE;
    len = strlen((*found)->name);
    text = arena_alloc(&call->request->arena, len + arg.len + 1);
    if (text == NULL)
        return STR_NONE;
    memcpy(text, (*found)->name, len);
    memcpy(text + len, arg.ptr + name.len, arg.len - name.len);
    return (struct str){text, len + arg.len - name.len};
}

void
op_refused(struct op_call *call, const struct ledger_answer *answer)
{
    const struct field *found;
    struct problem problem = {.request_id = call->request->id, .lang = call->lang};

    switch (answer->said) {
    case LEDGER_DONE: /* but not as it should be */
        op_refuse(call, 500, "internal", NULL);
        return;
    case LEDGER_AWAY: op_refuse(call, 503, "unavailable", NULL); return;
    case LEDGER_UNKNOWN: op_refuse(call, 503, "outcome_unknown", NULL); return;
    case LEDGER_REFUSED: break;
    }
    problem.field = field_of(call, answer->field, &found);
    /* What the path names is not there: it is no field that somebody filled in. */
    if (answer->absent && (found == NULL || found->in == IN_PATH))
        problem.field = STR_NONE;
    problem.status = problem_status(answer->status, answer->absent, problem.field.len > 0);
    problem.code = answer->code.len > 0 ? answer->code
                   : answer->absent     ? STR("not_found")
                                        : STR("conflict");
    if (str_eq(problem.code, STR("idempotency_mismatch")))
        problem.status = 422;
    problem.detail = answer->why;
    problem.hint = strncmp(answer->hint.ptr != NULL ? answer->hint.ptr : "", "turnpike ", 9) == 0 ? STR_NONE
                                                                                                : answer->hint;
    reply_problem(call, &problem, 0, NULL);
}

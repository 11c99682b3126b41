#include "worker/kept.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "worker/auth.h"
#include "worker/batched.h"
#include "worker/call.h"
#include "worker/forward.h"
#include "worker/relay.h"
#include "worker/settle.h"
#include "worker/uconn.h"
#include "worker/whole.h"

#define UNDO_MS 5000u

static enum proto_endpoint
endpoint_of(const struct call *call)
{
    return (enum proto_endpoint)call->endpoint;
}

static bool
is_list(const struct call *call)
{
    return call->endpoint == ENDPOINT_FILES || call->endpoint == ENDPOINT_BATCHES;
}

bool
kept_begin(struct call *call, struct proto_error *error)
{
    call->kept = calloc(1, sizeof *call->kept);
    if (call->kept == NULL) {
        error_set(error, ERROR_UNAVAILABLE, NULL, NULL, "The gateway is out of memory.");
        return false;
    }
    call->kept->endpoint = ENDPOINT_COUNT;
    return !is_list(call) || kept_list_begin(call, error);
}

void
kept_free(struct call *call)
{
    struct kept_call *kept = call->kept;

    if (kept == NULL)
        return;
    call->kept = NULL;
    ledger_ask_forget(&kept->query);
    kept_list_free(kept->list);
    free(kept);
}

struct str
kept_query(const struct call *call)
{
    const struct kept_list *list = call->kept->list;

    return list != NULL ? kept_list_query(list) : call->query;
}

/* ---- whose it is ---- */

bool
kept_names_one(const struct call *call)
{
    return call->ask.file->id.len > 0;
}

static bool
names_batch(const struct call *call)
{
    return proto_is_batch(endpoint_of(call)) && call->endpoint != ENDPOINT_BATCH_CREATE;
}

static void
not_found(const struct call *call, struct proto_error *error)
{
    const char *param = call->endpoint == ENDPOINT_BATCH_CREATE ? "input_file_id"
                        : is_list(call)                         ? "after"
                                                                : "id";

    error_set(error, ERROR_NOT_FOUND, param, NULL,
              names_batch(call) ? "No batch found with id '%.*s'." : "No such File object: %.*s",
              STR_ARGS(call->ask.file->id));
}

void
kept_not_offered(const struct call *call, struct proto_error *error)
{
    const struct kept_call *kept = call->kept;

    if (kept != NULL && kept->found)
        error_set(error, ERROR_NO_PATH, NULL, NULL,
                  "turnpike: files are not offered to this key on upstream '%s', where it lies",
                  kept->upstream);
    else
        error_set(error, ERROR_NO_PATH, NULL, NULL, "turnpike: files are not offered to this key");
}

static void
copy_text(struct js_value record, const char *name, char *out, size_t cap)
{
    struct js_value value = js_get(record, str_from(name));

    out[0] = '\0';
    if (value.type == JS_STRING && !value.escaped && value.raw.len < cap)
        str_copy(value.raw, out, cap);
}

static void
read_record(struct kept_call *kept, struct js_value record)
{
    char path[64];
    uint64_t lines = 0;

    copy_text(record, "upstream", kept->upstream, sizeof kept->upstream);
    copy_text(record, "credential", kept->credential, sizeof kept->credential);
    copy_text(record, "model", kept->model, sizeof kept->model);
    copy_text(record, "output", kept->output, sizeof kept->output);
    copy_text(record, "errors", kept->errors, sizeof kept->errors);
    copy_text(record, "endpoint", path, sizeof path);
    if (!batch_endpoint(str_from(path), &kept->endpoint))
        kept->endpoint = ENDPOINT_COUNT;
    if (js_count(js_get(record, STR("lines")), CONF_COUNT_MAX, &lines))
        kept->lines = (uint32_t)lines;
}

/* Where it lies must still be in routes.conf. */
static bool
find_place(struct call *call, struct proto_error *error)
{
    struct kept_call *kept = call->kept;
    const struct conf *conf = call->worker->conf;
    int idx = conf_upstream_index(conf, str_from(kept->upstream));

    for (size_t i = 0; idx != CONF_NONE && i < conf->upstreams[idx].credential_count; i++) {
        struct str name = conf->upstreams[idx].credentials[i].name;

        if (!str_eq(name, str_from(kept->credential)))
            continue;
        kept->only = (struct route_only){(uint16_t)idx, (uint8_t)i};
        kept->found = true;
        return true;
    }
    error_set(error, ERROR_CONFLICT, NULL, NULL,
              "turnpike: it lies with upstream '%s'%s%s%s, which is not configured any more",
              kept->upstream, kept->credential[0] ? ", credential '" : "", kept->credential,
              kept->credential[0] ? "'" : "");
    return false;
}

/* The key may have changed while the call waited. */
static void
go_on(struct call *call)
{
    struct proto_error error;
    struct auth auth;

    if (!auth_check(call->client, call->client->req.head, &auth, &error)) {
        call_refuse(call, &error);
        return;
    }
    if (auth.key_idx != call->key_idx) {
        error_set(&error, ERROR_UNAUTHENTICATED, NULL, NULL, "turnpike: the API key has changed");
        call_refuse(call, &error);
        return;
    }
    call_admit(call, auth.extra);
}

static void
on_found(void *arg, const struct ledger_answer *answer)
{
    struct call *call = arg;
    struct proto_error error;

    call->kept->query = NULL;
    if (answer->said == LEDGER_DONE) {
        read_record(call->kept, answer->result);
        if (find_place(call, &error))
            go_on(call);
        else
            call_refuse(call, &error);
        return;
    }
    if (answer->said == LEDGER_ABSENT) {
        not_found(call, &error);
    } else {
        error_set(&error, ERROR_UNAVAILABLE, NULL, NULL,
                  "turnpike: whose it is cannot be told at the moment");
        error.retry_after_s = 1;
    }
    call_refuse(call, &error);
}

bool
kept_ask(struct call *call, struct jw *jw, ledger_answered_fn answered)
{
    call->kept->query = ledger_ask_send(call->worker, jw, answered, call);
    return call->kept->query != NULL;
}

void
kept_ask_whose(struct call *call)
{
    struct proto_error error;
    struct buf request;
    struct jw jw;

    call_set_state(call, CALL_FIND_WAIT);
    ledger_ask_begin(&jw, &request, "kept.find");
    jw_key_u64(&jw, "tenant", call->key->tenant_id);
    jw_key_cstr(&jw, "kind", names_batch(call) ? "batch" : "file");
    jw_key_quoted(&jw, "id", call->ask.file->id);
    if (kept_ask(call, &jw, on_found))
        return;
    error_set(&error, ERROR_UNAVAILABLE, NULL, NULL,
              "turnpike: too many calls for files at a time");
    error.retry_after_s = 1;
    call_refuse(call, &error);
}

/* ---- admission ---- */

static bool
admit_create(struct call *call, const struct key_extra *extra, struct str channel,
             struct proto_error *error)
{
    const struct kept_call *kept = call->kept;
    const struct batched batched = {.at = kept->only,
                                    .model = str_from(kept->model),
                                    .endpoint = kept->endpoint,
                                    .channel = channel};

    if (kept->lines == 0 || kept->endpoint == ENDPOINT_COUNT) {
        error_set(error, ERROR_BAD_REQUEST, "input_file_id", NULL,
                  "turnpike: the file was not uploaded with the purpose '" BATCH_PURPOSE "'");
        return false;
    }
    if (call->ask.file->lines.endpoint != kept->endpoint) {
        error_set(error, ERROR_BAD_REQUEST, "endpoint", NULL,
                  "turnpike: the lines of the file are for %.*s",
                  STR_ARGS(batch_path(kept->endpoint)));
        return false;
    }
    return batched_choose(call, extra, &batched, call->plan, error);
}

static bool
admit_upload(struct call *call, const struct key_extra *extra, struct str channel,
             struct proto_error *error)
{
    const struct route_candidate *to = &call->plan->candidates[0];
    const struct batch_lines *lines = &call->ask.file->lines;
    const struct batched batched = {.at = {to->upstream_idx, to->credential},
                                    .model = lines->model,
                                    .endpoint = lines->endpoint,
                                    .channel = channel,
                                    .is_upload = true};
    struct route_plan plan;

    return lines->count == 0 || batched_choose(call, extra, &batched, &plan, error);
}

bool
kept_admit(struct call *call, const struct key_extra *extra, struct str channel,
           struct proto_error *error)
{
    if (call->endpoint == ENDPOINT_BATCH_CREATE)
        return admit_create(call, extra, channel, error);
    return call->endpoint != ENDPOINT_FILE_UPLOAD || admit_upload(call, extra, channel, error);
}

/* ---- the answer ---- */

bool
kept_hold(struct call *call, struct str body)
{
    if (body.ptr != call->body.ptr) {
        buf_free(&call->body);
        buf_add_str(&call->body, body);
    }
    if (call->body.failed) {
        relay_failed(call, REASON_TOO_LARGE, ERROR_UPSTREAM_FAILED, "its answer is too large");
        return false;
    }
    if (call->uconn)
        uconn_release(call->uconn);
    wheel_cancel(&call->worker->net.wheel, &call->timer); /* the question has a time of its own */
    call_set_state(call, CALL_KEEP_WAIT);
    return true;
}

void
kept_write_owner(struct call *call, struct jw *jw)
{
    /* Not the key's slot: by now that may be another's. */
    const struct record *r = hold_record(&call->worker->holds, call->slot);

    ASSERT(call->held);
    jw_key_u64(jw, "tenant", r->tenant_id);
    jw_key_u64(jw, "key", r->key_id);
    jw_key_u64(jw, "project", r->project_id);
    jw_key_str(jw, "upstream", call_upstream(call)->name);
    jw_key_str(jw, "credential", call_credential(call, call->candidate)->conf->name);
    jw_key_str(jw, "call", (struct str){call->id_text, CALL_ID_LEN});
}

void
kept_fail(struct call *call, const char *what)
{
    struct proto_error error;

    error_set(&error, ERROR_UNAVAILABLE, NULL, NULL, "turnpike: %s; nothing was charged", what);
    error.retry_after_s = 1;
    settle_attempt(call, REASON_NONE, 200);
    call_fail(call, &error);
}

/* What was made, and is recorded nowhere, belongs to nobody: it is to go. */
static void
undo(struct call *call)
{
    struct kept_call *kept = call->kept;
    bool batch = call->endpoint == ENDPOINT_BATCH_CREATE;

    log_error("kept.unrecorded", "call=%s upstream=%.*s id=%s", call->id_text,
              STR_ARGS(call_upstream(call)->name), kept->made);
    error_set(&kept->error, ERROR_UNAVAILABLE, NULL, NULL,
              "turnpike: the %s was not kept, since whose it is could not be recorded; nothing was "
              "charged",
              batch ? "batch" : "file");
    kept->error.retry_after_s = 1;
    kept->undoes = true;
    settle_attempt(call, REASON_NONE, 200);
    call->ask.body = STR("");
    call->ask.file->id = str_from(kept->made);
    call->deadline_ms = worker_now_ms(call->worker) + UNDO_MS;
    forward_again(call);
}

bool
kept_undone(struct call *call)
{
    struct proto_error error;

    if (!kept_undoes(call))
        return false;
    error = call->kept->error;
    call_fail(call, &error);
    return true;
}

/* Of batches: all of those asked for are the tenant's. */
static bool
all_own(struct js_value result)
{
    struct js_value key, own;
    struct js_iter it;

    for (js_iter_init(&it, js_get(result, STR("own"))); js_next(&it, &key, &own);)
        if (!js_bool(own, false))
            return false;
    return true;
}

static void
on_kept(void *arg, const struct ledger_answer *answer)
{
    struct call *call = arg;
    bool done = answer->said == LEDGER_DONE && all_own(answer->result);

    call->kept->query = NULL;
    if (!done)
        log_error("kept.failed", "call=%s endpoint=%s why=%s", call->id_text,
                  proto_endpoint_name[call->endpoint], log_quote(str_from(answer->why)));
    /* A record of what is gone is no harm. */
    if (done || call->endpoint == ENDPOINT_FILE_DELETE)
        whole_kept(call, buf_str(&call->body));
    else if (call->endpoint == ENDPOINT_FILE_UPLOAD || call->endpoint == ENDPOINT_BATCH_CREATE)
        undo(call);
    else
        kept_fail(call, "what the batch names could not be recorded; ask again");
}

static void
ask_or_fail(struct call *call, struct jw *jw)
{
    if (!kept_ask(call, jw, on_kept))
        on_kept(call, &(struct ledger_answer){.said = LEDGER_BUSY, .why = "too many questions"});
}

static void
keep_file(struct call *call)
{
    const struct ask_file *file = call->ask.file;
    struct buf request;
    struct jw jw;

    ledger_ask_begin(&jw, &request, "kept.add");
    kept_write_owner(call, &jw);
    jw_key_cstr(&jw, "id", call->kept->made);
    if (proto_is_id(file->purpose))
        jw_key_quoted(&jw, "purpose", file->purpose);
    jw_key_u64(&jw, "bytes", MIN(file->bytes, (size_t)UINT32_MAX));
    if (file->lines.count > 0) {
        jw_key_u64(&jw, "lines", file->lines.count);
        jw_key_quoted(&jw, "model", file->lines.model);
        jw_key_str(&jw, "endpoint", batch_path(file->lines.endpoint));
    }
    ask_or_fail(call, &jw);
}

static void
drop_file(struct call *call)
{
    struct buf request;
    struct jw jw;

    ledger_ask_begin(&jw, &request, "kept.drop");
    kept_write_owner(call, &jw);
    jw_key_quoted(&jw, "id", call->ask.file->id);
    ask_or_fail(call, &jw);
}

/* The file that it is made of is the caller's own, whatever the answer calls it. */
static void
keep_batch(struct call *call, struct batch_names names)
{
    struct buf request;
    struct jw jw;

    if (call->endpoint == ENDPOINT_BATCH_CREATE)
        names.input = call->ask.file->id;
    else
        names.id = call->ask.file->id;
    ledger_ask_begin(&jw, &request, "kept.batches");
    kept_write_owner(call, &jw);
    jw_key(&jw, "batches");
    jw_array(&jw);
    batch_names_write(&jw, &names);
    jw_array_end(&jw);
    ask_or_fail(call, &jw);
}

static bool
is_news(const struct kept_call *kept, const struct batch_names *names)
{
    return (names->output.len > 0 && !str_eq(names->output, str_from(kept->output))) ||
           (names->errors.len > 0 && !str_eq(names->errors, str_from(kept->errors)));
}

static struct js_value
read_answer(struct str body)
{
    struct js_value document = {.type = JS_NONE};
    struct js_error ignored;

    return js_check_lenient(body, &document, NULL, &ignored) ? document
                                                              : (struct js_value){.type = JS_NONE};
}

/* Something was made: without its ID nobody could ever ask for it. */
static void
made(struct call *call, struct str body, struct batch_names names)
{
    if (names.id.ptr == NULL) {
        relay_failed(call, REASON_BAD_ANSWER, ERROR_UPSTREAM_FAILED,
                     "its answer names nothing that was made");
        return;
    }
    str_copy(names.id, call->kept->made, sizeof call->kept->made);
    if (!kept_hold(call, body))
        return;
    if (call->endpoint == ENDPOINT_FILE_UPLOAD)
        keep_file(call);
    else
        keep_batch(call, batch_names_of(read_answer(buf_str(&call->body))));
}

static void
batch_shown(struct call *call, struct str body, struct batch_names names)
{
    if (!is_news(call->kept, &names))
        whole_kept(call, body);
    else if (kept_hold(call, body))
        keep_batch(call, batch_names_of(read_answer(buf_str(&call->body))));
}

void
kept_answered(struct call *call, struct str body)
{
    struct batch_names names = batch_names_of(read_answer(body));

    switch (endpoint_of(call)) {
    case ENDPOINT_FILE_UPLOAD:
    case ENDPOINT_BATCH_CREATE: made(call, body, names); return;
    case ENDPOINT_BATCH:
    case ENDPOINT_BATCH_CANCEL: batch_shown(call, body, names); return;
    case ENDPOINT_FILES:
    case ENDPOINT_BATCHES: kept_list_page(call, body); return;
    case ENDPOINT_FILE_DELETE:
        if (!js_bool(js_get(read_answer(body), STR("deleted")), false))
            whole_kept(call, body); /* it is still there */
        else if (kept_hold(call, body))
            drop_file(call);
        return;
    default: whole_kept(call, body); return;
    }
}

#include "worker/own.h"

#include <string.h>

#include "base/clock.h"
#include "base/jw.h"
#include "base/str.h"
#include "proto/models.h"
#include "route/key.h"
#include "shm/account.h"
#include "shm/health.h"
#include "worker/call.h"
#include "worker/callid.h"
#include "worker/client.h"
#include "worker/receipt.h"

#define MODELS_MAX 4096

static void
send_json(struct client *c, unsigned status, struct buf *body)
{
    struct h1_out out;
    char id[CALL_ID_LEN + 1];
    uint8_t bytes[16];

    callid_make(c->worker, bytes, id);
    client_head(c, &out, status, (struct str){id, CALL_ID_LEN});
    h1_out_own(&out, "content-type: ", STR("application/json"));
    (void)client_send_whole(c, &out, buf_str(body));
}

static void
send_error(struct client *c, enum proto_protocol shape, const struct proto_error *error)
{
    char id[CALL_ID_LEN + 1];
    uint8_t bytes[16];

    callid_make(c->worker, bytes, id);
    (void)client_send_error(c, shape, error, (struct str){id, CALL_ID_LEN}, NULL);
}

/* ---- health ---- */

static const char *
not_ready(const struct worker *w)
{
    const struct region_header *header = w->region->header;
    bool usable = false;

    if (w->stopping || atomic_load_explicit(&header->draining, memory_order_relaxed))
        return "draining";
    if (atomic_load_explicit(&header->ready_seq, memory_order_acquire) == 0)
        return "the ledger is not ready";
    if (region_ledger_still(header, w->turn_mono_us))
        return "the ledger does not answer";
    if (atomic_load_explicit(&header->stop_taking, memory_order_relaxed))
        return "the store cannot take records";
    for (size_t i = 0; i < w->conf->credential_count && !usable; i++)
        usable = w->credentials[i].conf->disabled_reason == NULL &&
                 (w->credentials[i].health == NULL ||
                  health_usable(w->region, w->credentials[i].health, worker_now_ms(w)));
    return usable ? NULL : "no healthy upstream";
}

void
own_health(struct client *c, enum proto_endpoint endpoint)
{
    const char *why = endpoint == ENDPOINT_READYZ ? not_ready(c->worker) : NULL;
    struct buf body;
    struct jw jw;

    buf_init(&body, 1024);
    jw_init(&jw, &body);
    jw_object(&jw);
    jw_key_cstr(&jw, "status", why ? "unavailable" : "ok");
    if (why)
        jw_key_cstr(&jw, "reason", why);
    jw_object_end(&jw);
    send_json(c, why ? 503 : 200, &body);
    buf_free(&body);
}

/* ---- models ---- */

static struct models_entry
entry_of(const struct conf_model *model)
{
    return (struct models_entry){.id = model->name,
                                 .family = model->family,
                                 .context_tokens = model->context_tokens,
                                 .output_tokens_max = model->output_tokens_max,
                                 .embeds = model->can == 1u << CONF_CAN_EMBEDDINGS};
}

static size_t
visible_models(const struct worker *w, const struct auth *auth, struct models_entry *entries)
{
    static uint16_t found[MODELS_MAX]; /* one thread a process */
    struct route_key key;
    struct route_quotas quotas;
    struct route_ask ask = {.channel_named = STR_NONE};
    size_t count, total = 0;
    bool any = route_quotas_of(w->region, auth->key, &quotas);

    if (!route_key_read(auth->key, auth->extra, any ? &quotas : NULL, &w->channel_names, &key, &ask))
        return 0;
    count = MIN(route_models(w->routes, &ask, found, MODELS_MAX), (size_t)MODELS_MAX);
    for (size_t i = 0; i < count; i++)
        if (!str_eq(w->conf->models[found[i]].name, STR(ASK_FILES_MODEL)))
            entries[total++] = entry_of(&w->conf->models[found[i]]);
    count = MIN(route_autos(w->routes, &ask, found, MODELS_MAX), MODELS_MAX - total);
    for (size_t i = 0; i < count; i++)
        entries[total++] =
            (struct models_entry){.id = w->conf->autos[found[i]].name, .family = STR("auto")};
    return total;
}

static void
models_list(struct client *c, enum proto_protocol shape, const struct auth *auth)
{
    static struct models_entry entries[MODELS_MAX];
    size_t count = visible_models(c->worker, auth, entries);
    struct models_query query;
    struct proto_error error;
    struct buf body;

    if (!models_query_read(h1_head_query(c->req.head), shape, &query, &error)) {
        send_error(c, shape, &error);
        return;
    }
    buf_init(&body, 4u << 20);
    models_write_list(&body, shape, entries, count, shape == PROTO_OPENAI ? NULL : &query);
    send_json(c, 200, &body);
    buf_free(&body);
}

static void
model_get(struct client *c, struct str encoded, enum proto_protocol shape, const struct auth *auth)
{
    static struct models_entry entries[MODELS_MAX];
    size_t count = visible_models(c->worker, auth, entries);
    char text[CONF_MODEL_NAME_LEN_MAX * 3 + 1];
    struct str id = encoded.len < sizeof text ? proto_unescape(encoded, text, sizeof text)
                                              : STR_NONE;
    int by_alias = conf_model_index(c->worker->conf, id);
    struct proto_error error;

    for (size_t i = 0; i < count && id.len > 0; i++) {
        struct buf body;

        if (!str_eq(entries[i].id, id) &&
            (by_alias < 0 || !str_eq(entries[i].id, c->worker->conf->models[by_alias].name)))
            continue;
        entries[i].id = id;
        buf_init(&body, 64u << 10);
        models_write_one(&body, shape, &entries[i]);
        send_json(c, 200, &body);
        buf_free(&body);
        return;
    }
    error_set(&error, ERROR_NO_MODEL, "model", NULL, "The model '%.*s' does not exist",
              STR_ARGS(id));
    send_error(c, shape, &error);
}

/* ---- balance ---- */

static int64_t
write_budget(struct jw *jw, const struct worker *w, uint32_t budget_idx, int64_t spendable_ucr)
{
    struct budget *budget = budget_at(w->region, budget_idx);
    int64_t now_us = worker_wall_us(w);
    struct budget_look look;

    if (budget == NULL)
        return spendable_ucr;
    budget_look(budget, now_us, &look);
    jw_object(jw);
    jw_key_cstr(jw, "of", budget_kind_name[budget->kind]);
    jw_key_cstr(jw, "period", budget_period_name[look.period]);
    if (look.period == BUDGET_ROLLING)
        jw_key_u64(jw, "hours", look.length_s / 3600);
    jw_key_ucr(jw, "limit", look.limit_ucr);
    jw_key_ucr(jw, "spent", look.spent_ucr);
    if (look.ends_us != INT64_MAX) /* null: its next window opens with the next call */
        jw_key_time(jw, "resets_at", look.ends_us);
    if (look.shadow)
        jw_key_bool(jw, "shadow", true);
    jw_object_end(jw);
    return look.shadow ? spendable_ucr
                       : MIN(spendable_ucr, MAX(look.limit_ucr - look.spent_ucr, 0));
}

static void
balance(struct client *c, const struct auth *auth)
{
    int64_t available_ucr = account_available_ucr(auth->account);
    int64_t overdraft_ucr =
        atomic_load_explicit(&auth->account->overdraft_ucr, memory_order_relaxed);
    int64_t spendable_ucr = MAX(available_ucr + overdraft_ucr, 0);
    struct buf body;
    struct jw jw;

    buf_init(&body, 64u << 10);
    jw_init(&jw, &body);
    jw_object(&jw);
    jw_key_cstr(&jw, "object", "balance");
    jw_key_ucr(&jw, "available", available_ucr);
    jw_key(&jw, "budgets");
    jw_array(&jw);
    for (unsigned i = 0; i < 3; i++)
        spendable_ucr = write_budget(
            &jw, c->worker, atomic_load_explicit(&auth->key->budget_idx[i], memory_order_relaxed),
            spendable_ucr);
    spendable_ucr = write_budget(
        &jw, c->worker, atomic_load_explicit(&auth->account->budget_idx, memory_order_relaxed),
        spendable_ucr);
    jw_array_end(&jw);
    jw_key_ucr(&jw, "spendable", spendable_ucr);
    jw_object_end(&jw);
    send_json(c, 200, &body);
    buf_free(&body);
}

void
own_answer(struct client *c, const struct proto_what *what, enum proto_protocol shape,
           const struct auth *auth)
{
    if (shape == PROTO_OPENAI && h1_head_has(c->req.head, H1_ANTHROPIC_VERSION))
        shape = PROTO_ANTHROPIC;
    switch (what->endpoint) {
    case ENDPOINT_MODELS_LIST:
    case ENDPOINT_GEMINI_MODELS:
        models_list(c, shape, auth);
        return;
    case ENDPOINT_MODEL_GET:
    case ENDPOINT_GEMINI_MODEL:
        model_get(c, what->id, shape, auth);
        return;
    case ENDPOINT_RECEIPT:
        receipt_ask(c, what->id, shape, auth->key->tenant_id);
        return;
    case ENDPOINT_BALANCE:
        balance(c, auth);
        return;
    case ENDPOINT_CHAT:
    case ENDPOINT_COMPLETIONS:
    case ENDPOINT_EMBEDDINGS:
    case ENDPOINT_RESPONSES:
    case ENDPOINT_MESSAGES:
    case ENDPOINT_COUNT_TOKENS:
    case ENDPOINT_HEALTHZ:
    case ENDPOINT_READYZ:
    case ENDPOINT_GENERATE:
    case ENDPOINT_GEMINI_COUNT:
    case ENDPOINT_GEMINI_EMBED:
    case ENDPOINT_REALTIME:
    case ENDPOINT_IMAGES:
    case ENDPOINT_IMAGE_EDITS:
    case ENDPOINT_SPEECH:
    case ENDPOINT_TRANSCRIPTIONS:
    case ENDPOINT_TRANSLATIONS:
    case ENDPOINT_MODERATIONS:
    case ENDPOINT_RERANK:
    case ENDPOINT_FILE_UPLOAD:
    case ENDPOINT_FILES:
    case ENDPOINT_FILE:
    case ENDPOINT_FILE_CONTENT:
    case ENDPOINT_FILE_DELETE:
    case ENDPOINT_BATCH_CREATE:
    case ENDPOINT_BATCHES:
    case ENDPOINT_BATCH:
    case ENDPOINT_BATCH_CANCEL:
    case ENDPOINT_COUNT:
        break;
    }
    ASSERT(!"an endpoint of our own");
}

void
own_client_gone(struct client *c)
{
    receipt_client_gone(c);
}

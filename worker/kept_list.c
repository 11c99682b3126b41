/*
 * Lists of files and batches, with only what is the tenant's left in them.
 *
 * The upstream's list is that of all tenants. It is read page by page, in the order that the caller
 * asked for and from where the caller asked, and of each page the ledger process is asked what of it is
 * the tenant's; until there is one more of these than the caller wants, or no further page. So
 * has_more is true when there is more of the tenant's own, and only then. Nothing of the upstream's
 * list but the tenant's own objects, as they are, goes to the client.
 */
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "worker/call.h"
#include "worker/forward.h"
#include "worker/kept.h"
#include "worker/whole.h"

#define PAGES_MAX 100u
/* At a time, so that their IDs fit into a question. */
#define FILES_ASKED_MAX 256u
#define BATCHES_ASKED_MAX 64u

struct kept_list {
    struct buf own; /* the objects, with commas between */
    uint32_t count, wanted;
    bool more;
    unsigned pages;
    uint32_t sifted; /* of the page, how many were asked for */
    uint32_t asking; /* how many are asked for now */
    char first[PROTO_ID_LEN_MAX + 1], last[PROTO_ID_LEN_MAX + 1];
    char filter[2 * PROTO_ID_LEN_MAX + 32]; /* what else of the caller's query counts */
    char query[4 * PROTO_ID_LEN_MAX];
};

static bool
is_batches(const struct call *call)
{
    return call->endpoint == ENDPOINT_BATCHES;
}

/* ---- the question to the upstream ---- */

static void
set_query(struct call *call, struct str after)
{
    struct kept_list *list = call->kept->list;

    snprintf(list->query, sizeof list->query, "%slimit=%u%s%.*s", list->filter,
             is_batches(call) ? 100 : 1000, after.len > 0 ? "&after=" : "",
             (int)MIN(after.len, (size_t)PROTO_ID_LEN_MAX), after.len > 0 ? after.ptr : "");
}

struct str
kept_list_query(const struct kept_list *list)
{
    return str_from(list->query);
}

static void
keep_filter(struct kept_list *list, struct str query)
{
    static const char *const names[] = {"purpose", "order"};
    size_t len = 0;

    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct str value = proto_query_get(query, str_from(names[i]));

        if (proto_is_id(value))
            len += (size_t)snprintf(list->filter + len, sizeof list->filter - len, "%s=%.*s&",
                                    names[i], STR_ARGS(value));
    }
}

bool
kept_list_begin(struct call *call, struct proto_error *error)
{
    struct str limit = proto_query_get(call->query, STR("limit"));
    uint32_t most = is_batches(call) ? 100 : 10000;
    struct kept_list *list = calloc(1, sizeof *list);
    uint64_t wanted = is_batches(call) ? 20 : most;

    call->kept->list = list;
    if (list == NULL) {
        error_set(error, ERROR_UNAVAILABLE, NULL, NULL, "The gateway is out of memory.");
        return false;
    }
    if (limit.len > 0 && (!str_to_count(limit, most, &wanted) || wanted == 0)) {
        error_set(error, ERROR_BAD_REQUEST, "limit", "invalid_value",
                  "limit: must be a whole number from 1 to %u", most);
        return false;
    }
    buf_init(&list->own, call->worker->limits->response_body_bytes);
    list->wanted = (uint32_t)wanted;
    if (!is_batches(call))
        keep_filter(list, call->query);
    set_query(call, call->ask.file->id);
    return true;
}

void
kept_list_free(struct kept_list *list)
{
    if (list != NULL)
        buf_free(&list->own);
    free(list);
}

/* ---- the answer to the caller ---- */

static void
write_id(struct jw *jw, const char *name, const char *id)
{
    jw_key_cstr(jw, name, id[0] != '\0' ? id : NULL);
}

static void
finish(struct call *call)
{
    struct kept_list *list = call->kept->list;
    struct buf out;
    struct jw jw;

    buf_init(&out, call->worker->limits->response_body_bytes + 1024);
    jw_init(&jw, &out);
    jw_object(&jw);
    jw_key_cstr(&jw, "object", "list");
    jw_key(&jw, "data");
    buf_add_char(&out, '[');
    buf_add_str(&out, buf_str(&list->own));
    jw_raw(&jw, STR("]"));
    write_id(&jw, "first_id", list->first);
    write_id(&jw, "last_id", list->last);
    jw_key_bool(&jw, "has_more", list->more);
    jw_object_end(&jw);
    if (out.failed || list->own.failed) {
        buf_free(&out);
        kept_fail(call, "the list is too large; ask for fewer by limit");
        return;
    }
    buf_free(&call->body);
    call->body = out;
    whole_kept(call, buf_str(&call->body));
}

/* ---- a page ---- */

static struct js_value
page_of(const struct call *call)
{
    struct js_value page = {.type = JS_NONE};
    struct js_error ignored;

    return js_check_lenient(buf_str(&call->body), &page, NULL, &ignored)
               ? page
               : (struct js_value){.type = JS_NONE};
}

static void
take_own(struct kept_list *list, struct js_value object)
{
    struct batch_names names = batch_names_of(object);

    if (list->count == list->wanted) {
        list->more = true;
        return;
    }
    if (list->count++ == 0)
        str_copy(names.id, list->first, sizeof list->first);
    else
        buf_add_char(&list->own, ',');
    str_copy(names.id, list->last, sizeof list->last);
    buf_add_str(&list->own, object.raw);
}

static void
page_done(struct call *call, struct js_value page, struct str last)
{
    struct kept_list *list = call->kept->list;
    bool further = js_bool(js_get(page, STR("has_more")), false) && last.len > 0;

    if (list->more || !further) {
        finish(call);
        return;
    }
    if (++list->pages == PAGES_MAX) {
        list->more = list->count > 0; /* the caller can go on behind what it gets */
        if (list->more)
            finish(call);
        else
            kept_fail(call, "the upstream keeps too much to be looked through");
        return;
    }
    list->sifted = 0;
    set_query(call, last);
    forward_again(call);
}

static void sift(struct call *call);

static void
on_sifted(void *arg, const struct ledger_answer *answer)
{
    struct call *call = arg;
    struct kept_list *list = call->kept->list;
    struct js_value key, object, own;
    struct js_iter objects, owns;
    uint32_t at = 0;

    call->kept->query = NULL;
    if (answer->said != LEDGER_DONE) {
        kept_fail(call, "whose these are cannot be told at the moment");
        return;
    }
    js_iter_init(&objects, js_get(page_of(call), STR("data")));
    while (at < list->sifted && js_next(&objects, &key, &object))
        at++;
    js_iter_init(&owns, js_get(answer->result, STR("own")));
    while (js_next(&owns, &key, &own) && js_next(&objects, &key, &object))
        if (js_bool(own, false))
            take_own(list, object);
    list->sifted += list->asking;
    sift(call);
}

static void
write_asked(const struct call *call, struct jw *jw, struct js_value object)
{
    struct batch_names names = batch_names_of(object);

    if (is_batches(call))
        batch_names_write(jw, &names);
    else
        jw_str(jw, names.id.ptr != NULL ? names.id : STR(""));
}

/* Asks of the next ones of the page, or goes on behind it. */
static void
sift(struct call *call)
{
    struct kept_list *list = call->kept->list;
    uint32_t most = is_batches(call) ? BATCHES_ASKED_MAX : FILES_ASKED_MAX;
    struct js_value page = page_of(call), key, object;
    struct str last = STR("");
    struct js_iter it;
    struct buf request;
    struct jw jw;
    uint32_t at = 0;

    list->asking = 0;
    ledger_ask_begin(&jw, &request, is_batches(call) ? "kept.batches" : "kept.own");
    kept_write_owner(call, &jw);
    jw_key(&jw, is_batches(call) ? "batches" : "ids");
    jw_array(&jw);
    for (js_iter_init(&it, js_get(page, STR("data"))); js_next(&it, &key, &object); at++) {
        last = batch_names_of(object).id;
        if (at < list->sifted || list->asking == most)
            continue;
        write_asked(call, &jw, object);
        list->asking++;
    }
    jw_array_end(&jw);
    if (list->asking == 0 || list->more) {
        buf_free(&request);
        page_done(call, page, last);
    } else if (!kept_ask(call, &jw, on_sifted)) {
        kept_fail(call, "too many calls for files at a time");
    }
}

void
kept_list_page(struct call *call, struct str body)
{
    if (kept_hold(call, body))
        sift(call);
}

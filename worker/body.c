#include "worker/body.h"

#include "base/str.h"
#include "proto/multipart.h"
#include "worker/kept.h"
#include "worker/tunnel.h"

/* Which of two forms' boundaries would hold? */
static bool
one_type(const struct h1_head *head, struct proto_error *error)
{
    unsigned types = 0;

    for (size_t i = 0; i < head->header_count; i++)
        types += head->headers[i].known == H1_CONTENT_TYPE;
    if (types > 1)
        error_set(error, ERROR_BAD_REQUEST, "content-type", NULL,
                  "content-type: must not stand twice");
    return types <= 1;
}

/* Forms come where files do; pictures to be edited also as JSON, which names them. */
static bool
read_media(struct call *call, enum proto_endpoint endpoint, struct proto_error *error)
{
    const struct h1_head *head = call->client->req.head;
    struct str body = call->client->req.body, type = h1_head_get(head, H1_CONTENT_TYPE);
    bool sound = endpoint == ENDPOINT_TRANSCRIPTIONS || endpoint == ENDPOINT_TRANSLATIONS;

    if (!sound && !(endpoint == ENDPOINT_IMAGE_EDITS && multipart_is_form(type)))
        return ask_read(endpoint, body, &call->arena, &call->ask, error);
    return one_type(head, error) && ask_read_form(endpoint, type, body, &call->ask, error);
}

static bool
read_file_call(struct call *call, const struct proto_what *what, struct proto_error *error)
{
    const struct h1_head *head = call->client->req.head;
    const struct ask_file_parts parts = {.content_type = h1_head_get(head, H1_CONTENT_TYPE),
                                         .body = call->client->req.body,
                                         .query = call->query};

    if (conf_model_index(call->worker->conf, STR(ASK_FILES_MODEL)) == CONF_NONE) {
        kept_not_offered(call, error);
        return false;
    }
    return one_type(head, error) &&
           ask_read_file(what, &parts, &call->arena, &call->ask, error) && kept_begin(call, error);
}

bool
body_read(struct call *call, const struct proto_what *what, struct proto_error *error)
{
    struct str body = call->client->req.body;

    if (what->endpoint == ENDPOINT_REALTIME)
        return tunnel_ask(call, error);
    if (proto_is_file(what->endpoint))
        return read_file_call(call, what, error);
    if (proto_is_media(what->endpoint))
        return read_media(call, what->endpoint, error);
    if (proto_of(what->endpoint) == PROTO_GEMINI)
        return ask_read_gemini(what, call->query, body, &call->arena, &call->ask, error);
    return ask_read(what->endpoint, body, &call->arena, &call->ask, error);
}

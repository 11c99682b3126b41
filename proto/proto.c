#include "proto/proto.h"

#include <string.h>

#include "base/str.h"

const char *const proto_protocol_name[PROTO_PROTOCOL_COUNT] = {
    [PROTO_OPENAI] = "openai",
    [PROTO_RESPONSES] = "responses",
    [PROTO_ANTHROPIC] = "anthropic",
    [PROTO_GEMINI] = "gemini",
};

/* One row an endpoint. upstream_path is absent for what the gateway answers itself. */
struct endpoint_row {
    const char *method;
    struct str path;
    bool takes_id; /* path is a prefix, an id follows */
    enum proto_protocol protocol;
    struct str upstream_path;
};

#define PATH(literal)                                                                              \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

static const struct endpoint_row rows[ENDPOINT_COUNT] = {
    [ENDPOINT_CHAT] = {"POST", PATH("/v1/chat/completions"), false, PROTO_OPENAI,
                       PATH("/chat/completions")},
    [ENDPOINT_COMPLETIONS] = {"POST", PATH("/v1/completions"), false, PROTO_OPENAI,
                              PATH("/completions")},
    [ENDPOINT_EMBEDDINGS] = {"POST", PATH("/v1/embeddings"), false, PROTO_OPENAI,
                             PATH("/embeddings")},
    [ENDPOINT_RESPONSES] = {"POST", PATH("/v1/responses"), false, PROTO_RESPONSES,
                            PATH("/responses")},
    [ENDPOINT_MESSAGES] = {"POST", PATH("/v1/messages"), false, PROTO_ANTHROPIC,
                           PATH("/v1/messages")},
    [ENDPOINT_COUNT_TOKENS] = {"POST", PATH("/v1/messages/count_tokens"), false, PROTO_ANTHROPIC,
                               PATH("/v1/messages/count_tokens")},
    [ENDPOINT_MODELS_LIST] = {"GET", PATH("/v1/models"), false, PROTO_OPENAI, {NULL, 0}},
    [ENDPOINT_MODEL_GET] = {"GET", PATH("/v1/models/"), true, PROTO_OPENAI, {NULL, 0}},
    [ENDPOINT_RECEIPT] = {"GET", PATH("/v1/receipts/"), true, PROTO_OPENAI, {NULL, 0}},
    [ENDPOINT_BALANCE] = {"GET", PATH("/v1/balance"), false, PROTO_OPENAI, {NULL, 0}},
    [ENDPOINT_HEALTHZ] = {"GET", PATH("/healthz"), false, PROTO_OPENAI, {NULL, 0}},
    [ENDPOINT_READYZ] = {"GET", PATH("/readyz"), false, PROTO_OPENAI, {NULL, 0}},
    /* The paths of these are gemini_of()'s and proto_gemini_path()'s. */
    [ENDPOINT_GENERATE] = {"POST", PATH(""), false, PROTO_GEMINI, PATH("/v1beta/models/")},
    [ENDPOINT_GEMINI_COUNT] = {"POST", PATH(""), false, PROTO_GEMINI, PATH("/v1beta/models/")},
    [ENDPOINT_GEMINI_EMBED] = {"POST", PATH(""), false, PROTO_GEMINI, PATH("/v1beta/models/")},
    [ENDPOINT_GEMINI_MODELS] = {"GET", PATH("/v1beta/models"), false, PROTO_GEMINI, {NULL, 0}},
    [ENDPOINT_GEMINI_MODEL] = {"GET", PATH("/v1beta/models/"), true, PROTO_GEMINI, {NULL, 0}},
    [ENDPOINT_REALTIME] = {"GET", PATH("/v1/realtime"), false, PROTO_OPENAI, PATH("/realtime")},
    [ENDPOINT_IMAGES] = {"POST", PATH("/v1/images/generations"), false, PROTO_OPENAI,
                         PATH("/images/generations")},
    [ENDPOINT_IMAGE_EDITS] = {"POST", PATH("/v1/images/edits"), false, PROTO_OPENAI,
                              PATH("/images/edits")},
    [ENDPOINT_SPEECH] = {"POST", PATH("/v1/audio/speech"), false, PROTO_OPENAI,
                         PATH("/audio/speech")},
    [ENDPOINT_TRANSCRIPTIONS] = {"POST", PATH("/v1/audio/transcriptions"), false, PROTO_OPENAI,
                                 PATH("/audio/transcriptions")},
    [ENDPOINT_TRANSLATIONS] = {"POST", PATH("/v1/audio/translations"), false, PROTO_OPENAI,
                               PATH("/audio/translations")},
    [ENDPOINT_MODERATIONS] = {"POST", PATH("/v1/moderations"), false, PROTO_OPENAI,
                              PATH("/moderations")},
    [ENDPOINT_RERANK] = {"POST", PATH("/v1/rerank"), false, PROTO_OPENAI, PATH("/rerank")},
    /* The paths of these are files_of()'s, batches_of()'s and proto_file_path()'s. */
    [ENDPOINT_FILE_UPLOAD] = {"POST", PATH(""), false, PROTO_OPENAI, PATH("/files")},
    [ENDPOINT_FILES] = {"GET", PATH(""), false, PROTO_OPENAI, PATH("/files")},
    [ENDPOINT_FILE] = {"GET", PATH(""), true, PROTO_OPENAI, PATH("/files")},
    [ENDPOINT_FILE_CONTENT] = {"GET", PATH(""), true, PROTO_OPENAI, PATH("/files")},
    [ENDPOINT_FILE_DELETE] = {"DELETE", PATH(""), true, PROTO_OPENAI, PATH("/files")},
    [ENDPOINT_BATCH_CREATE] = {"POST", PATH(""), false, PROTO_OPENAI, PATH("/batches")},
    [ENDPOINT_BATCHES] = {"GET", PATH(""), false, PROTO_OPENAI, PATH("/batches")},
    [ENDPOINT_BATCH] = {"GET", PATH(""), true, PROTO_OPENAI, PATH("/batches")},
    [ENDPOINT_BATCH_CANCEL] = {"POST", PATH(""), true, PROTO_OPENAI, PATH("/batches")},
};

const char *const proto_endpoint_name[ENDPOINT_COUNT] = {
    [ENDPOINT_CHAT] = "chat",
    [ENDPOINT_COMPLETIONS] = "completions",
    [ENDPOINT_EMBEDDINGS] = "embeddings",
    [ENDPOINT_RESPONSES] = "responses",
    [ENDPOINT_MESSAGES] = "messages",
    [ENDPOINT_COUNT_TOKENS] = "count_tokens",
    [ENDPOINT_MODELS_LIST] = "models",
    [ENDPOINT_MODEL_GET] = "model",
    [ENDPOINT_RECEIPT] = "receipt",
    [ENDPOINT_BALANCE] = "balance",
    [ENDPOINT_HEALTHZ] = "healthz",
    [ENDPOINT_READYZ] = "readyz",
    [ENDPOINT_GENERATE] = "generate",
    [ENDPOINT_GEMINI_COUNT] = "gemini_count",
    [ENDPOINT_GEMINI_EMBED] = "gemini_embed",
    [ENDPOINT_GEMINI_MODELS] = "gemini_models",
    [ENDPOINT_GEMINI_MODEL] = "gemini_model",
    [ENDPOINT_REALTIME] = "realtime",
    [ENDPOINT_IMAGES] = "images",
    [ENDPOINT_IMAGE_EDITS] = "image_edits",
    [ENDPOINT_SPEECH] = "speech",
    [ENDPOINT_TRANSCRIPTIONS] = "transcriptions",
    [ENDPOINT_TRANSLATIONS] = "translations",
    [ENDPOINT_MODERATIONS] = "moderations",
    [ENDPOINT_RERANK] = "rerank",
    [ENDPOINT_FILE_UPLOAD] = "file_upload",
    [ENDPOINT_FILES] = "files",
    [ENDPOINT_FILE] = "file",
    [ENDPOINT_FILE_CONTENT] = "file_content",
    [ENDPOINT_FILE_DELETE] = "file_delete",
    [ENDPOINT_BATCH_CREATE] = "batch_create",
    [ENDPOINT_BATCHES] = "batches",
    [ENDPOINT_BATCH] = "batch",
    [ENDPOINT_BATCH_CANCEL] = "batch_cancel",
};

bool
proto_protocol_from(struct str name, enum proto_protocol *out)
{
    for (unsigned i = 0; i < PROTO_PROTOCOL_COUNT; i++) {
        if (str_eq(name, str_from(proto_protocol_name[i]))) {
            *out = (enum proto_protocol)i;
            return true;
        }
    }
    return false;
}

bool
proto_is_call(enum proto_endpoint endpoint)
{
    return rows[endpoint].upstream_path.ptr != NULL;
}

bool
proto_is_conversation(enum proto_endpoint endpoint)
{
    return endpoint == ENDPOINT_CHAT || endpoint == ENDPOINT_COMPLETIONS ||
           endpoint == ENDPOINT_RESPONSES || endpoint == ENDPOINT_MESSAGES ||
           endpoint == ENDPOINT_GENERATE;
}

bool
proto_is_count(enum proto_endpoint endpoint)
{
    return endpoint == ENDPOINT_COUNT_TOKENS || endpoint == ENDPOINT_GEMINI_COUNT;
}

bool
proto_has_output(enum proto_endpoint endpoint)
{
    return endpoint != ENDPOINT_EMBEDDINGS && endpoint != ENDPOINT_GEMINI_EMBED &&
           endpoint != ENDPOINT_MODERATIONS && endpoint != ENDPOINT_RERANK &&
           !proto_is_file(endpoint) && !proto_is_count(endpoint);
}

enum proto_protocol
proto_of(enum proto_endpoint endpoint)
{
    return rows[endpoint].protocol;
}

/* ---- Gemini's paths: /v1beta/models/MODEL:ACTION ---- */

struct action_row {
    struct str name;
    enum proto_endpoint endpoint;
};
static const struct action_row actions[] = {
    {PATH("generateContent"), ENDPOINT_GENERATE},
    {PATH("streamGenerateContent"), ENDPOINT_GENERATE},
    {PATH("countTokens"), ENDPOINT_GEMINI_COUNT},
    {PATH("embedContent"), ENDPOINT_GEMINI_EMBED},
    {PATH("batchEmbedContents"), ENDPOINT_GEMINI_EMBED},
};

static bool
cut_prefix(struct str *path, struct str prefix)
{
    if (!str_starts_with(*path, prefix))
        return false;
    *path = (struct str){path->ptr + prefix.len, path->len - prefix.len};
    return true;
}

/* Any version's; what has no action behind a colon is OpenAI's under /v1. The colon comes encoded from
 * some. */
static bool
gemini_of(struct str path, struct proto_what *out)
{
    size_t colon, behind;

    if (!cut_prefix(&path, STR("/v1beta/")) && !cut_prefix(&path, STR("/v1alpha/")) &&
        !cut_prefix(&path, STR("/v1/")))
        return false;
    if (!cut_prefix(&path, STR("models/")) && !cut_prefix(&path, STR("tunedModels/")))
        return false;
    for (colon = path.len; colon > 0; colon--)
        if (path.ptr[colon - 1] == ':' ||
            (path.len - colon >= 2 &&
             str_eq_nocase((struct str){path.ptr + colon - 1, 3}, STR("%3a"))))
            break;
    if (colon < 2)
        return false;
    behind = path.ptr[colon - 1] == ':' ? colon : colon + 2;
    out->id = (struct str){path.ptr, colon - 1};
    out->action = (struct str){path.ptr + behind, path.len - behind};
    for (size_t i = 0; i < COUNT_OF(actions); i++) {
        if (str_eq(out->action, actions[i].name)) {
            out->action = actions[i].name; /* which lives longer */
            out->endpoint = actions[i].endpoint;
            return true;
        }
    }
    return false;
}

bool
proto_gemini_streams(struct str action)
{
    return str_eq(action, STR("streamGenerateContent"));
}

struct str
proto_gemini_path(struct str model, struct str action, char *out, size_t out_cap)
{
    const struct str prefix = rows[ENDPOINT_GENERATE].upstream_path;
    const struct str query = proto_gemini_streams(action) ? STR("?alt=sse") : STR("");
    size_t len = prefix.len;

    if (out_cap < prefix.len + 3 * model.len + 1 + action.len + query.len)
        return STR_NONE;
    memcpy(out, prefix.ptr, prefix.len);
    len += proto_escape(model, out + len, out_cap - len).len;
    out[len++] = ':';
    memcpy(out + len, action.ptr, action.len);
    len += action.len;
    memcpy(out + len, query.ptr, query.len);
    return (struct str){out, len + query.len};
}

/* ---- files and batches: one path for several methods ---- */

static bool
is_id_char(char c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '-' ||
           c == '_';
}

bool
proto_is_id(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!is_id_char(text.ptr[i]))
            return false;
    return text.len > 0 && text.len <= PROTO_ID_LEN_MAX;
}

/* "/ID" or "/ID/" and that word. *named: with it. */
static bool
id_of(struct str path, struct str word, struct str *id, bool *named)
{
    struct str rest = STR_NONE;

    if (!cut_prefix(&path, STR("/")))
        return false;
    *id = str_split(path, '/', &rest);
    *named = rest.ptr != NULL;
    return proto_is_id(*id) && (!*named || str_eq(rest, word));
}

static enum proto_found
files_of(struct str method, struct str path, struct proto_what *out)
{
    bool get = str_eq(method, STR("GET")), content;

    if (path.len == 0) {
        out->endpoint = get ? ENDPOINT_FILES : ENDPOINT_FILE_UPLOAD;
        out->allow = "GET, POST";
        return get || str_eq(method, STR("POST")) ? PROTO_FOUND : PROTO_METHOD_NOT_ALLOWED;
    }
    if (!id_of(path, STR("content"), &out->id, &content)) {
        out->id = STR_NONE;
        return PROTO_NOT_FOUND;
    }
    if (content) {
        out->endpoint = ENDPOINT_FILE_CONTENT;
        out->allow = "GET";
        return get ? PROTO_FOUND : PROTO_METHOD_NOT_ALLOWED;
    }
    out->endpoint = get ? ENDPOINT_FILE : ENDPOINT_FILE_DELETE;
    out->allow = "GET, DELETE";
    return get || str_eq(method, STR("DELETE")) ? PROTO_FOUND : PROTO_METHOD_NOT_ALLOWED;
}

static enum proto_found
batches_of(struct str method, struct str path, struct proto_what *out)
{
    bool get = str_eq(method, STR("GET")), post = str_eq(method, STR("POST")), cancel;

    if (path.len == 0) {
        out->endpoint = get ? ENDPOINT_BATCHES : ENDPOINT_BATCH_CREATE;
        out->allow = "GET, POST";
        return get || post ? PROTO_FOUND : PROTO_METHOD_NOT_ALLOWED;
    }
    if (!id_of(path, STR("cancel"), &out->id, &cancel)) {
        out->id = STR_NONE;
        return PROTO_NOT_FOUND;
    }
    out->endpoint = cancel ? ENDPOINT_BATCH_CANCEL : ENDPOINT_BATCH;
    out->allow = cancel ? "POST" : "GET";
    return (cancel ? post : get) ? PROTO_FOUND : PROTO_METHOD_NOT_ALLOWED;
}

struct str
proto_method(enum proto_endpoint endpoint)
{
    return str_from(rows[endpoint].method);
}

static bool
put(char *out, size_t out_cap, size_t *len, struct str text)
{
    if (text.len > out_cap - *len)
        return false;
    memcpy(out + *len, text.ptr, text.len);
    *len += text.len;
    return true;
}

struct str
proto_file_path(enum proto_endpoint endpoint, struct str id, struct str query, char *out,
                size_t out_cap)
{
    static const struct str known[] = {PATH("purpose"), PATH("limit"), PATH("order"),
                                       PATH("after")};
    bool is_list = endpoint == ENDPOINT_FILES || endpoint == ENDPOINT_BATCHES;
    struct str separator = STR("?");
    size_t len = 0;
    bool fits = put(out, out_cap, &len, rows[endpoint].upstream_path);

    if (rows[endpoint].takes_id)
        fits = fits && put(out, out_cap, &len, STR("/")) && put(out, out_cap, &len, id);
    if (endpoint == ENDPOINT_FILE_CONTENT)
        fits = fits && put(out, out_cap, &len, STR("/content"));
    if (endpoint == ENDPOINT_BATCH_CANCEL)
        fits = fits && put(out, out_cap, &len, STR("/cancel"));
    for (size_t i = 0; is_list && i < COUNT_OF(known); i++) {
        struct str value = proto_query_get(query, known[i]);

        if (!proto_is_id(value))
            continue;
        fits = fits && put(out, out_cap, &len, separator) && put(out, out_cap, &len, known[i]) &&
               put(out, out_cap, &len, STR("=")) && put(out, out_cap, &len, value);
        separator = STR("&");
    }
    return fits ? (struct str){out, len} : STR_NONE;
}

static bool
row_matches(const struct endpoint_row *row, struct str path)
{
    if (row->path.len == 0)
        return false;
    if (!row->takes_id)
        return str_eq(path, row->path);
    return path.len > row->path.len && str_starts_with(path, row->path);
}

enum proto_found
proto_endpoint_of(struct str method, struct str path, struct proto_what *out)
{
    *out = (struct proto_what){.allow = ""};
    if (gemini_of(path, out)) {
        out->allow = "POST";
        return str_eq(method, STR("POST")) ? PROTO_FOUND : PROTO_METHOD_NOT_ALLOWED;
    }
    *out = (struct proto_what){.allow = ""};
    if (cut_prefix(&path, STR("/v1/files")))
        return files_of(method, path, out);
    if (cut_prefix(&path, STR("/v1/batches")))
        return batches_of(method, path, out);
    for (unsigned i = 0; i < ENDPOINT_COUNT; i++) {
        const struct endpoint_row *row = &rows[i];

        if (!row_matches(row, path))
            continue;
        out->endpoint = (enum proto_endpoint)i;
        out->allow = row->method;
        if (row->takes_id)
            out->id = (struct str){path.ptr + row->path.len, path.len - row->path.len};
        if (i == ENDPOINT_HEALTHZ || i == ENDPOINT_READYZ) { /* load balancers ask so, too */
            out->allow = "GET, HEAD";
            if (str_eq(method, STR("HEAD")))
                return PROTO_FOUND;
        }
        if (str_eq(method, str_from(row->method)))
            return PROTO_FOUND;
        /* The WebSocket transport of Responses. Clients that try it take 426 for "use POST",
         * and fail for seconds or for good on 404, 405 and 400. */
        if (i == ENDPOINT_RESPONSES && str_eq(method, STR("GET")))
            return PROTO_WEBSOCKET;
        return PROTO_METHOD_NOT_ALLOWED;
    }
    return PROTO_NOT_FOUND;
}

enum proto_protocol
proto_error_shape(struct str path)
{
    if (str_starts_with(path, STR("/v1/messages")))
        return PROTO_ANTHROPIC;
    if (str_starts_with(path, STR("/v1beta")) || str_starts_with(path, STR("/v1alpha")))
        return PROTO_GEMINI;
    if (str_starts_with(path, STR("/v1/responses")))
        return PROTO_RESPONSES;
    return PROTO_OPENAI;
}

struct str
proto_escape(struct str in, char *out, size_t out_cap)
{
    static const char hex[] = "0123456789ABCDEF";
    size_t len = 0;

    if (out_cap / 3 < in.len)
        return STR_NONE;
    for (size_t i = 0; i < in.len; i++) {
        uint8_t c = (uint8_t)in.ptr[i];

        if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
            (c != 0 && strchr("-._~", c) != NULL)) {
            out[len++] = (char)c;
            continue;
        }
        out[len++] = '%';
        out[len++] = hex[c >> 4];
        out[len++] = hex[c & 15];
    }
    return (struct str){out, len};
}

struct str
proto_unescape(struct str in, char *out, size_t out_cap)
{
    size_t len = 0;

    if (in.len == 0 || out_cap < in.len)
        return STR_NONE;
    for (size_t i = 0; i < in.len; i++) {
        uint8_t byte = (uint8_t)in.ptr[i];

        if (byte == '%') {
            if (in.len - i < 3 || !str_unhex((struct str){in.ptr + i + 1, 2}, &byte, 1))
                return STR_NONE;
            i += 2;
        }
        if (byte < 0x20 || byte == 0x7f)
            return STR_NONE;
        out[len++] = (char)byte;
    }
    return (struct str){out, len};
}

struct str
proto_upstream_path(enum proto_endpoint endpoint)
{
    return rows[endpoint].upstream_path;
}

struct str
proto_query_get(struct str query, struct str name)
{
    while (query.ptr != NULL) {
        struct str value;
        struct str param = str_split(query, '&', &query);
        struct str key = str_split(param, '=', &value);

        if (str_eq(key, name))
            return value.ptr != NULL ? value : STR("");
    }
    return STR_NONE;
}

struct str
proto_upstream_query(enum proto_endpoint endpoint, struct str query)
{
    if (rows[endpoint].protocol == PROTO_ANTHROPIC && proto_is_call(endpoint) &&
        str_eq(proto_query_get(query, STR("beta")), STR("true")))
        return STR("?beta=true");
    return STR("");
}

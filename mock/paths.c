/* Which endpoint a path is. */
#include "mock/sim.h"

#include "base/str.h"

const char *const endpoint_path[EP_COUNT] = {
    [EP_NONE] = "?",
    [EP_CHAT] = "/v1/chat/completions",
    [EP_COMPLETIONS] = "/v1/completions",
    [EP_EMBEDDINGS] = "/v1/embeddings",
    [EP_RESPONSES] = "/v1/responses",
    [EP_MESSAGES] = "/v1/messages",
    [EP_COUNT_TOKENS] = "/v1/messages/count_tokens",
    [EP_MODELS] = "/v1/models",
    [EP_GENERATE] = "/v1beta/models:generateContent",
    [EP_GEMINI_COUNT] = "/v1beta/models:countTokens",
    [EP_GEMINI_EMBED] = "/v1beta/models:embedContent",
    [EP_GEMINI_EMBEDS] = "/v1beta/models:batchEmbedContents",
    [EP_GEMINI_MODELS] = "/v1beta/models",
    [EP_IMAGES] = "/v1/images/generations",
    [EP_IMAGE_EDITS] = "/v1/images/edits",
    [EP_SPEECH] = "/v1/audio/speech",
    [EP_TRANSCRIPTIONS] = "/v1/audio/transcriptions",
    [EP_TRANSLATIONS] = "/v1/audio/translations",
    [EP_MODERATIONS] = "/v1/moderations",
    [EP_RERANK] = "/v1/rerank",
    [EP_FILES] = "/v1/files",
    [EP_BATCHES] = "/v1/batches",
    [EP_REALTIME] = "/v1/realtime",
    [EP_CONTROL] = "/sim",
};

struct str
query_get(struct str query, struct str name)
{
    struct str value;

    while (query.ptr != NULL) {
        struct str part = str_split(query, '&', &query);

        if (str_eq(str_split(part, '=', &value), name))
            return value;
    }
    return STR_NONE;
}

/* Takes the prefix off; false when it is not there. */
static bool
cut_prefix(struct str *s, struct str prefix)
{
    if (!str_starts_with(*s, prefix))
        return false;
    s->ptr += prefix.len;
    s->len -= prefix.len;
    return true;
}

/* Where the last colon stands, which some encode; path.len: nowhere. */
static size_t
last_colon(struct str path, size_t *width)
{
    for (size_t i = path.len; i > 0; i--) {
        *width = 1;
        if (path.ptr[i - 1] == ':')
            return i - 1;
        *width = 3;
        if (path.len - i >= 2 && str_eq_nocase((struct str){path.ptr + i - 1, 3}, STR("%3a")))
            return i - 1;
    }
    return path.len;
}

/* Gemini's: the model stands in the path, and behind its last colon what to do with it. */
static bool
gemini_find(struct request *req)
{
    static const struct {
        struct str action;
        enum endpoint endpoint;
        bool streams;
    } actions[] = {
        {{"generateContent", 15}, EP_GENERATE, false},
        {{"streamGenerateContent", 21}, EP_GENERATE, true},
        {{"countTokens", 11}, EP_GEMINI_COUNT, false},
        {{"embedContent", 12}, EP_GEMINI_EMBED, false},
        {{"batchEmbedContents", 18}, EP_GEMINI_EMBEDS, false},
    };
    struct str rest = req->path;
    bool beta = cut_prefix(&rest, STR("/v1beta")) || cut_prefix(&rest, STR("/v1alpha"));
    size_t width;

    if (beta && str_eq(rest, STR("/models"))) {
        req->endpoint = EP_GEMINI_MODELS;
        return true;
    }
    if (!beta && !cut_prefix(&rest, STR("/v1")))
        return false;
    if (!cut_prefix(&rest, STR("/models/")) && !cut_prefix(&rest, STR("/tunedModels/")))
        return false;
    size_t colon = last_colon(rest, &width);
    req->model = (struct str){rest.ptr, colon};
    if (colon == rest.len) {
        req->endpoint = beta ? EP_GEMINI_MODELS : EP_NONE;
        return beta;
    }
    struct str action = {rest.ptr + colon + width, rest.len - colon - width};
    for (size_t i = 0; i < COUNT_OF(actions); i++)
        if (str_eq(action, actions[i].action)) {
            req->endpoint = actions[i].endpoint;
            req->streams = actions[i].streams;
            req->sse = str_eq(query_get(req->query, STR("alt")), STR("sse"));
            return true;
        }
    return beta; /* not found, but in Gemini's words */
}

static bool
method_fits(const struct request *req)
{
    switch (req->endpoint) {
    case EP_FILES:
        if (req->is_delete)
            return req->id.len > 0 && req->action.ptr == NULL;
        return req->is_get ? req->action.ptr == NULL || str_eq(req->action, STR("content"))
                           : req->id.ptr == NULL;
    case EP_BATCHES:
        if (req->action.ptr != NULL)
            return !req->is_get && !req->is_delete && str_eq(req->action, STR("cancel"));
        return req->is_get || (!req->is_delete && req->id.ptr == NULL);
    case EP_MODELS:
    case EP_REALTIME: return req->is_get;
    default: return !req->is_get && !req->is_delete;
    }
}

static enum paths paths_known;

void
paths_only(enum paths paths)
{
    paths_known = paths;
}

/* The list of models is both OpenAI's and Anthropic's. */
static bool
is_known(enum endpoint ep)
{
    bool anthropic = ep == EP_MESSAGES || ep == EP_COUNT_TOKENS;

    switch (paths_known) {
    case PATHS_ALL: return true;
    case PATHS_OPENAI: return !anthropic && !is_gemini(ep);
    case PATHS_ANTHROPIC: return anthropic || ep == EP_MODELS;
    case PATHS_GEMINI: return is_gemini(ep);
    case PATHS_COUNT: break;
    }
    return false;
}

static void
path_find(struct request *req)
{
    struct str path = req->path;

    if (gemini_find(req)) {
        req->gemini = true;
        req->wrong_method =
            req->endpoint != EP_NONE &&
            (req->is_delete || req->is_get != (req->endpoint == EP_GEMINI_MODELS));
        return;
    }
    /* "/v1" may be left out. */
    struct str rest = path;
    if (str_starts_with(path, STR("/v1/"))) {
        rest.ptr += 3;
        rest.len -= 3;
    }
    if (str_starts_with(path, STR("/v2/rerank"))) /* as Cohere has it */
        rest = STR("/rerank");
    for (int ep = EP_CHAT; ep < EP_CONTROL; ep++)
        if (!is_gemini((enum endpoint)ep) && str_eq(rest, str_from(endpoint_path[ep] + 3)))
            req->endpoint = (enum endpoint)ep;
    if (str_starts_with(rest, STR("/models/")))
        req->endpoint = EP_MODELS;
    if (cut_prefix(&rest, STR("/files/")))
        req->endpoint = EP_FILES;
    else if (cut_prefix(&rest, STR("/batches/")))
        req->endpoint = EP_BATCHES;
    else
        rest = STR_NONE;
    req->id = str_split(rest, '/', &req->action);
    req->wrong_method = req->endpoint != EP_NONE && !method_fits(req);
}

void
endpoint_find(struct request *req)
{
    req->endpoint = EP_NONE;
    if (str_starts_with(req->path, STR("/sim/"))) {
        req->endpoint = EP_CONTROL;
        return;
    }
    path_find(req);
    if (!is_known(req->endpoint)) {
        req->endpoint = EP_NONE;
        req->wrong_method = false;
    }
}

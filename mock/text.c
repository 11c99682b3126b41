/* What answers are made of: words, usage objects, error bodies, heads. */
#include "mock/sim.h"

#include "base/jw.h"
#include "base/str.h"

#include <string.h>

int64_t started_s;

/* As content of a JSON string. Two, three and four bytes of UTF-8, and what must be escaped. */
static const char *const words[] = {
    "the",     "toll",      "gate",        "Zürich",     "counts",     "every", "word",   "naïve",
    "clerks",  "pass",      "日本",        "through",    "a",          "river", "🚀",      "and",
    "pay",     "in",        "gros\\u00ae", "Straße",     "or",         "pence", "данные", "while",
    "the\\n",  "road",      "bends",       "\\\"so\\\"", "far",        "that",  "éclair", "nobody",
    "asks",    "why",       "it",          "señor",      "rains",      "here",  "🌊🌊",     "tonight",
    "between", "seventeen", "hills",       "smörgås",    "C:\\\\toll", "again", "मूल्य",    "done",
};

static const char *const pieces[TOOL_PIECES - 1] = {
    "{\\\"city\\\"", ": \\\"Zür", "ich\\\", ", "\\\"days\\\"", ": ",
};

/* The input of a tool that takes free text. */
static const char *const free_pieces[TOOL_PIECES - 1] = {
    "city = ", "\\\"Zür", "ich\\\"\\n", "days", " = ",
};

void
text_word(struct buf *out, uint32_t i, uint32_t pad)
{
    if (i > 0)
        buf_add_char(out, ' ');
    buf_add_str(out, str_from(words[i * 5 % COUNT_OF(words)]));
    if (pad > 0 && buf_reserve(out, pad)) {
        memset(out->ptr + out->len, 'x', pad);
        out->len += pad;
    }
}

void
text_words(struct buf *out, uint32_t count, uint32_t pad, uint32_t huge_first)
{
    for (uint32_t i = 0; i < count; i++)
        text_word(out, i, i == 0 && huge_first > 0 ? huge_first : pad);
}

/* Arguments of a test's own come all in the first piece. */
static void
own_arguments(struct buf *out, struct str text)
{
    size_t at = out->len;
    struct jw jw;

    jw_init(&jw, out);
    jw_str(&jw, text);
    ASSERT(!out->failed);
    memmove(out->ptr + at, out->ptr + at + 1, out->len - at - 2); /* without its quotes */
    out->len -= 2;
}

void
tool_piece(struct buf *out, const struct call *call, uint32_t tool, uint32_t i)
{
    ASSERT(i < COUNT_OF(pieces));
    if (fault_set(&call->faults, F_ARGS)) {
        if (i == 0)
            own_arguments(out, fault_text(&call->faults, F_ARGS));
        return;
    }
    buf_add_str(out, str_from(call->tool_custom ? free_pieces[i] : pieces[i]));
    if (i + 1 == COUNT_OF(pieces))
        buf_add_fmt(out, call->tool_custom ? "%u" : "%u}", 3 + tool);
}

void
tool_arguments(struct buf *out, const struct call *call, uint32_t tool)
{
    for (uint32_t i = 0; i < COUNT_OF(pieces); i++)
        tool_piece(out, call, tool, i);
}

void
tool_arguments_object(struct buf *out, const struct call *call, uint32_t tool)
{
    if (fault_set(&call->faults, F_ARGS))
        buf_add_str(out, fault_text(&call->faults, F_ARGS));
    else
        buf_add_fmt(out, "{\"city\": \"Zürich\", \"days\": %u}", 3 + tool);
}

bool
is_anthropic(enum endpoint ep)
{
    return ep == EP_MESSAGES || ep == EP_COUNT_TOKENS;
}

bool
is_gemini(enum endpoint ep)
{
    return ep >= EP_GENERATE && ep <= EP_GEMINI_MODELS;
}

/* ---- usage ---- */

static void
count_write(struct buf *out, const char *name, uint64_t n)
{
    buf_add_char(out, '"');
    buf_add_str(out, str_from(name));
    buf_add(out, "\":", 2);
    buf_add_u64(out, n);
}

/* The output count, or the nonsense that bad-usage asks for. */
static void
output_write(struct buf *out, const struct call *call, const char *name, uint64_t n)
{
    static const char *const nonsense[] = {
        [BAD_NEGATIVE] = "-5",  [BAD_STRING] = "\"12\"",
        [BAD_FRACTION] = "1.5", [BAD_HUGE] = "99999999999999999999",
        [BAD_OBJECT] = "{}",
    };
    uint32_t bad = fault_get(&call->faults, F_BAD_USAGE, 0);

    if (bad == BAD_PARTIAL)
        return;
    buf_add_char(out, ',');
    if (bad == 0 || bad >= COUNT_OF(nonsense)) {
        count_write(out, name, n);
        return;
    }
    buf_add_fmt(out, "\"%s\":%s", name, nonsense[bad]);
}

const char *
service_named(const struct faults *f, const char *usual)
{
    uint32_t service = fault_get(f, F_SERVICE, 0);

    return service == 0 ? usual : service_names[service - 1];
}

static void
fault_write(struct buf *out, const struct call *call, enum fault fault, const char *name)
{
    if (!fault_set(&call->faults, fault))
        return;
    buf_add_char(out, ',');
    count_write(out, name, fault_get(&call->faults, fault, 0));
}

static void
usage_write_anthropic(struct buf *out, const struct call *call, const struct used *u)
{
    count_write(out, "input_tokens", u->input);
    buf_add_char(out, ',');
    count_write(out, "cache_creation_input_tokens", u->cache_write_5m + u->cache_write_1h);
    buf_add_char(out, ',');
    count_write(out, "cache_read_input_tokens", u->cache_read);
    buf_add_fmt(out,
                ",\"cache_creation\":{\"ephemeral_5m_input_tokens\":%llu,"
                "\"ephemeral_1h_input_tokens\":%llu}",
                (unsigned long long)u->cache_write_5m, (unsigned long long)u->cache_write_1h);
    output_write(out, call, "output_tokens", u->output);
    if (u->reasoning > 0)
        buf_add_fmt(out, ",\"output_tokens_details\":{\"thinking_tokens\":%llu}",
                    (unsigned long long)u->reasoning);
    if (fault_set(&call->faults, F_SEARCHES))
        buf_add_fmt(out, ",\"server_tool_use\":{\"web_search_requests\":%u}",
                    fault_get(&call->faults, F_SEARCHES, 0));
    buf_add_fmt(out, ",\"service_tier\":\"%s\"}", service_named(&call->faults, "standard"));
}

static void
usage_write_openai(struct buf *out, const struct call *call, const struct used *u)
{
    bool responses = call->endpoint == EP_RESPONSES;
    uint64_t writes = u->cache_write_5m + u->cache_write_1h;
    uint64_t input = u->input + u->cache_read + writes + fault_get(&call->faults, F_AUDIO_IN, 0) +
                     fault_get(&call->faults, F_IMAGE_IN, 0);
    uint64_t output = u->output + fault_get(&call->faults, F_AUDIO_OUT, 0) +
                      fault_get(&call->faults, F_IMAGE_OUT, 0);

    count_write(out, responses ? "input_tokens" : "prompt_tokens", input);
    if (call->endpoint != EP_EMBEDDINGS)
        output_write(out, call, responses ? "output_tokens" : "completion_tokens", output);
    buf_add_char(out, ',');
    count_write(out, "total_tokens",
                fault_set(&call->faults, F_TOTAL) ? fault_get(&call->faults, F_TOTAL, 0)
                                                  : input + output);
    fault_write(out, call, F_IMAGES, "images");
    fault_write(out, call, F_SECONDS, "seconds");
    fault_write(out, call, F_CHARACTERS, "characters");
    if (!responses) /* there the items of the output say it */
        fault_write(out, call, F_SEARCHES, "num_search_queries");
    if (call->endpoint == EP_CHAT || responses) {
        buf_add_fmt(out, ",\"%s_tokens_details\":{\"cached_tokens\":%llu",
                    responses ? "input" : "prompt", (unsigned long long)u->cache_read);
        if (writes > 0)
            buf_add_fmt(out, ",\"cache_write_tokens\":%llu", (unsigned long long)writes);
        fault_write(out, call, F_AUDIO_IN, "audio_tokens");
        fault_write(out, call, F_IMAGE_IN, "image_tokens");
        buf_add_fmt(out, "},\"%s_tokens_details\":{\"reasoning_tokens\":%llu",
                    responses ? "output" : "completion", (unsigned long long)u->reasoning);
        fault_write(out, call, F_AUDIO_OUT, "audio_tokens");
        fault_write(out, call, F_IMAGE_OUT, "image_tokens");
        buf_add_char(out, '}');
    }
    buf_add_char(out, '}');
}

/* A list of how many tokens each kind of content had. */
static void
modalities_write(struct buf *out, const char *name, uint64_t text, const struct call *call,
                 enum fault audio, enum fault image)
{
    buf_add_fmt(out, ",\"%s\":[{\"modality\":\"TEXT\",\"tokenCount\":%llu}", name,
                (unsigned long long)text);
    if (fault_set(&call->faults, audio))
        buf_add_fmt(out, ",{\"modality\":\"AUDIO\",\"tokenCount\":%u}",
                    fault_get(&call->faults, audio, 0));
    if (fault_set(&call->faults, image))
        buf_add_fmt(out, ",{\"modality\":\"IMAGE\",\"tokenCount\":%u}",
                    fault_get(&call->faults, image, 0));
    buf_add_char(out, ']');
}

/* Candidates are what is not thought: only together they are the output. */
static void
usage_write_gemini(struct buf *out, const struct call *call, const struct used *u)
{
    const struct faults *f = &call->faults;
    uint64_t text = u->input + u->cache_read + u->cache_write_5m + u->cache_write_1h;
    uint64_t input = text + fault_get(f, F_AUDIO_IN, 0) + fault_get(f, F_IMAGE_IN, 0);
    uint64_t thoughts = MIN(u->reasoning, u->output), said = u->output - thoughts;
    uint64_t output = said + fault_get(f, F_AUDIO_OUT, 0) + fault_get(f, F_IMAGE_OUT, 0);

    count_write(out, "promptTokenCount", input);
    if (call->endpoint != EP_GENERATE) {
        buf_add_char(out, '}');
        return;
    }
    if (u->cache_read > 0)
        buf_add_fmt(out, ",\"cachedContentTokenCount\":%llu", (unsigned long long)u->cache_read);
    output_write(out, call, "candidatesTokenCount", output);
    if (thoughts > 0)
        buf_add_fmt(out, ",\"thoughtsTokenCount\":%llu", (unsigned long long)thoughts);
    buf_add_char(out, ',');
    count_write(out, "totalTokenCount",
                fault_set(f, F_TOTAL) ? fault_get(f, F_TOTAL, 0) : input + output + thoughts);
    modalities_write(out, "promptTokensDetails", text, call, F_AUDIO_IN, F_IMAGE_IN);
    modalities_write(out, "candidatesTokensDetails", said, call, F_AUDIO_OUT, F_IMAGE_OUT);
    if (fault_set(f, F_SERVICE))
        buf_add_fmt(out, ",\"serviceTier\":\"%s\"", service_named(f, "standard"));
    buf_add_char(out, '}');
}

void
usage_write(struct buf *out, const struct call *call)
{
    struct used u = call->used;

    if (fault_on(&call->faults, F_NO_USAGE))
        return;
    buf_add_str(out, is_gemini((enum endpoint)call->endpoint) ? STR(",\"usageMetadata\":")
                                                              : STR(",\"usage\":"));
    if (fault_on(&call->faults, F_NULL_USAGE)) {
        buf_add_str(out, STR("null"));
        return;
    }
    if (fault_on(&call->faults, F_ZERO_USAGE))
        u = (struct used){0};
    if (fault_set(&call->faults, F_OUTPUT_TOKENS))
        u.output = fault_get(&call->faults, F_OUTPUT_TOKENS, 0);
    buf_add_char(out, '{');
    if (is_anthropic(call->endpoint))
        usage_write_anthropic(out, call, &u);
    else if (is_gemini(call->endpoint))
        usage_write_gemini(out, call, &u);
    else
        usage_write_openai(out, call, &u);
}

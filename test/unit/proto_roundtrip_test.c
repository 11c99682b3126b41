/*
 * Requests there and back: generated conversations, written as clients of each protocol write them,
 * are read and written in each protocol, read again by the codec that wrote them, and written once
 * more. The second writing has the same bytes as the first: what a codec writes it also reads, and
 * loses nothing of it.
 *
 * TEST_SEED=N repeats a run; what went wrong is printed with the seed of its conversation.
 */
#include "base/jw.h"
#include "base/rng.h"
#include "base/str.h"
#include "proto/translate.h"
#include "test/unit/testing.h"

#define ROUNDS 400
#define TURNS_MAX 8
#define PARTS_MAX 4
#define TOOLS_MAX 4

/* ---- what is said ---- */

/* Content of JSON strings. */
static const char *const texts[] = {
    "hi",
    "Gr\\u00fc\\u00dfe \\\"so\\\" \\\\ \\/ \\n",
    "\xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x9a\x80",
    "\\ud83d\\ude00 \\u2028 \\u0000",
    "",
    "x",
    "{\\\"a\\\":1}",
};
#define TEXT_EMPTY 4
/* Arguments, as JSON; the last ones are what models also give. */
static const char *const arguments[] = {
    "{}",
    "{\"a\":1}",
    "{\"a\": [1, 2.50, {\"b\":null}], \"a b\":\"\\n\\u00fc\"}",
    "{\"n\":12345678901234567890,\"e\":1e400}",
    "{cut",
    "",
};
#define ARGUMENTS_WHOLE 4
static const char *const names[] = {
    "weather", "get-it", "9th", "a_name_that_is_longer_than_most_protocols_take_which_is_64_or_so_128",
};
static const char *const schemas[] = {
    "{\"type\":\"object\",\"properties\":{}}",
    "{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"description\":\"d\"}},"
    "\"required\":[\"city\"],\"additionalProperties\":false}",
};
static const char *const efforts[] = {"minimal", "low", "medium", "high"};
static const unsigned budgets[] = {1024, 2048, 8192, 16384};

enum part_kind { TEXT = 0, PICTURE, PDF, PART_KINDS };
enum role { USER = 0, ASSISTANT, SYSTEM };

struct part {
    enum part_kind kind;
    unsigned text;
};

/* With its result, which follows in the next turn. */
struct call {
    unsigned id, name, arguments, output;
    bool failed, picture;
};

struct turn {
    enum role role;
    unsigned part_count, call_count;
    struct part parts[PARTS_MAX];
    struct call calls[PARTS_MAX];
    bool thought;
};

struct conversation {
    unsigned turn_count, tool_count;
    struct turn turns[TURNS_MAX];
    bool system, stops, schema, json, sampling, no_parallel, odd_ids;
    unsigned choice; /* 0 none stated, 1 auto, 2 any, 3 the first tool, 4 none */
    unsigned effort; /* 0: not stated */
    unsigned cap;
};

static bool
maybe(uint64_t *rng, unsigned percent)
{
    return rng_next(rng) % 100 < percent;
}

static unsigned
below(uint64_t *rng, unsigned n)
{
    return (unsigned)(rng_next(rng) % n);
}

static struct turn
turn_make(uint64_t *rng, enum role role, unsigned number, unsigned tool_count)
{
    struct turn t = {.role = role, .part_count = 1 + below(rng, PARTS_MAX)};

    for (unsigned i = 0; i < t.part_count; i++) {
        t.parts[i].text = below(rng, COUNT_OF(texts));
        if (role == USER && maybe(rng, 30))
            t.parts[i].kind = (enum part_kind)below(rng, PART_KINDS);
    }
    if (role != ASSISTANT)
        return t;
    t.thought = maybe(rng, 30);
    if (tool_count == 0 || maybe(rng, 40))
        return t;
    t.call_count = 1 + below(rng, PARTS_MAX);
    for (unsigned i = 0; i < t.call_count; i++)
        t.calls[i] = (struct call){
            .id = number * PARTS_MAX + i,
            .name = below(rng, tool_count),
            .arguments = below(rng, COUNT_OF(arguments)),
            .output = below(rng, COUNT_OF(texts)),
            .failed = maybe(rng, 20),
            .picture = maybe(rng, 20),
        };
    if (maybe(rng, 40))
        t.part_count = 0;
    return t;
}

static struct conversation
conversation_make(uint64_t *rng)
{
    struct conversation c = {
        .turn_count = 1 + below(rng, TURNS_MAX),
        .tool_count = below(rng, TOOLS_MAX + 1),
        .system = maybe(rng, 50),
        .stops = maybe(rng, 20),
        .schema = maybe(rng, 20),
        .sampling = maybe(rng, 50),
        .no_parallel = maybe(rng, 20),
        .odd_ids = maybe(rng, 20),
        .effort = maybe(rng, 40) ? 1 + below(rng, COUNT_OF(efforts)) : 0,
        .cap = 1 + below(rng, 9000),
    };

    c.json = !c.schema && maybe(rng, 10);
    c.choice = c.tool_count > 0 ? below(rng, 5) : 0;
    for (unsigned i = 0; i < c.turn_count; i++) {
        enum role role = i == 0 || maybe(rng, 50) ? USER : maybe(rng, 15) ? SYSTEM : ASSISTANT;

        /* Two of the assistant's in a row are one to some protocols; an empty turn is none to most. */
        if (i > 0 && role == ASSISTANT && c.turns[i - 1].role == ASSISTANT &&
            c.turns[i - 1].call_count == 0)
            role = USER;
        c.turns[i] = turn_make(rng, role, i, c.tool_count);
        if (role != ASSISTANT)
            c.turns[i].parts[0] = (struct part){TEXT, below(rng, TEXT_EMPTY)};
    }
    return c;
}

/* ---- as clients write it ---- */

static void
key_text(struct jw *jw, const char *key, unsigned text)
{
    jw_key_quoted(jw, key, str_from(texts[text]));
}

/* A string whose text is this JSON. */
static void
key_json_text(struct jw *jw, const char *key, unsigned number)
{
    bool whole = number < ARGUMENTS_WHOLE;

    jw_key(jw, key);
    jw_raw(jw, STR("\""));
    if (whole)
        chat_write_json_as_text(jw->buf, str_from(arguments[number]));
    else
        buf_add_str(jw->buf, str_from(arguments[number]));
    buf_add_char(jw->buf, '"');
}

static void
key_object(struct jw *jw, const char *key, unsigned number)
{
    jw_key(jw, key);
    jw_raw(jw, str_from(arguments[number % ARGUMENTS_WHOLE]));
}

static void
key_id(struct jw *jw, const char *key, const struct conversation *c, unsigned id, bool plain)
{
    char text[40];

    snprintf(text, sizeof text, c->odd_ids && !plain ? "an \xc3\xbc id/%u" : "call_%u", id);
    jw_key_cstr(jw, key, text);
}

#define PNG "data:image/png;base64,iVBORw0KGgo="
#define PDF_URL "data:application/pdf;base64,JVBERi0xLjc="

static void
typed(struct jw *jw, const char *type)
{
    jw_object(jw);
    jw_key_cstr(jw, "type", type);
}

static void
chat_part_write(struct jw *jw, const struct part *p)
{
    static const char *const types[] = {"text", "image_url", "file"};

    typed(jw, types[p->kind]);
    if (p->kind == TEXT) {
        key_text(jw, "text", p->text);
    } else {
        jw_key(jw, types[p->kind]);
        jw_raw(jw, p->kind == PICTURE
                       ? STR("{\"url\":\"" PNG "\",\"detail\":\"low\"}")
                       : STR("{\"filename\":\"a.pdf\",\"file_data\":\"" PDF_URL "\"}"));
    }
    jw_object_end(jw);
}

static void
chat_call_write(struct jw *jw, const struct conversation *c, const struct call *call)
{
    jw_object(jw);
    key_id(jw, "id", c, call->id, false);
    jw_key_cstr(jw, "type", "function");
    jw_key(jw, "function");
    jw_object(jw);
    jw_key_cstr(jw, "name", names[call->name]);
    key_json_text(jw, "arguments", call->arguments);
    jw_object_end(jw);
    jw_object_end(jw);
}

static void
chat_turn_write(struct jw *jw, const struct conversation *c, const struct turn *t)
{
    static const char *const roles[] = {"user", "assistant", "developer"};

    jw_object(jw);
    jw_key_cstr(jw, "role", roles[t->role]);
    jw_key(jw, "content");
    jw_array(jw);
    for (unsigned i = 0; i < t->part_count; i++)
        chat_part_write(jw, &t->parts[i]);
    jw_array_end(jw);
    if (t->thought)
        jw_key_cstr(jw, "reasoning_content", "Hm.");
    if (t->call_count > 0) {
        jw_key(jw, "tool_calls");
        jw_array(jw);
        for (unsigned i = 0; i < t->call_count; i++)
            chat_call_write(jw, c, &t->calls[i]);
        jw_array_end(jw);
    }
    jw_object_end(jw);
    for (unsigned i = t->call_count; i-- > 0;) { /* in any order */
        jw_object(jw);
        jw_key_cstr(jw, "role", "tool");
        key_id(jw, "tool_call_id", c, t->calls[i].id, false);
        key_text(jw, "content", t->calls[i].output);
        jw_object_end(jw);
    }
}

static void
schema_write(struct jw *jw, const char *key, unsigned number)
{
    if (number % 3 == 2)
        return; /* without parameters */
    jw_key(jw, key);
    jw_raw(jw, str_from(schemas[number % 3]));
}

static void
sampling_write(struct jw *jw, const struct conversation *c, const char *top_p)
{
    if (!c->sampling)
        return;
    jw_key(jw, "temperature");
    jw_raw(jw, STR("0.70"));
    jw_key(jw, top_p);
    jw_raw(jw, STR("9e-1"));
}

static void
chat_tools_write(struct jw *jw, const struct conversation *c)
{
    static const char *const choices[] = {"", "\"auto\"", "\"required\"",
                                          "{\"type\":\"function\",\"function\":{\"name\":\"weather\"}}",
                                          "\"none\""};

    if (c->tool_count == 0)
        return;
    jw_key(jw, "tools");
    jw_array(jw);
    for (unsigned i = 0; i < c->tool_count; i++) {
        typed(jw, "function");
        jw_key(jw, "function");
        jw_object(jw);
        jw_key_quoted(jw, "name", (struct str){names[i], MIN(strlen(names[i]), (size_t)64)});
        jw_key_cstr(jw, "description", "d");
        schema_write(jw, "parameters", i);
        jw_object_end(jw);
        jw_object_end(jw);
    }
    jw_array_end(jw);
    if (c->choice > 0) {
        jw_key(jw, "tool_choice");
        jw_raw(jw, str_from(choices[c->choice]));
    }
    if (c->no_parallel)
        jw_key_bool(jw, "parallel_tool_calls", false);
}

static void
chat_write(struct jw *jw, const struct conversation *c)
{
    jw_key(jw, "messages");
    jw_array(jw);
    if (c->system)
        jw_raw(jw, STR("{\"role\":\"system\",\"content\":\"Be \\\"brief\\\".\"}"));
    for (unsigned i = 0; i < c->turn_count; i++)
        chat_turn_write(jw, c, &c->turns[i]);
    jw_array_end(jw);
    chat_tools_write(jw, c);
    jw_key_u64(jw, "max_tokens", c->cap);
    sampling_write(jw, c, "top_p");
    if (c->stops) {
        jw_key(jw, "stop");
        jw_raw(jw, STR("[\"END\",\"\\\"\"]"));
    }
    if (c->schema || c->json) {
        jw_key(jw, "response_format");
        jw_raw(jw, c->json ? STR("{\"type\":\"json_object\"}")
                           : STR("{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\","
                                 "\"schema\":{\"type\":\"object\"},\"strict\":true}}"));
    }
    if (c->effort > 0)
        jw_key_cstr(jw, "reasoning_effort", efforts[c->effort - 1]);
}

/* ---- Responses ---- */

static void
input_part_write(struct jw *jw, const struct part *p, enum role role)
{
    if (p->kind == TEXT) {
        typed(jw, role == ASSISTANT ? "output_text" : "input_text");
        key_text(jw, "text", p->text);
    } else if (p->kind == PICTURE) {
        typed(jw, "input_image");
        jw_key_cstr(jw, "image_url", PNG);
    } else {
        typed(jw, "input_file");
        jw_key_cstr(jw, "filename", "a.pdf");
        jw_key_cstr(jw, "file_data", PDF_URL);
    }
    jw_object_end(jw);
}

static void
responses_turn_write(struct jw *jw, const struct conversation *c, const struct turn *t)
{
    static const char *const roles[] = {"user", "assistant", "developer"};

    if (t->thought)
        jw_raw(jw, STR("{\"type\":\"reasoning\",\"id\":\"rs_1\",\"summary\":[{\"type\":"
                       "\"summary_text\",\"text\":\"Hm.\"}],\"encrypted_content\":\"foreign\"}"));
    if (t->part_count > 0) {
        jw_object(jw);
        jw_key_cstr(jw, "role", roles[t->role]);
        jw_key(jw, "content");
        jw_array(jw);
        for (unsigned i = 0; i < t->part_count; i++)
            input_part_write(jw, &t->parts[i], t->role);
        jw_array_end(jw);
        jw_object_end(jw);
    }
    for (unsigned i = 0; i < t->call_count; i++) {
        typed(jw, "function_call");
        key_id(jw, "call_id", c, t->calls[i].id, false);
        jw_key_cstr(jw, "name", names[t->calls[i].name]);
        key_json_text(jw, "arguments", t->calls[i].arguments);
        jw_object_end(jw);
    }
    for (unsigned i = 0; i < t->call_count; i++) {
        typed(jw, "function_call_output");
        key_id(jw, "call_id", c, t->calls[i].id, false);
        if (t->calls[i].picture) {
            jw_key(jw, "output");
            jw_array(jw);
            input_part_write(jw, &(struct part){TEXT, t->calls[i].output}, USER);
            input_part_write(jw, &(struct part){PICTURE, 0}, USER);
            jw_array_end(jw);
        } else {
            key_text(jw, "output", t->calls[i].output);
        }
        jw_object_end(jw);
    }
}

static void
responses_tools_write(struct jw *jw, const struct conversation *c)
{
    static const char *const choices[] = {"", "\"auto\"", "\"required\"",
                                          "{\"type\":\"function\",\"name\":\"weather\"}", "\"none\""};

    if (c->tool_count == 0)
        return;
    jw_key(jw, "tools");
    jw_array(jw);
    for (unsigned i = 0; i < c->tool_count; i++) {
        typed(jw, "function");
        jw_key_cstr(jw, "name", names[i]);
        schema_write(jw, "parameters", i);
        if (i > 0)
            jw_key_bool(jw, "strict", i == 1);
        jw_object_end(jw);
    }
    jw_array_end(jw);
    if (c->choice > 0) {
        jw_key(jw, "tool_choice");
        jw_raw(jw, str_from(choices[c->choice]));
    }
    if (c->no_parallel)
        jw_key_bool(jw, "parallel_tool_calls", false);
}

static void
responses_write(struct jw *jw, const struct conversation *c)
{
    if (c->system)
        jw_key_cstr(jw, "instructions", "Be \"brief\".");
    jw_key(jw, "input");
    jw_array(jw);
    for (unsigned i = 0; i < c->turn_count; i++)
        responses_turn_write(jw, c, &c->turns[i]);
    jw_array_end(jw);
    responses_tools_write(jw, c);
    jw_key_u64(jw, "max_output_tokens", c->cap);
    sampling_write(jw, c, "top_p");
    if (c->schema || c->json) {
        jw_key(jw, "text");
        jw_raw(jw, c->json ? STR("{\"format\":{\"type\":\"json_object\"}}")
                           : STR("{\"format\":{\"type\":\"json_schema\",\"name\":\"n\","
                                 "\"schema\":{\"type\":\"object\"}},\"verbosity\":\"low\"}"));
    }
    if (c->effort > 0) {
        jw_key(jw, "reasoning");
        jw_object(jw);
        jw_key_cstr(jw, "effort", efforts[c->effort - 1]);
        jw_key_cstr(jw, "summary", "auto");
        jw_object_end(jw);
    }
}

/* ---- Messages ---- */

static void
block_write(struct jw *jw, const struct part *p)
{
    static const char *const types[] = {"text", "image", "document"};

    typed(jw, types[p->kind]);
    if (p->kind == TEXT) {
        key_text(jw, "text", p->text);
        if (p->text == 1)
            jw_key(jw, "cache_control"), jw_raw(jw, STR("{\"type\":\"ephemeral\",\"ttl\":\"1h\"}"));
    } else {
        jw_key(jw, "source");
        jw_raw(jw, p->kind == PICTURE
                       ? STR("{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"iVBORw0KGgo=\"}")
                       : STR("{\"type\":\"base64\",\"media_type\":\"application/pdf\","
                             "\"data\":\"JVBERi0xLjc=\"}"));
    }
    jw_object_end(jw);
}

static void
messages_results_write(struct jw *jw, const struct conversation *c, const struct turn *t)
{
    jw_object(jw);
    jw_key_cstr(jw, "role", "user");
    jw_key(jw, "content");
    jw_array(jw);
    for (unsigned i = 0; i < t->call_count; i++) {
        typed(jw, "tool_result");
        key_id(jw, "tool_use_id", c, t->calls[i].id, true);
        jw_key(jw, "content");
        jw_array(jw);
        block_write(jw, &(struct part){TEXT, t->calls[i].output});
        if (t->calls[i].picture)
            block_write(jw, &(struct part){PICTURE, 0});
        jw_array_end(jw);
        if (t->calls[i].failed)
            jw_key_bool(jw, "is_error", true);
        jw_object_end(jw);
    }
    jw_array_end(jw);
    jw_object_end(jw);
}

static void
messages_turn_write(struct jw *jw, const struct conversation *c, const struct turn *t)
{
    static const char *const roles[] = {"user", "assistant", "system"};

    jw_object(jw);
    jw_key_cstr(jw, "role", roles[t->role]);
    jw_key(jw, "content");
    jw_array(jw);
    if (t->thought)
        jw_raw(jw, STR("{\"type\":\"thinking\",\"thinking\":\"Hm.\",\"signature\":\"foreign\"}"));
    for (unsigned i = 0; i < t->part_count; i++)
        block_write(jw, &t->parts[i]);
    for (unsigned i = 0; i < t->call_count; i++) {
        typed(jw, "tool_use");
        key_id(jw, "id", c, t->calls[i].id, true);
        jw_key_cstr(jw, "name", names[t->calls[i].name]);
        key_object(jw, "input", t->calls[i].arguments);
        jw_object_end(jw);
    }
    jw_array_end(jw);
    jw_object_end(jw);
    if (t->call_count > 0)
        messages_results_write(jw, c, t);
}

static void
messages_tools_write(struct jw *jw, const struct conversation *c)
{
    static const char *const choices[] = {"auto", "auto", "any", "tool", "none"};

    if (c->tool_count == 0)
        return;
    jw_key(jw, "tools");
    jw_array(jw);
    for (unsigned i = 0; i < c->tool_count; i++) {
        jw_object(jw);
        jw_key_cstr(jw, "name", names[i]);
        jw_key(jw, "input_schema");
        jw_raw(jw, str_from(schemas[i % 2]));
        jw_object_end(jw);
    }
    jw_array_end(jw);
    if (c->choice == 0)
        return;
    jw_key(jw, "tool_choice");
    typed(jw, choices[c->choice]);
    if (c->choice == 3)
        jw_key_cstr(jw, "name", "weather");
    if (c->no_parallel && c->choice != 4)
        jw_key_bool(jw, "disable_parallel_tool_use", true);
    jw_object_end(jw);
}

static void
messages_write(struct jw *jw, const struct conversation *c)
{
    unsigned budget = c->effort > 0 ? budgets[c->effort - 1] : 0;

    if (c->system)
        jw_key_cstr(jw, "system", "Be \"brief\".");
    jw_key(jw, "messages");
    jw_array(jw);
    for (unsigned i = 0; i < c->turn_count; i++)
        messages_turn_write(jw, c, &c->turns[i]);
    jw_array_end(jw);
    messages_tools_write(jw, c);
    jw_key_u64(jw, "max_tokens", c->cap + budget);
    sampling_write(jw, c, "top_p");
    if (c->stops) {
        jw_key(jw, "stop_sequences");
        jw_raw(jw, STR("[\"END\",\"\\\"\"]"));
    }
    if (c->schema) {
        jw_key(jw, "output_config");
        jw_raw(jw, STR("{\"format\":{\"type\":\"json_schema\",\"schema\":{\"type\":\"object\"}}}"));
    }
    if (budget > 0) {
        jw_key(jw, "thinking");
        typed(jw, "enabled");
        jw_key_u64(jw, "budget_tokens", budget);
        jw_object_end(jw);
    }
}

/* ---- Gemini ---- */

static void
gemini_part_write(struct jw *jw, const struct part *p)
{
    jw_object(jw);
    if (p->kind == TEXT) {
        key_text(jw, "text", p->text);
    } else {
        jw_key(jw, "inlineData");
        jw_raw(jw, p->kind == PICTURE
                       ? STR("{\"mimeType\":\"image/png\",\"data\":\"iVBORw0KGgo=\"}")
                       : STR("{\"mimeType\":\"application/pdf\",\"data\":\"JVBERi0xLjc=\"}"));
    }
    jw_object_end(jw);
}

static void
gemini_results_write(struct jw *jw, const struct turn *t)
{
    jw_object(jw);
    jw_key_cstr(jw, "role", "user");
    jw_key(jw, "parts");
    jw_array(jw);
    for (unsigned i = 0; i < t->call_count; i++) {
        jw_object(jw);
        jw_key(jw, "functionResponse");
        jw_object(jw);
        jw_key_cstr(jw, "name", names[t->calls[i].name]);
        jw_key(jw, "response");
        jw_object(jw);
        key_text(jw, t->calls[i].failed ? "error" : "output", t->calls[i].output);
        jw_object_end(jw);
        if (t->calls[i].picture) {
            jw_key(jw, "parts");
            jw_array(jw);
            gemini_part_write(jw, &(struct part){PICTURE, 0});
            jw_array_end(jw);
        }
        jw_object_end(jw);
        jw_object_end(jw);
    }
    jw_array_end(jw);
    jw_object_end(jw);
}

static void
gemini_turn_write(struct jw *jw, const struct turn *t)
{
    jw_object(jw);
    jw_key_cstr(jw, "role", t->role == ASSISTANT ? "model" : "user");
    jw_key(jw, "parts");
    jw_array(jw);
    if (t->thought)
        jw_raw(jw, STR("{\"text\":\"Hm.\",\"thought\":true}"));
    for (unsigned i = 0; i < t->part_count; i++)
        gemini_part_write(jw, &t->parts[i]);
    for (unsigned i = 0; i < t->call_count; i++) {
        jw_object(jw);
        jw_key(jw, "functionCall");
        jw_object(jw);
        jw_key_cstr(jw, "name", names[t->calls[i].name]);
        key_object(jw, "args", t->calls[i].arguments);
        jw_object_end(jw);
        jw_object_end(jw);
    }
    jw_array_end(jw);
    jw_object_end(jw);
    if (t->call_count > 0)
        gemini_results_write(jw, t);
}

static void
gemini_config_write(struct jw *jw, const struct conversation *c)
{
    jw_key(jw, "generationConfig");
    jw_object(jw);
    jw_key_u64(jw, "maxOutputTokens", c->cap);
    sampling_write(jw, c, "topP");
    if (c->stops) {
        jw_key(jw, "stopSequences");
        jw_raw(jw, STR("[\"END\",\"\\\"\"]"));
    }
    if (c->schema || c->json)
        jw_key_cstr(jw, "responseMimeType", "application/json");
    if (c->schema) {
        jw_key(jw, "responseJsonSchema");
        jw_raw(jw, STR("{\"type\":\"object\"}"));
    }
    if (c->effort > 0) {
        jw_key(jw, "thinkingConfig");
        jw_object(jw);
        jw_key_u64(jw, "thinkingBudget", budgets[c->effort - 1]);
        jw_key_bool(jw, "includeThoughts", true);
        jw_object_end(jw);
    }
    jw_object_end(jw);
}

static void
gemini_write(struct jw *jw, const struct conversation *c)
{
    static const char *const modes[] = {"", "AUTO", "ANY", "ANY", "NONE"};

    if (c->system) {
        jw_key(jw, "systemInstruction");
        jw_raw(jw, STR("{\"parts\":[{\"text\":\"Be \\\"brief\\\".\"},{\"text\":\"Do.\"}]}"));
    }
    jw_key(jw, "contents");
    jw_array(jw);
    for (unsigned i = 0; i < c->turn_count; i++)
        gemini_turn_write(jw, &c->turns[i]);
    jw_array_end(jw);
    if (c->tool_count > 0) {
        jw_key(jw, "tools");
        jw_raw(jw, STR("[{\"functionDeclarations\":["));
        for (unsigned i = 0; i < c->tool_count; i++)
            buf_add_fmt(jw->buf, "%s{\"name\":\"%s\",\"parametersJsonSchema\":%s}",
                        i > 0 ? "," : "", names[i], schemas[i % 2]);
        buf_add_str(jw->buf, STR("]}]"));
    }
    if (c->choice > 0) {
        jw_key(jw, "toolConfig");
        jw_raw(jw, STR("{\"functionCallingConfig\":{\"mode\":\""));
        buf_add_fmt(jw->buf, "%s\"%s}}", modes[c->choice],
                    c->choice == 3 ? ",\"allowedFunctionNames\":[\"weather\"]" : "");
    }
    gemini_config_write(jw, c);
}

/* ---- there and back ---- */

static const enum proto_endpoint endpoints[] = {ENDPOINT_CHAT, ENDPOINT_RESPONSES,
                                                ENDPOINT_MESSAGES, ENDPOINT_GENERATE};
static const char *const endpoint_names[] = {"chat", "responses", "messages", "gemini"};
static void (*const writers[])(struct jw *, const struct conversation *) = {
    chat_write, responses_write, messages_write, gemini_write};
#define PROTOCOLS COUNT_OF(endpoints)

static uint64_t seed_now;

static void
body_write(struct buf *out, unsigned from, const struct conversation *c)
{
    struct jw jw;

    jw_init(&jw, out);
    jw_object(&jw);
    if (endpoints[from] != ENDPOINT_GENERATE)
        jw_key_cstr(&jw, "model", "m");
    writers[from](&jw, c);
    jw_object_end(&jw);
    assert_false(out->failed);
}

/* Reads by one codec, writes by another. False: it cannot be said there, for a reason that names a
 * place in the body. */
static bool
pass(struct str body, unsigned from, unsigned to, struct buf *out)
{
    const struct chat_target target = {
        .model_json = STR("\"m\""),
        .can_think = true,
        .takes_reasoning = true,
        .takes_system_later = true,
        .tag = "tp1.x.",
    };
    struct proto_error error = {0};
    struct js_value document;
    struct js_error fault;
    struct translate t;
    bool written;

    out->len = 0;
    translate_init(&t, endpoints[from], 1 << 20);
    if (!translate_decode(&t, body, false, &error)) {
        fprintf(stderr, "seed %llu: %s is not read: %s\n%.*s\n", (unsigned long long)seed_now,
                endpoint_names[from], error.message, STR_ARGS(body));
        fail();
    }
    written = translate_encode(&t, endpoints[to], &target, out, &error);
    if (!written && (error.kind != ERROR_BAD_REQUEST || error.param[0] == '\0'))
        fail_msg("seed %llu: %s to %s: %s", (unsigned long long)seed_now, endpoint_names[from],
                 endpoint_names[to], error.message);
    if (written)
        assert_true(js_check(buf_str(out), &document, &fault));
    translate_free(&t);
    return written;
}

static void
check_equal(unsigned from, unsigned to, struct str body, struct str first, struct str second)
{
    size_t at = 0;

    if (str_eq(first, second))
        return;
    while (at < first.len && at < second.len && first.ptr[at] == second.ptr[at])
        at++;
    /* cmocka's own printing is cut at 1 KiB. */
    fprintf(stderr, "seed %llu: %s to %s differs at byte %zu\n%.*s\nonce:  %.*s\ntwice: %.*s\n",
            (unsigned long long)seed_now, endpoint_names[from], endpoint_names[to], at,
            STR_ARGS(body), STR_ARGS(first), STR_ARGS(second));
    fail();
}

static void
test_there_and_back(void **state)
{
    uint64_t seed = test_seed();
    struct buf body, first, second;
    unsigned said = 0;

    (void)state;
    buf_init(&body, 1 << 20);
    buf_init(&first, 1 << 20);
    buf_init(&second, 1 << 20);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct conversation c;
        uint64_t rng;

        seed_now = rng = seed + round;
        c = conversation_make(&rng);
        for (unsigned from = 0; from < PROTOCOLS; from++) {
            body.len = 0;
            body_write(&body, from, &c);
            for (unsigned to = 0; to < PROTOCOLS; to++) {
                if (!pass(buf_str(&body), from, to, &first))
                    continue;
                said++;
                assert_true(pass(buf_str(&first), to, to, &second));
                check_equal(from, to, buf_str(&body), buf_str(&first), buf_str(&second));
            }
        }
    }
    assert_true(said > ROUNDS * PROTOCOLS * PROTOCOLS / 2);
    buf_free(&body);
    buf_free(&first);
    buf_free(&second);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_there_and_back)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}

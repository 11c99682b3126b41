/*
 * What a response repeats of its request: clients read back from it what they were served with.
 *
 * It is taken from the request once, when that is read, and is in all of the call's responses; the
 * request itself may be gone by then. Values stand as the client wrote them, without the white space
 * between their tokens: in a stream the end of a line would end the event. What there is no room for
 * (CODEC_ECHO_BYTES_MAX) is told as if the request had not said it, so what can be large comes last.
 *
 * "store" is what was asked for: nothing is kept here, which x-turnpike-dropped says.
 */
#include "base/str.h"
#include "proto/responses_in.h"

#define NAMES_BYTES 4096u /* more than all names and fallbacks take */
#define MEMBERS_MAX 24

#define IS(type) (1u << (type))
#define IS_BOOL (IS(JS_TRUE) | IS(JS_FALSE))

/* A member, the types that it may be of, and what stands there when it is not there or of another:
 * NULL for nothing. An object with members of its own is written anew, with them only. */
struct repeated {
    struct str name;
    unsigned types;
    const char *fallback;
    const struct repeated *own;
    size_t own_count;
};

static const struct repeated reasoning[] = {
    {PICK_NAME("effort"), IS(JS_STRING), "null", NULL, 0},
    {PICK_NAME("summary"), IS(JS_STRING), "null", NULL, 0},
    {PICK_NAME("generate_summary"), IS(JS_STRING), NULL, NULL, 0},
    {PICK_NAME("context"), IS(JS_STRING), NULL, NULL, 0},
    {PICK_NAME("mode"), IS(JS_STRING), NULL, NULL, 0},
};

static const struct repeated text[] = {
    {PICK_NAME("format"), IS(JS_OBJECT), "{\"type\":\"text\"}", NULL, 0},
    {PICK_NAME("verbosity"), IS(JS_STRING), NULL, NULL, 0},
};

static const struct repeated response[] = {
    {PICK_NAME("background"), IS_BOOL, "false", NULL, 0},
    {PICK_NAME("max_output_tokens"), IS(JS_NUMBER), "null", NULL, 0},
    {PICK_NAME("max_tool_calls"), IS(JS_NUMBER), "null", NULL, 0},
    {PICK_NAME("parallel_tool_calls"), IS_BOOL, "true", NULL, 0},
    /* Nothing earlier is kept here: a request that names one is refused. */
    {PICK_NAME("previous_response_id"), 0, "null", NULL, 0},
    {PICK_NAME("prompt_cache_key"), IS(JS_STRING), "null", NULL, 0},
    {PICK_NAME("prompt_cache_retention"), IS(JS_STRING), "null", NULL, 0},
    {PICK_NAME("reasoning"), IS(JS_OBJECT), NULL, reasoning, COUNT_OF(reasoning)},
    {PICK_NAME("safety_identifier"), IS(JS_STRING), "null", NULL, 0},
    {PICK_NAME("service_tier"), IS(JS_STRING), "\"auto\"", NULL, 0},
    {PICK_NAME("store"), IS_BOOL, "false", NULL, 0},
    {PICK_NAME("temperature"), IS(JS_NUMBER), "1", NULL, 0},
    {PICK_NAME("text"), IS(JS_OBJECT), NULL, text, COUNT_OF(text)},
    {PICK_NAME("tool_choice"), IS(JS_STRING) | IS(JS_OBJECT), "\"auto\"", NULL, 0},
    {PICK_NAME("top_logprobs"), IS(JS_NUMBER), "0", NULL, 0},
    {PICK_NAME("top_p"), IS(JS_NUMBER), "1", NULL, 0},
    {PICK_NAME("truncation"), IS(JS_STRING), "\"disabled\"", NULL, 0},
    {PICK_NAME("user"), IS(JS_STRING), "null", NULL, 0},
    {PICK_NAME("metadata"), IS(JS_OBJECT), "{}", NULL, 0},
    {PICK_NAME("tools"), IS(JS_ARRAY), "[]", NULL, 0},
    {PICK_NAME("instructions"), IS(JS_STRING), "null", NULL, 0},
};
_Static_assert(COUNT_OF(response) <= MEMBERS_MAX, "all have room");

static void
write_name(struct buf *out, struct str name, bool first)
{
    buf_add_str(out, first ? STR("\"") : STR(",\""));
    buf_add_str(out, name);
    buf_add_str(out, STR("\":"));
}

static void
write_value(struct buf *out, struct js_value value)
{
    if (value.type != JS_STRING) {
        chat_write_compact(out, value.raw);
        return;
    }
    buf_add_char(out, '"');
    if (value.raw.len > 0)
        buf_add_str(out, value.raw);
    buf_add_char(out, '"');
}

/* The values that object has of the list; of several of one name the last one. */
static void
pick(struct js_value object, const struct repeated *list, size_t count, struct js_value *values)
{
    struct str names[MEMBERS_MAX];

    for (size_t i = 0; i < count; i++)
        names[i] = list[i].name;
    codec_members(object, names, count, values);
}

/* A value where there is one to be repeated. *left: bytes of values that there is room for. */
static bool
repeats(const struct repeated *member, struct js_value value, size_t *left)
{
    if ((member->types >> value.type & 1) == 0 || value.raw.len > *left)
        return false;
    *left -= value.raw.len;
    return true;
}

/* One whose members are in a list, each as it is or as its fallback. */
static void
write_own(struct buf *out, const struct repeated *of, struct js_value object, size_t *left)
{
    struct js_value values[MEMBERS_MAX];
    bool first = true;

    pick(object, of->own, of->own_count, values);
    buf_add_char(out, '{');
    for (size_t i = 0; i < of->own_count; i++) {
        bool there = repeats(&of->own[i], values[i], left);

        if (!there && of->own[i].fallback == NULL)
            continue;
        write_name(out, of->own[i].name, first);
        first = false;
        if (there)
            write_value(out, values[i]);
        else
            buf_add_str(out, str_from(of->own[i].fallback));
    }
    buf_add_char(out, '}');
}

void
responses_echo_write(struct js_value document, struct buf *out)
{
    size_t left = CODEC_ECHO_BYTES_MAX - NAMES_BYTES;
    struct js_value values[MEMBERS_MAX];

    pick(document, response, COUNT_OF(response), values);
    for (size_t i = 0; i < COUNT_OF(response); i++) {
        const struct repeated *member = &response[i];

        write_name(out, member->name, i == 0);
        if (member->own != NULL)
            write_own(out, member, values[i], &left);
        else if (repeats(member, values[i], &left))
            write_value(out, values[i]);
        else
            buf_add_str(out, str_from(member->fallback));
    }
}

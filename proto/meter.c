#include "proto/meter.h"

#include <string.h>

#include "base/js.h"
#include "base/str.h"
#include "proto/marks.h"
#include "proto/pick.h"

void
meter_init(struct meter *meter, enum proto_endpoint endpoint, bool usage_asked)
{
    memset(meter, 0, sizeof(*meter));
    meter->endpoint = endpoint;
    meter->usage_asked = usage_asked;
}

/* Content came: one token at least, and one for each four bytes over the smallest event, which
 * is taken for the frame that all of them have. */
static void
count_output(struct meter *meter, struct str data)
{
    uint32_t len = (uint32_t)data.len;

    if (meter->smallest_event_len == 0 || len < meter->smallest_event_len)
        meter->smallest_event_len = len;
    meter->output_event_count++;
    meter->output_estimate += 1 + (len - meter->smallest_event_len) / 4;
}

/* The members that every protocol has, of the object that has them. */
enum { NAME_MODEL, NAME_USAGE, NAME_ERROR, NAME_CHOICES, NAME_SERVICE, NAME_COUNT };
static const struct str names[NAME_COUNT] = {
    [NAME_MODEL] = PICK_NAME("model"),
    [NAME_USAGE] = PICK_NAME("usage"),
    [NAME_ERROR] = PICK_NAME("error"),
    [NAME_CHOICES] = PICK_NAME("choices"),
    [NAME_SERVICE] = PICK_NAME("service_tier"),
};

static void
keep_model(struct meter *meter, struct js_value value)
{
    struct str reported = marks_reported(value, sizeof(meter->model) - 1);

    if (reported.ptr != NULL)
        str_copy(reported, meter->model, sizeof(meter->model));
}

static void
keep_service(struct meter *meter, struct js_value value)
{
    struct str reported = marks_reported(value, sizeof(meter->service) - 1);

    if (reported.ptr != NULL)
        str_copy(reported, meter->service, sizeof(meter->service));
}

static const struct usage usage_bad = {.state = USAGE_BAD};

static void
keep_usage(struct meter *meter, struct usage usage)
{
    if (usage.state == USAGE_ABSENT)
        return;
    meter->usage_bad = usage.state == USAGE_BAD;
    if (!meter->usage_bad)
        meter->usage = usage;
}

static bool
parse(struct str data, struct js_value *document)
{
    struct js_error ignored;

    return js_check_lenient(data, document, NULL, &ignored) && document->type == JS_OBJECT;
}

/* What an event that nobody reads must at least be. */
static bool
looks_like_object(struct str data)
{
    data = str_trim(data);
    return data.len >= 2 && data.ptr[0] == '{' && data.ptr[data.len - 1] == '}';
}

static bool
is_set(struct js_value value)
{
    return value.type == JS_OBJECT || value.type == JS_STRING;
}

static void
ends(struct meter *meter, enum content how)
{
    meter->end = MAX(meter->end, (uint8_t)how);
}

static bool
is_done(struct str data)
{
    return data.len < 16 && str_eq(str_trim(data), STR("[DONE]"));
}

/* ---- chat completions and completions ----------------------------------------------------- */

static bool
some_choice_finished(struct js_value choices)
{
    struct js_value key, choice;
    struct js_iter it;

    for (js_iter_init(&it, choices); js_next(&it, &key, &choice);) {
        if (js_is(js_get(choice, STR("finish_reason")), JS_STRING))
            return true;
    }
    return false;
}

static bool
has_elements(struct js_value list)
{
    const char *p;

    if (list.type != JS_ARRAY)
        return false;
    p = list.raw.ptr + 1;
    while ((uint8_t)*p <= ' ') /* white space, since it was checked, and the bracket is no such */
        p++;
    return *p != ']';
}

static enum meter_verdict
read_chunk(struct meter *meter, struct str data)
{
    struct js_value document, values[NAME_COUNT], choices;
    bool has_choices;

    if (!parse(data, &document))
        return METER_BAD;
    pick_members(document, names, NAME_COUNT, values);
    if (is_set(values[NAME_ERROR]))
        return METER_UPSTREAM_ERROR;
    choices = values[NAME_CHOICES];
    has_choices = has_elements(choices);

    struct usage usage = usage_from_openai(marks_openai_usage(values[NAME_USAGE], choices));
    if (!meter->understood && choices.type != JS_ARRAY && usage.state == USAGE_ABSENT)
        return METER_BAD;
    meter->understood = true;
    meter->event_count++;
    keep_model(meter, values[NAME_MODEL]);
    keep_service(meter, values[NAME_SERVICE]);
    keep_usage(meter, usage);
    if (has_choices) {
        meter->finish_seen = meter->finish_seen || some_choice_finished(choices);
        meter->answered = meter->answered || content_in_choices(choices);
        ends(meter, content_choices_end(choices));
        count_output(meter, data);
        return METER_PASS;
    }
    /* Clients read choices[0] of whatever comes, unless they asked for the chunk without. */
    if (!meter->usage_asked && (choices.type == JS_ARRAY || usage.state != USAGE_ABSENT))
        return METER_HIDE;
    return METER_PASS;
}

static enum meter_verdict
openai_event(struct meter *meter, const struct sse_event *event)
{
    if (is_done(event->data)) {
        if (!meter->understood)
            return METER_BAD;
        meter->ended = true;
        return METER_END;
    }
    if (!meter->answered || event->unterminated || marks_find(event->data) != 0)
        return read_chunk(meter, event->data);
    if (!looks_like_object(event->data))
        return METER_BAD;
    meter->event_count++;
    count_output(meter, event->data);
    return METER_PASS;
}

/* ---- events with a type -------------------------------------------------------------------- */

/* The type of an event: its name, or where a server leaves that out, the data's own type. */
static struct str
type_of(const struct sse_event *event)
{
    struct js_value document;

    if (event->name.len > 0)
        return event->name;
    if (!parse(event->data, &document))
        return STR_NONE;
    return marks_reported(js_get(document, STR("type")), 128);
}

/* A server that ends these with chat's mark: it means nothing here. */
static enum meter_verdict
stray_done(struct meter *meter)
{
    return meter->understood ? METER_HIDE : METER_BAD;
}

static enum meter_verdict
pass(struct meter *meter)
{
    meter->event_count++;
    meter->sequence_next++;
    return METER_PASS;
}

/* ---- Responses ----------------------------------------------------------------------------- */

static bool
is_last(struct str type)
{
    return str_eq(type, STR("response.completed")) || str_eq(type, STR("response.incomplete")) ||
           str_eq(type, STR("response.failed"));
}

static struct usage
response_usage(struct js_value response, struct js_value reported)
{
    struct usage usage = usage_from_responses(reported);

    if (usage.state == USAGE_PRESENT)
        usage.searches = MAX(usage.searches, usage_searches_in(js_get(response, STR("output"))));
    return usage;
}

static enum meter_verdict
read_response(struct meter *meter, struct str data, struct str type)
{
    struct js_value document, response, values[NAME_COUNT];

    if (!parse(data, &document))
        return METER_BAD;
    response = js_get(document, STR("response"));
    /* The answer has not begun: another upstream may do better. */
    if (!meter->answered && str_eq(type, STR("response.failed")))
        return METER_UPSTREAM_ERROR;
    if (!meter->understood && response.type != JS_OBJECT)
        return METER_BAD;
    meter->understood = true;
    meter->answered = meter->answered || content_in_response_event(type, document);
    pick_members(response, names, NAME_COUNT, values);
    keep_model(meter, values[NAME_MODEL]);
    keep_service(meter, values[NAME_SERVICE]);
    keep_usage(meter, response_usage(response, values[NAME_USAGE]));
    pass(meter);
    if (!is_last(type))
        return METER_PASS;
    ends(meter, str_eq(type, STR("response.completed")) ? CONTENT_EMPTY : CONTENT_SOME);
    meter->ended = true;
    meter->failed = str_eq(type, STR("response.failed"));
    return METER_END;
}

static enum meter_verdict
responses_event(struct meter *meter, const struct sse_event *event)
{
    struct str type = type_of(event);
    struct js_value document;

    if (is_done(event->data))
        return stray_done(meter);
    if (str_eq(type, STR("error")))
        return METER_UPSTREAM_ERROR;
    if (!meter->understood || is_last(type))
        return read_response(meter, event->data, type);
    if (meter->answered ? !looks_like_object(event->data) : !parse(event->data, &document))
        return METER_BAD;
    if (!meter->answered)
        meter->answered = content_in_response_event(type, document);
    if (str_ends_with(type, STR(".delta")))
        count_output(meter, event->data);
    return pass(meter);
}

/* ---- Anthropic Messages -------------------------------------------------------------------- */

static void
message_usage(struct meter *meter, struct js_value usage, bool is_delta)
{
    usage_anthropic_merge(&meter->partial, usage, is_delta);
    keep_service(meter, js_get(usage, STR("service_tier")));
}

static enum meter_verdict
read_message_start(struct meter *meter, struct str data)
{
    struct js_value document, message, values[NAME_COUNT];

    if (!parse(data, &document))
        return METER_BAD;
    message = js_get(document, STR("message"));
    if (message.type != JS_OBJECT)
        return METER_BAD;
    meter->understood = true;
    meter->answered = meter->answered || content_in_blocks(js_get(message, STR("content")));
    pick_members(message, names, NAME_COUNT, values);
    keep_model(meter, values[NAME_MODEL]);
    message_usage(meter, values[NAME_USAGE], false);
    return pass(meter);
}

static enum meter_verdict
read_message_delta(struct meter *meter, struct str data)
{
    struct js_value document;

    if (!parse(data, &document))
        return METER_BAD;
    ends(meter, content_end(js_path(document, "delta", "stop_reason", NULL)));
    message_usage(meter, js_get(document, STR("usage")), true);
    return pass(meter);
}

static bool
look_for_block(struct meter *meter, struct str data, struct str type)
{
    struct js_value document;

    if (!parse(data, &document))
        return false;
    meter->answered = content_in_message_event(type, document);
    return true;
}

static enum meter_verdict
anthropic_event(struct meter *meter, const struct sse_event *event)
{
    struct str type = type_of(event);

    if (is_done(event->data))
        return stray_done(meter);
    if (str_eq(type, STR("error")))
        return METER_UPSTREAM_ERROR;
    if (str_eq(type, STR("ping")))
        return meter->understood ? METER_PASS : METER_HIDE;
    if (str_eq(type, STR("message_start")))
        return read_message_start(meter, event->data);
    if (!meter->understood || !looks_like_object(event->data))
        return METER_BAD;
    if (!meter->answered && !look_for_block(meter, event->data, type))
        return METER_BAD;
    if (str_eq(type, STR("message_delta")))
        return read_message_delta(meter, event->data);
    if (str_eq(type, STR("content_block_delta")))
        count_output(meter, event->data);
    pass(meter);
    if (!str_eq(type, STR("message_stop")))
        return METER_PASS;
    meter->ended = true;
    return METER_END;
}

/* ---- Gemini --------------------------------------------------------------------------------- */

/* Every event is a whole answer in itself, with all that was used up to then. There is no mark at the
 * end: the body ends, and a candidate has said why. */
static enum meter_verdict
gemini_event(struct meter *meter, struct sse_event *event)
{
    enum { CANDIDATES, USAGE, MODEL, ERROR, FEEDBACK, COUNT };
    static const struct str members[COUNT] = {
        [CANDIDATES] = PICK_NAME("candidates"), [USAGE] = PICK_NAME("usageMetadata"),
        [MODEL] = PICK_NAME("modelVersion"),    [ERROR] = PICK_NAME("error"),
        [FEEDBACK] = PICK_NAME("promptFeedback"),
    };
    struct js_value document, values[COUNT];
    struct js_members all;
    struct js_error ignored;
    struct usage usage;
    enum content end;

    if (is_done(event->data))
        return stray_done(meter);
    if (!js_check_lenient(event->data, &document, &all, &ignored) || document.type != JS_OBJECT)
        return METER_BAD;
    pick_noted(&all, members, COUNT, values);
    if (is_set(values[ERROR]))
        return METER_UPSTREAM_ERROR;
    if (!meter->understood && values[CANDIDATES].type != JS_ARRAY &&
        values[FEEDBACK].type != JS_OBJECT && values[USAGE].type != JS_OBJECT)
        return METER_BAD;
    meter->understood = true;
    keep_model(meter, values[MODEL]);
    usage = usage_from_gemini(values[USAGE]);
    keep_usage(meter, usage);
    event->document = document;
    event->usage = usage.state == USAGE_ABSENT ? NULL
                   : usage.state == USAGE_BAD  ? &usage_bad
                                               : &meter->usage;
    meter->answered = meter->answered || content_in_candidates(values[CANDIDATES]);
    end = content_candidates_end(values[CANDIDATES], values[FEEDBACK]);
    ends(meter, end);
    meter->finish_seen = meter->finish_seen || end != CONTENT_NONE;
    if (has_elements(values[CANDIDATES]))
        count_output(meter, event->data);
    return pass(meter);
}

/* ---- pictures, sound ------------------------------------------------------------------------ */

static struct usage
media_report(enum proto_endpoint endpoint, struct js_value usage, struct js_value document)
{
    switch (endpoint) {
    case ENDPOINT_IMAGES:
    case ENDPOINT_IMAGE_EDITS: return usage_from_images(usage);
    case ENDPOINT_SPEECH: return usage_from_speech(usage);
    default: return usage_from_sound(usage, document);
    }
}

/* Pictures come one by one, each with its own report; sound and text are over with theirs. */
static void
media_done(struct meter *meter, struct js_value usage, struct js_value document, bool picture)
{
    struct usage sum = usage_sum(meter->usage, media_report(meter->endpoint, usage, document));

    meter->usage_bad = meter->usage_bad || sum.state == USAGE_BAD;
    if (sum.state != USAGE_BAD)
        meter->usage = sum;
    meter->finish_seen = true;
    meter->image_count += picture;
}

/* Every event is read: there are few of them, and they have no other frame than their type. */
static enum meter_verdict
media_event(struct meter *meter, const struct sse_event *event)
{
    struct js_value document, values[NAME_COUNT];
    struct str type;
    bool picture;

    if (is_done(event->data)) {
        meter->ended = meter->understood;
        return meter->understood ? METER_END : METER_BAD;
    }
    if (!parse(event->data, &document))
        return METER_BAD;
    pick_members(document, names, NAME_COUNT, values);
    type = marks_reported(js_get(document, STR("type")), 128);
    if (is_set(values[NAME_ERROR]) || str_eq(type, STR("error")))
        return METER_UPSTREAM_ERROR;
    if (type.len == 0)
        return METER_BAD;
    meter->understood = meter->answered = true;
    keep_model(meter, values[NAME_MODEL]);
    picture = str_ends_with(type, STR(".completed"));
    if (picture || str_ends_with(type, STR(".done")))
        media_done(meter, values[NAME_USAGE], document, picture);
    else if (str_eq(type, STR("transcript.text.delta")))
        count_output(meter, event->data);
    else
        meter->output_event_count++;
    return pass(meter);
}

void
meter_bytes(struct meter *meter)
{
    meter->understood = meter->answered = true;
    meter->event_count++;
    meter->output_event_count++;
}

void
meter_bytes_end(struct meter *meter)
{
    meter->ended = meter->answered;
}

/* -------------------------------------------------------------------------------------------- */

enum meter_verdict
meter_event(struct meter *meter, struct sse_event *event)
{
    struct js_value ignored;

    if (meter->ended)
        return METER_HIDE;
    if (event->comment_only)
        return meter->understood && !event->unterminated ? METER_PASS : METER_HIDE;
    if (event->unterminated && !is_done(event->data) && !parse(event->data, &ignored))
        return METER_BAD;
    switch (proto_of(meter->endpoint)) {
    case PROTO_OPENAI:
        return proto_is_media(meter->endpoint) ? media_event(meter, event)
                                               : openai_event(meter, event);
    case PROTO_RESPONSES: return responses_event(meter, event);
    case PROTO_ANTHROPIC: return anthropic_event(meter, event);
    case PROTO_GEMINI: return gemini_event(meter, event);
    case PROTO_PROTOCOL_COUNT: break;
    }
    return METER_BAD;
}

enum meter_finish
meter_finish(const struct meter *meter)
{
    if (meter->ended)
        return METER_FINISH_CLEAN;
    return meter->finish_seen ? METER_FINISH_ADD_MARK : METER_FINISH_CUT;
}

enum content
meter_content(const struct meter *meter)
{
    struct usage usage = meter_usage(meter);

    /* Tokens that nobody sees are an answer, too: reasoning, or an end said at once. */
    if (meter->answered || (usage.state == USAGE_PRESENT && usage.output > 0 && meter->end > 0))
        return CONTENT_SOME;
    return (enum content)meter->end;
}

struct usage
meter_usage(const struct meter *meter)
{
    const struct usage absent = {.state = USAGE_ABSENT}, bad = {.state = USAGE_BAD};

    if (proto_of(meter->endpoint) == PROTO_ANTHROPIC)
        return meter->partial.final ? usage_anthropic_sum(&meter->partial) : absent;
    /* Before the end a report is of what was used up to then. */
    if (!meter->ended && !meter->finish_seen)
        return absent;
    return meter->usage_bad ? bad : meter->usage;
}

struct meter_progress
meter_progress(const struct meter *meter)
{
    struct meter_progress progress = {.has_input = false};
    uint32_t estimate = (uint32_t)MIN(meter->output_estimate, USAGE_COUNT_MAX);

    progress.usage = proto_of(meter->endpoint) == PROTO_ANTHROPIC
                         ? usage_anthropic_sum(&meter->partial)
                         : meter->usage;
    if (progress.usage.state == USAGE_PRESENT)
        progress.has_input = true;
    else
        memset(&progress.usage, 0, sizeof(progress.usage));
    progress.usage.state = USAGE_PRESENT;
    progress.usage.output = MAX(progress.usage.output, estimate);
    return progress;
}

#include "worker/media.h"

#include <string.h>

#include "base/str.h"
#include "worker/call.h"
#include "worker/kept.h"

/* Tokens, where nobody reports them: about, and at most. */
#define PICTURE_INPUT_TOKENS_MAX 16384u /* of one that comes to be edited, at its best quality */
#define PICTURES_IN_JSON_MAX 16u
#define SOUND_TOKENS_PER_S 17u
#define SOUND_TOKENS_PER_S_MAX 25u
#define SPEECH_TOKENS_PER_CHARACTER 2u
#define SPEECH_TOKENS_PER_CHARACTER_MAX 4u
#define DOCUMENTS_PER_SEARCH 100u
#define PROMPT_BYTES_MAX 65536u

static enum proto_endpoint
endpoint_of(const struct call *call)
{
    return (enum proto_endpoint)call->endpoint;
}

static bool
is_pictures(const struct call *call)
{
    return call->endpoint == ENDPOINT_IMAGES || call->endpoint == ENDPOINT_IMAGE_EDITS;
}

static bool
is_heard(const struct call *call)
{
    return call->endpoint == ENDPOINT_TRANSCRIPTIONS || call->endpoint == ENDPOINT_TRANSLATIONS;
}

static const struct conf_model *
model_of(const struct call *call)
{
    return call_price(call)->model;
}

/* ---- prices ---- */

static bool
states(const struct conf_model *model, enum conf_class class)
{
    return (model->stated & CONF_CLASS_BIT(class)) != 0;
}

/* A kind of tokens has a price of its own, or that of its kind: which must be stated, so that only
 * one that is not 0 says that somebody thought of this. */
static bool
prices_tokens(const struct conf_model *model, enum conf_class class)
{
    return states(model, class) || model->rates.u_per_mtok[class] > 0;
}

/* What is not tokens, of such a call. */
static enum conf_class
unit_of(const struct call *call)
{
    switch (endpoint_of(call)) {
    case ENDPOINT_IMAGES:
    case ENDPOINT_IMAGE_EDITS: return CONF_IMAGES;
    case ENDPOINT_SPEECH: return CONF_CHARACTERS;
    case ENDPOINT_TRANSCRIPTIONS:
    case ENDPOINT_TRANSLATIONS: return CONF_SECONDS;
    case ENDPOINT_RERANK: return CONF_SEARCHES;
    default: return CONF_REQUESTS;
    }
}

/* The tokens that it is mostly paid by, where it is paid by tokens. */
static enum conf_class
tokens_of(const struct call *call)
{
    switch (endpoint_of(call)) {
    case ENDPOINT_IMAGES:
    case ENDPOINT_IMAGE_EDITS: return CONF_IMAGE_OUTPUT;
    case ENDPOINT_SPEECH: return CONF_AUDIO_OUTPUT;
    case ENDPOINT_TRANSCRIPTIONS:
    case ENDPOINT_TRANSLATIONS: return CONF_AUDIO_INPUT;
    default: return CONF_INPUT;
    }
}

static bool
is_priced(const struct call *call, const struct conf_model *model)
{
    if (proto_is_file(endpoint_of(call))) /* whose operator allows it */
        return states(model, CONF_REQUESTS);
    return states(model, unit_of(call)) || states(model, CONF_REQUESTS) ||
           prices_tokens(model, tokens_of(call));
}

static void
no_price(const struct call *call, const struct conf_model *model, struct proto_error *error)
{
    static const char *const what[CONF_CLASS_COUNT] = {
        [CONF_IMAGES] = "pictures: per-image, image-output or per-request",
        [CONF_CHARACTERS] = "speech: per-million-characters, audio-output or per-request",
        [CONF_SECONDS] = "sound: per-second, audio-input or per-request",
        [CONF_REQUESTS] = "such calls: per-request",
    };
    enum conf_class unit = unit_of(call);

    error_set(error, ERROR_NO_MODEL, "model", NULL,
              "turnpike: the model '%.*s' is not offered here: its operator states no price of %s",
              STR_ARGS(model->name), what[unit] != NULL ? what[unit] : "such calls");
}

/* A file is where it was sent: always the same account, the first in the file. */
static void
keep_first(struct route_plan *plan)
{
    size_t first = 0;

    for (size_t i = 1; i < plan->candidate_count; i++) {
        const struct route_candidate *a = &plan->candidates[i], *b = &plan->candidates[first];

        if (a->upstream_idx < b->upstream_idx ||
            (a->upstream_idx == b->upstream_idx && a->credential < b->credential))
            first = i;
    }
    plan->candidates[0] = plan->candidates[first];
    plan->candidate_count = 1;
}

bool
media_admit(struct call *call, struct proto_error *error)
{
    struct route_plan *plan = call->plan;
    size_t kept = 0;

    for (size_t i = 0; i < plan->candidate_count; i++) {
        if (is_priced(call, plan->candidates[i].price.model))
            plan->candidates[kept++] = plan->candidates[i];
        else if (i == 0)
            no_price(call, plan->candidates[0].price.model, error);
    }
    plan->candidate_count = kept;
    if (kept > 0 && proto_is_file(endpoint_of(call)))
        keep_first(plan);
    return kept > 0;
}

/* ---- before the call ---- */

static uint32_t
seconds_at(const struct ask_media *media, uint32_t bytes_per_s)
{
    if (media->sound_bytes_per_s > 0)
        bytes_per_s = media->sound_bytes_per_s;
    return (uint32_t)MIN(media->file_bytes / bytes_per_s + 1, (size_t)CONF_COUNT_MAX);
}

static uint32_t
searches_of(const struct ask_media *media)
{
    return MAX((media->documents + DOCUMENTS_PER_SEARCH - 1) / DOCUMENTS_PER_SEARCH, 1u);
}

uint64_t
media_input_max(const struct call *call)
{
    const struct ask_media *media = &call->ask.media;
    uint64_t text = call->ask.body.len - media->file_bytes;

    if (proto_is_file(endpoint_of(call)))
        return 0;
    if (is_heard(call))
        return text + (uint64_t)seconds_at(media, ASK_SOUND_BYTES_PER_S_MIN) *
                          SOUND_TOKENS_PER_S_MAX;
    if (call->endpoint == ENDPOINT_IMAGE_EDITS && !call->ask.form) /* pictures are in the text */
        return MIN(text, (uint64_t)PROMPT_BYTES_MAX +
                             PICTURES_IN_JSON_MAX * PICTURE_INPUT_TOKENS_MAX);
    return text + (uint64_t)media->file_count * PICTURE_INPUT_TOKENS_MAX;
}

void
media_bounds(const struct call *call, const struct conf_model *model, struct price_bounds *bounds)
{
    const struct ask_media *media = &call->ask.media;
    uint64_t guess = call->worker->limits->hold_output_tokens;

    bounds->input = media_input_max(call);
    bounds->requests = kept_requests(call);
    if (is_pictures(call)) {
        bounds->images = call->ask.choice_count;
        guess *= call->ask.choice_count;
    } else if (call->endpoint == ENDPOINT_SPEECH) {
        bounds->characters = media->characters;
        guess = (uint64_t)media->characters * SPEECH_TOKENS_PER_CHARACTER_MAX;
    } else if (is_heard(call)) {
        bounds->seconds = seconds_at(media, ASK_SOUND_BYTES_PER_S_MIN);
    } else if (call->endpoint == ENDPOINT_RERANK) {
        bounds->searches = searches_of(media);
    }
    if (!proto_has_output(endpoint_of(call)))
        guess = 0;
    bounds->output = model->output_tokens_max != 0
                         ? model->output_tokens_max * call->ask.choice_count
                         : guess;
}

/* ---- what was used ---- */

static uint32_t
units_so_far(const struct call *call, uint32_t images)
{
    const struct ask_media *media = &call->ask.media;

    switch (unit_of(call)) {
    case CONF_IMAGES: return images;
    case CONF_CHARACTERS: return media->characters;
    case CONF_SECONDS: return seconds_at(media, ASK_SOUND_BYTES_PER_S);
    case CONF_SEARCHES: return searches_of(media);
    default: return kept_requests(call);
    }
}

struct price_count
media_so_far(const struct call *call, struct media_made made)
{
    const struct conf_model *model = model_of(call);
    const struct ask_media *media = &call->ask.media;
    struct price_count count = {.n = {[CONF_REQUESTS] = kept_requests(call)}};
    uint32_t images = MIN(made.images, call->ask.choice_count);
    uint64_t input = call->input_estimate, output = 0;

    if (states(model, unit_of(call)))
        count.n[unit_of(call)] = units_so_far(call, images);
    /* Who is paid by a unit is not paid by a guess of tokens. */
    if (proto_is_file(endpoint_of(call)) ||
        states(model, unit_of(call)) ||
        (states(model, CONF_REQUESTS) && !prices_tokens(model, tokens_of(call))))
        return count;
    if (is_pictures(call))
        output = (uint64_t)images * call->worker->limits->hold_output_tokens;
    else if (call->endpoint == ENDPOINT_SPEECH && made.any)
        output = (uint64_t)media->characters * SPEECH_TOKENS_PER_CHARACTER;
    else if (is_heard(call))
        output = made.tokens;
    output = MIN(MIN(output, call->output_max), (uint64_t)CONF_COUNT_MAX);
    if (is_heard(call))
        input = (uint64_t)units_so_far(call, 0) * SOUND_TOKENS_PER_S;
    input = MIN(input, (uint64_t)CONF_COUNT_MAX);
    count.n[is_heard(call) ? CONF_AUDIO_INPUT : CONF_INPUT] = (uint32_t)input;
    count.n[is_heard(call) ? CONF_OUTPUT : tokens_of(call)] += (uint32_t)output;
    return count;
}

/* Has the report something that the model is paid by? */
static bool
is_covered(const struct call *call, const struct usage *usage)
{
    const struct conf_model *model = model_of(call);
    const uint32_t units[CONF_CLASS_COUNT] = {
        [CONF_IMAGES] = usage->images,
        [CONF_SECONDS] = usage->seconds,
        [CONF_CHARACTERS] = usage->characters,
        [CONF_SEARCHES] = usage->searches,
        [CONF_REQUESTS] = 1,
    };
    const int64_t *rate = model->rates.u_per_mtok;
    enum conf_class unit = unit_of(call);

    if (units[unit] > 0 && states(model, unit))
        return true;
    if ((usage->input > 0 || usage->output > 0) && rate[tokens_of(call)] > 0)
        return true;
    return rate[unit] == 0 && rate[tokens_of(call)] == 0; /* by the request, or free */
}

/* No sound is so small that more could be in it. */
static bool
is_absurd(const struct call *call, const struct usage *usage)
{
    return is_heard(call) && usage->seconds > 60 + call->ask.media.file_bytes / 100;
}

/* A unit that its model is not paid by is no use of anything. */
static void
leave_unpriced(const struct call *call, struct usage *usage)
{
    const struct conf_model *model = model_of(call);

    if (!states(model, CONF_IMAGES))
        usage->images = 0;
    if (!states(model, CONF_SECONDS))
        usage->seconds = 0;
    if (!states(model, CONF_CHARACTERS))
        usage->characters = 0;
    if (!states(model, CONF_SEARCHES))
        usage->searches = 0;
}

struct usage
media_usage(const struct call *call, struct usage usage, struct media_made made)
{
    if (proto_is_file(endpoint_of(call))) /* nobody else counts them */
        return (struct usage){.state = USAGE_PRESENT, .requests = kept_requests(call)};
    if (usage.state == USAGE_BAD || usage.state == USAGE_ZERO)
        return usage;
    if (is_absurd(call, &usage)) {
        usage.state = USAGE_BAD;
        return usage;
    }
    /* These are counted here, whoever else counts them; more than was asked for is not charged. */
    if (is_pictures(call))
        usage.images = MIN(made.images, call->ask.choice_count);
    else if (call->endpoint == ENDPOINT_SPEECH)
        usage.characters = call->ask.media.characters;
    usage.state = is_covered(call, &usage) ? USAGE_PRESENT : USAGE_ABSENT;
    leave_unpriced(call, &usage);
    return usage;
}

struct media_made
media_made_of(const struct answer *answer)
{
    struct media_made made = {.any = true, .tokens = answer_output(answer).estimate};
    struct js_value key, picture;
    struct js_iter it;

    if (answer->endpoint == ENDPOINT_IMAGES || answer->endpoint == ENDPOINT_IMAGE_EDITS)
        for (js_iter_init(&it, answer->content); js_next(&it, &key, &picture);)
            made.images++;
    return made;
}

struct media_made
media_made_so_far(const struct call *call)
{
    return (struct media_made){
        .images = call->meter.image_count,
        .any = call->meter.answered,
        .tokens = call->meter.output_estimate,
    };
}

/* ---- the answer ---- */

static bool
is_type(struct str content_type, struct str type)
{
    struct str rest;

    return str_eq_nocase(str_trim(str_split(content_type, ';', &rest)), type);
}

/* A page of somebody in between is neither sound nor what was heard. */
static bool
is_bytes(const struct call *call, struct str content_type)
{
    if (call->endpoint == ENDPOINT_FILE_CONTENT)
        return true;
    if (!call->ask.media.bytes || is_type(content_type, STR("application/json")))
        return false;
    if (call->endpoint != ENDPOINT_SPEECH)
        return !is_type(content_type, STR("text/html"));
    return content_type.len < 5 || !str_eq_nocase((struct str){content_type.ptr, 5}, STR("text/"));
}

bool
media_answer(struct call *call, struct str content_type)
{
    bool events = is_type(content_type, STR("text/event-stream")) &&
                  call->endpoint != ENDPOINT_FILE_CONTENT;

    /* Models that cannot stream answer whole: an answer all the same. */
    call->bytes = !events && is_bytes(call, content_type);
    call->up_stream = events || call->bytes;
    return !events || call->ask.stream;
}

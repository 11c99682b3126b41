/*
 * Usage of what may be paid by other units than tokens. Pictures and speech count tokens as
 * Responses do, with or without saying of which kind those of the output are; what was heard is
 * counted in tokens or in seconds; ranking in tokens (Jina) or in searches (Cohere); moderation
 * mostly not at all.
 */
#include "base/str.h"
#include "proto/pick.h"
#include "proto/usage.h"
#include "proto/usage_in.h"

static const struct usage absent = {.state = USAGE_ABSENT};
static const struct usage bad = {.state = USAGE_BAD};

static bool
is_absent(struct js_value value)
{
    return value.type == JS_NONE || value.type == JS_NULL;
}

/* ---- pictures, speech ---- */

struct usage
usage_from_images(struct js_value value)
{
    struct usage usage = usage_from_responses(value);
    struct js_value details = js_get(value, STR("output_tokens_details"));

    if (usage.state == USAGE_PRESENT && details.type != JS_OBJECT)
        usage.image_output = usage.output;
    return usage;
}

struct usage
usage_from_speech(struct js_value value)
{
    struct usage usage = usage_from_responses(value);
    struct js_value details = js_get(value, STR("output_tokens_details"));

    if (usage.state == USAGE_PRESENT && details.type != JS_OBJECT)
        usage.audio_output = usage.output;
    return usage;
}

/* ---- what was heard ---- */

/* Here the details are called otherwise than elsewhere. */
static bool
read_sound_tokens(struct js_value value, struct usage *usage)
{
    enum { INPUT, OUTPUT, DETAILS, DETAILS_TOO, COUNT };
    static const struct str names[COUNT] = {
        [INPUT] = PICK_NAME("input_tokens"),
        [OUTPUT] = PICK_NAME("output_tokens"),
        [DETAILS] = PICK_NAME("input_token_details"),
        [DETAILS_TOO] = PICK_NAME("input_tokens_details"),
    };
    struct js_value values[COUNT], audio;

    pick_members(value, names, COUNT, values);
    audio = js_get(values[DETAILS], STR("audio_tokens"));
    if (audio.type == JS_NONE)
        audio = js_get(values[DETAILS_TOO], STR("audio_tokens"));
    return is_absent(values[INPUT]) == is_absent(values[OUTPUT]) &&
           usage_read_optional(values[INPUT], &usage->input) &&
           usage_read_optional(values[OUTPUT], &usage->output) &&
           usage_read_optional(audio, &usage->audio_input) && usage->audio_input <= usage->input;
}

struct usage
usage_from_sound(struct js_value value, struct js_value answer)
{
    struct js_value seconds = js_get(value, STR("seconds"));
    struct usage usage = {.state = USAGE_ABSENT};

    if (is_absent(seconds))
        seconds = js_get(answer, STR("duration"));
    if (!is_absent(value) && value.type != JS_OBJECT)
        return bad;
    if (!read_sound_tokens(value, &usage) || !usage_read_rounded_up(seconds, &usage.seconds))
        return bad;
    if (is_absent(js_get(value, STR("input_tokens"))) && is_absent(seconds))
        return absent;
    usage.state =
        (uint64_t)usage.input + usage.output + usage.seconds > 0 ? USAGE_PRESENT : USAGE_ZERO;
    return usage;
}

/* ---- ranking, moderation ---- */

struct usage
usage_from_ranking(struct js_value value, struct js_value answer)
{
    enum { PROMPT, INPUT, TOTAL, COUNT };
    static const struct str names[COUNT] = {
        [PROMPT] = PICK_NAME("prompt_tokens"),
        [INPUT] = PICK_NAME("input_tokens"),
        [TOTAL] = PICK_NAME("total_tokens"),
    };
    struct js_value billed = js_path(answer, "meta", "billed_units", NULL);
    struct js_value searches = js_get(billed, STR("search_units")), values[COUNT], tokens;
    struct usage usage = {.state = USAGE_ABSENT};

    if (!is_absent(value) && value.type != JS_OBJECT)
        return bad;
    pick_members(value, names, COUNT, values);
    tokens = js_get(billed, STR("input_tokens"));
    for (int i = COUNT - 1; i >= 0; i--)
        if (!is_absent(values[i]))
            tokens = values[i];
    if (!usage_read_optional(tokens, &usage.input) ||
        !usage_read_rounded_up(searches, &usage.searches))
        return bad;
    if (is_absent(tokens) && is_absent(searches))
        return absent;
    usage.state = (uint64_t)usage.input + usage.searches > 0 ? USAGE_PRESENT : USAGE_ZERO;
    return usage;
}

/* ---- sums ---- */

struct usage
usage_sum(struct usage a, struct usage b)
{
    uint32_t *counts[] = {&a.input,     &a.audio_input,  &a.image_input, &a.cache_read,
                          &a.cache_write_5m, &a.cache_write_1h, &a.output, &a.reasoning,
                          &a.audio_output,   &a.image_output,   &a.images, &a.seconds,
                          &a.characters,     &a.searches};
    const uint32_t more[] = {b.input,          b.audio_input,    b.image_input, b.cache_read,
                             b.cache_write_5m, b.cache_write_1h, b.output,      b.reasoning,
                             b.audio_output,   b.image_output,   b.images,      b.seconds,
                             b.characters,     b.searches};

    if (a.state == USAGE_ABSENT)
        return b;
    if (b.state == USAGE_ABSENT)
        return a;
    if (a.state == USAGE_BAD || b.state == USAGE_BAD)
        return bad;
    _Static_assert(COUNT_OF(counts) == COUNT_OF(more), "a place each");
    for (size_t i = 0; i < COUNT_OF(counts); i++) {
        if (more[i] > USAGE_COUNT_MAX - MIN(*counts[i], USAGE_COUNT_MAX))
            return bad;
        *counts[i] += more[i];
    }
    if (b.state == USAGE_PRESENT)
        a.state = USAGE_PRESENT;
    return a;
}

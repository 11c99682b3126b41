/*
 * Usage as Gemini reports it: the prompt includes what came from the cache but not what its own
 * tools put into it, the candidates exclude the thoughts, and the total is the sum of all four.
 * Protobuf leaves out what is zero, so that only the prompt must be there. Counts of one modality
 * come as lists: [{"modality":"AUDIO","tokenCount":7}].
 */
#include "base/str.h"
#include "proto/pick.h"
#include "proto/usage.h"

static const struct usage bad = {.state = USAGE_BAD};

/* A count that may be left out or null (then 0), but not be anything else. */
static bool
read_count(struct js_value value, uint32_t *out)
{
    uint64_t n = 0;

    *out = 0;
    if (value.type == JS_NONE || value.type == JS_NULL)
        return true;
    if (!js_count(value, USAGE_COUNT_MAX, &n))
        return false;
    *out = (uint32_t)n;
    return true;
}

struct modalities {
    uint32_t audio, image;
};

/* Of a list of counts those that are paid for apart; a modality that comes twice is summed up. */
static bool
read_modalities(struct js_value list, struct modalities *out)
{
    enum { MODALITY, TOKENS, COUNT };
    static const struct str names[COUNT] = {
        [MODALITY] = PICK_NAME("modality"),
        [TOKENS] = PICK_NAME("tokenCount"),
    };
    struct js_value key, item, values[COUNT];
    struct js_iter it;

    *out = (struct modalities){0};
    if (list.type != JS_NONE && list.type != JS_NULL && list.type != JS_ARRAY)
        return false;
    for (js_iter_init(&it, list); js_next(&it, &key, &item);) {
        uint32_t *sum, count;

        pick_members(item, names, COUNT, values);
        sum = js_str_eq(values[MODALITY], STR("AUDIO"))   ? &out->audio
              : js_str_eq(values[MODALITY], STR("IMAGE")) ? &out->image
                                                          : NULL;
        if (!read_count(values[TOKENS], &count))
            return false;
        if (sum != NULL && count > USAGE_COUNT_MAX - *sum)
            return false;
        if (sum != NULL)
            *sum += count;
    }
    return true;
}

/* Of the prompt's sound and pictures those that were not cached, where it is said what was. */
static bool
read_input_modalities(struct js_value prompt_details, struct js_value cached_details,
                      uint32_t prompt, struct usage *usage)
{
    struct modalities all, cached;

    if (!read_modalities(prompt_details, &all) || !read_modalities(cached_details, &cached))
        return false;
    if (all.audio > prompt || all.image > prompt)
        return false;
    all.audio -= MIN(all.audio, cached.audio);
    all.image -= MIN(all.image, cached.image);
    usage->audio_input = MIN(all.audio, usage->input);
    usage->image_input = MIN(all.image, usage->input - usage->audio_input);
    return true;
}

static bool
read_output_modalities(struct js_value details, struct usage *usage)
{
    struct modalities all;

    if (!read_modalities(details, &all))
        return false;
    usage->audio_output = all.audio;
    usage->image_output = all.image;
    return (uint64_t)usage->reasoning + all.audio + all.image <= usage->output;
}

/* What is left out says nothing. It may be off by little: some count a frame around the
 * contents. */
static bool
total_fits(struct js_value value, uint64_t sum)
{
    uint64_t total;

    if (value.type == JS_NONE || value.type == JS_NULL)
        return true;
    if (!js_count(value, UINT32_MAX, &total))
        return false;
    return (total > sum ? total - sum : sum - total) <= sum / 8 + 64;
}

struct usage
usage_from_gemini(struct js_value value)
{
    enum { PROMPT, CACHED, CANDIDATES, THOUGHTS, TOOL_USE, TOTAL, PROMPT_DETAILS, CACHED_DETAILS,
           CANDIDATES_DETAILS, COUNT };
    static const struct str names[COUNT] = {
        [PROMPT] = PICK_NAME("promptTokenCount"),
        [CACHED] = PICK_NAME("cachedContentTokenCount"),
        [CANDIDATES] = PICK_NAME("candidatesTokenCount"),
        [THOUGHTS] = PICK_NAME("thoughtsTokenCount"),
        [TOOL_USE] = PICK_NAME("toolUsePromptTokenCount"),
        [TOTAL] = PICK_NAME("totalTokenCount"),
        [PROMPT_DETAILS] = PICK_NAME("promptTokensDetails"),
        [CACHED_DETAILS] = PICK_NAME("cacheTokensDetails"),
        [CANDIDATES_DETAILS] = PICK_NAME("candidatesTokensDetails"),
    };
    struct usage usage = {.state = USAGE_ABSENT};
    uint32_t prompt, candidates, tool_use;
    struct js_value values[COUNT];

    if (value.type == JS_NONE || value.type == JS_NULL)
        return usage;
    pick_members(value, names, COUNT, values);
    if (values[PROMPT].type != JS_NUMBER || !read_count(values[PROMPT], &prompt) ||
        !read_count(values[CACHED], &usage.cache_read) ||
        !read_count(values[CANDIDATES], &candidates) ||
        !read_count(values[THOUGHTS], &usage.reasoning) ||
        !read_count(values[TOOL_USE], &tool_use) || usage.cache_read > prompt ||
        tool_use > USAGE_COUNT_MAX - prompt || usage.reasoning > USAGE_COUNT_MAX - candidates)
        return bad;
    usage.input = prompt + tool_use - usage.cache_read;
    usage.output = candidates + usage.reasoning;
    if (!total_fits(values[TOTAL], (uint64_t)prompt + tool_use + usage.output) ||
        !read_input_modalities(values[PROMPT_DETAILS], values[CACHED_DETAILS], prompt, &usage) ||
        !read_output_modalities(values[CANDIDATES_DETAILS], &usage))
        return bad;
    usage.state =
        prompt == 0 && tool_use == 0 && usage.output == 0 ? USAGE_ZERO : USAGE_PRESENT;
    return usage;
}

#include "proto/usage.h"

#include <string.h>

#include "base/str.h"
#include "proto/pick.h"
#include "proto/usage_in.h"

const char *const usage_state_name[USAGE_STATE_COUNT] = {
    [USAGE_ABSENT] = "absent",
    [USAGE_PRESENT] = "present",
    [USAGE_ZERO] = "zero",
    [USAGE_BAD] = "bad",
};

static const struct usage usage_absent = {.state = USAGE_ABSENT};
static const struct usage usage_bad = {.state = USAGE_BAD};

bool
usage_read_optional(struct js_value value, uint32_t *out)
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

static bool
read_required(struct js_value value, uint32_t *out)
{
    uint64_t n;

    if (!js_count(value, USAGE_COUNT_MAX, &n))
        return false;
    *out = (uint32_t)n;
    return true;
}

bool
usage_read_rounded_up(struct js_value value, uint32_t *out)
{
    struct str fraction = STR_NONE, whole = STR_NONE;
    uint64_t n;

    if (value.type == JS_NUMBER)
        whole = str_split(value.raw, '.', &fraction);
    if (fraction.ptr == NULL)
        return usage_read_optional(value, out);
    for (size_t i = 0; i < fraction.len; i++)
        if (fraction.ptr[i] < '0' || fraction.ptr[i] > '9')
            return false;
    if (!str_to_count(whole, USAGE_COUNT_MAX - 1, &n))
        return false;
    *out = (uint32_t)n;
    for (size_t i = 0; i < fraction.len; i++)
        if (fraction.ptr[i] != '0') {
            *out = (uint32_t)n + 1;
            break;
        }
    return true;
}

static struct usage
finished(struct usage usage)
{
    uint64_t sum = (uint64_t)usage.input + usage.cache_read + usage.cache_write_5m +
                   usage.cache_write_1h + usage.output + usage.images + usage.seconds +
                   usage.characters + usage.searches;

    if ((uint64_t)usage.reasoning + usage.audio_output + usage.image_output > usage.output)
        return usage_bad;
    usage.state = sum == 0 ? USAGE_ZERO : USAGE_PRESENT;
    return usage;
}

/* Where one protocol keeps its counts. All prompts here include what was cached. */
enum {
    NAME_INPUT,
    NAME_OUTPUT,
    NAME_TOTAL,
    NAME_INPUT_DETAILS,
    NAME_OUTPUT_DETAILS,
    NAME_SERVER_TOOLS,
    NAME_SEARCH_QUERIES,
    NAME_IMAGES,
    NAME_SECONDS,
    NAME_CHARACTERS,
    NAME_COUNT
};

/* What is not tokens, in whichever way a server says it. */
static bool
read_units(const struct js_value values[NAME_COUNT], struct usage *usage)
{
    uint32_t queries, requests;

    if (!usage_read_optional(values[NAME_SEARCH_QUERIES], &queries) ||
        !usage_read_optional(js_get(values[NAME_SERVER_TOOLS], STR("web_search_requests")),
                             &requests))
        return false;
    usage->searches = MAX(queries, requests);
    return usage_read_optional(values[NAME_IMAGES], &usage->images) &&
           usage_read_rounded_up(values[NAME_SECONDS], &usage->seconds) &&
           usage_read_optional(values[NAME_CHARACTERS], &usage->characters);
}

static bool
read_input_details(struct js_value details, uint32_t prompt, struct usage *usage)
{
    enum { CACHED, WRITTEN, AUDIO, IMAGE, COUNT };
    static const struct str detail_names[COUNT] = {
        [CACHED] = PICK_NAME("cached_tokens"),
        [WRITTEN] = PICK_NAME("cache_write_tokens"),
        [AUDIO] = PICK_NAME("audio_tokens"),
        [IMAGE] = PICK_NAME("image_tokens"),
    };
    struct js_value values[COUNT];
    uint64_t cached;

    pick_members(details, detail_names, COUNT, values);
    if (!usage_read_optional(values[CACHED], &usage->cache_read) ||
        !usage_read_optional(values[WRITTEN], &usage->cache_write_5m) ||
        !usage_read_optional(values[AUDIO], &usage->audio_input) ||
        !usage_read_optional(values[IMAGE], &usage->image_input))
        return false;
    cached = (uint64_t)usage->cache_read + usage->cache_write_5m;
    if (cached > prompt || usage->audio_input > prompt || usage->image_input > prompt)
        return false;
    usage->input = prompt - (uint32_t)cached;
    /* Of what was cached nobody says whether it was sound or pictures. */
    usage->audio_input = MIN(usage->audio_input, usage->input);
    usage->image_input = MIN(usage->image_input, usage->input - usage->audio_input);
    return true;
}

static bool
read_output_details(struct js_value details, struct usage *usage)
{
    enum { REASONING, AUDIO, IMAGE, COUNT };
    static const struct str detail_names[COUNT] = {
        [REASONING] = PICK_NAME("reasoning_tokens"),
        [AUDIO] = PICK_NAME("audio_tokens"),
        [IMAGE] = PICK_NAME("image_tokens"),
    };
    struct js_value values[COUNT];

    pick_members(details, detail_names, COUNT, values);
    return usage_read_optional(values[REASONING], &usage->reasoning) &&
           usage_read_optional(values[AUDIO], &usage->audio_output) &&
           usage_read_optional(values[IMAGE], &usage->image_output);
}

/* A total that is left out says nothing. What it has beyond both may be the reasoning, which then
 * was not within the output. It may be off by little: some count a frame around the messages. */
static bool
total_fits(struct js_value value, uint32_t prompt, struct usage *usage)
{
    uint64_t sum = (uint64_t)prompt + usage->output;
    uint64_t total;

    if (value.type == JS_NONE || value.type == JS_NULL)
        return true;
    if (!js_count(value, UINT32_MAX, &total))
        return false;
    if (total == sum)
        return true;
    if (usage->reasoning > 0 && total == sum + usage->reasoning) {
        usage->output += usage->reasoning;
        return usage->output <= USAGE_COUNT_MAX;
    }
    return (total > sum ? total - sum : sum - total) <= sum / 8 + 64;
}

static struct usage
read_inclusive(struct js_value value, const struct str names[NAME_COUNT])
{
    struct js_value values[NAME_COUNT];
    struct usage usage = {.state = USAGE_ABSENT};
    uint32_t prompt;

    if (value.type == JS_NONE || value.type == JS_NULL)
        return usage_absent;
    pick_members(value, names, NAME_COUNT, values);
    if (!read_required(values[NAME_INPUT], &prompt) ||
        !read_required(values[NAME_OUTPUT], &usage.output) ||
        !read_input_details(values[NAME_INPUT_DETAILS], prompt, &usage) ||
        !read_output_details(values[NAME_OUTPUT_DETAILS], &usage) ||
        !total_fits(values[NAME_TOTAL], prompt, &usage) || !read_units(values, &usage))
        return usage_bad;
    return finished(usage);
}

#define COMMON_NAMES                                                                               \
    [NAME_TOTAL] = PICK_NAME("total_tokens"), [NAME_SERVER_TOOLS] = PICK_NAME("server_tool_use"),  \
    [NAME_SEARCH_QUERIES] = PICK_NAME("num_search_queries"), [NAME_IMAGES] = PICK_NAME("images"),  \
    [NAME_SECONDS] = PICK_NAME("seconds"), [NAME_CHARACTERS] = PICK_NAME("characters")

struct usage
usage_from_openai(struct js_value value)
{
    static const struct str names[NAME_COUNT] = {
        [NAME_INPUT] = PICK_NAME("prompt_tokens"),
        [NAME_OUTPUT] = PICK_NAME("completion_tokens"),
        [NAME_INPUT_DETAILS] = PICK_NAME("prompt_tokens_details"),
        [NAME_OUTPUT_DETAILS] = PICK_NAME("completion_tokens_details"),
        COMMON_NAMES,
    };

    return read_inclusive(value, names);
}

struct usage
usage_from_responses(struct js_value value)
{
    static const struct str names[NAME_COUNT] = {
        [NAME_INPUT] = PICK_NAME("input_tokens"),
        [NAME_OUTPUT] = PICK_NAME("output_tokens"),
        [NAME_INPUT_DETAILS] = PICK_NAME("input_tokens_details"),
        [NAME_OUTPUT_DETAILS] = PICK_NAME("output_tokens_details"),
        COMMON_NAMES,
    };

    return read_inclusive(value, names);
}

/* Realtime alone says what of the cached tokens was sound and pictures: the rest of these was not. */
static void
read_cached_details(struct js_value details, struct usage *usage)
{
    struct js_value cached = js_get(details, STR("cached_tokens_details"));
    uint32_t audio, image, cached_audio, cached_image;

    if (cached.type != JS_OBJECT ||
        !usage_read_optional(js_get(details, STR("audio_tokens")), &audio) ||
        !usage_read_optional(js_get(details, STR("image_tokens")), &image) ||
        !usage_read_optional(js_get(cached, STR("audio_tokens")), &cached_audio) ||
        !usage_read_optional(js_get(cached, STR("image_tokens")), &cached_image) ||
        cached_audio > audio || cached_image > image)
        return;
    usage->audio_input = MIN(audio - cached_audio, usage->input);
    usage->image_input = MIN(image - cached_image, usage->input - usage->audio_input);
}

struct usage
usage_from_realtime(struct js_value value)
{
    static const struct str names[NAME_COUNT] = {
        [NAME_INPUT] = PICK_NAME("input_tokens"),
        [NAME_OUTPUT] = PICK_NAME("output_tokens"),
        [NAME_INPUT_DETAILS] = PICK_NAME("input_token_details"),
        [NAME_OUTPUT_DETAILS] = PICK_NAME("output_token_details"),
        COMMON_NAMES,
    };
    struct usage usage = {.state = USAGE_ABSENT};

    if (js_str_eq(js_get(value, STR("type")), STR("duration")))
        return usage_read_rounded_up(js_get(value, STR("seconds")), &usage.seconds) ? finished(usage)
                                                                              : usage_bad;
    usage = read_inclusive(value, names);
    if (usage.state == USAGE_PRESENT)
        read_cached_details(js_get(value, names[NAME_INPUT_DETAILS]), &usage);
    return usage;
}

struct usage
usage_from_embeddings(struct js_value value)
{
    struct usage usage = {.state = USAGE_ABSENT};

    if (value.type == JS_NONE || value.type == JS_NULL)
        return usage_absent;
    if (!read_required(js_get(value, STR("prompt_tokens")), &usage.input))
        return usage_bad;
    return finished(usage);
}

struct usage
usage_from_count_tokens(struct js_value value, struct str name)
{
    struct js_value count = js_get(value, name);
    struct usage usage = {.state = USAGE_ABSENT};

    if (count.type == JS_NONE)
        return usage_absent;
    if (!read_required(count, &usage.input))
        return usage_bad;
    return finished(usage);
}

/* Bits of usage_anthropic.seen. */
enum {
    SEEN_INPUT = 1u << 0,
    SEEN_READ = 1u << 1,
    SEEN_WRITE = 1u << 2,
    SEEN_WRITE_5M = 1u << 3,
    SEEN_WRITE_1H = 1u << 4,
    SEEN_OUTPUT = 1u << 5,
    SEEN_REASONING = 1u << 6,
    SEEN_SEARCHES = 1u << 7,
};

static void
merge_count(struct usage_anthropic *usage, struct js_value value, uint8_t bit, uint32_t *field)
{
    uint64_t n;

    if (value.type == JS_NONE || value.type == JS_NULL)
        return;
    if (!js_count(value, USAGE_COUNT_MAX, &n)) {
        usage->bad = true;
        return;
    }
    *field = (uint32_t)n;
    usage->seen |= bit;
}

void
usage_anthropic_merge(struct usage_anthropic *usage, struct js_value value, bool is_delta)
{
    enum { INPUT, READ, WRITE, OUTPUT, SPLIT, DETAILS, TOOLS, COUNT };
    static const struct str names[COUNT] = {
        [INPUT] = PICK_NAME("input_tokens"),
        [READ] = PICK_NAME("cache_read_input_tokens"),
        [WRITE] = PICK_NAME("cache_creation_input_tokens"),
        [OUTPUT] = PICK_NAME("output_tokens"),
        [SPLIT] = PICK_NAME("cache_creation"),
        [DETAILS] = PICK_NAME("output_tokens_details"),
        [TOOLS] = PICK_NAME("server_tool_use"),
    };
    static const struct str split_names[2] = {PICK_NAME("ephemeral_5m_input_tokens"),
                                              PICK_NAME("ephemeral_1h_input_tokens")};
    struct js_value values[COUNT], split[2];

    if (value.type == JS_NONE || value.type == JS_NULL)
        return;
    if (value.type != JS_OBJECT) {
        usage->bad = true;
        return;
    }
    pick_members(value, names, COUNT, values);
    pick_members(values[SPLIT], split_names, 2, split);
    merge_count(usage, values[INPUT], SEEN_INPUT, &usage->input);
    merge_count(usage, values[READ], SEEN_READ, &usage->cache_read);
    merge_count(usage, values[WRITE], SEEN_WRITE, &usage->cache_write);
    merge_count(usage, split[0], SEEN_WRITE_5M, &usage->write_5m);
    merge_count(usage, split[1], SEEN_WRITE_1H, &usage->write_1h);
    merge_count(usage, js_get(values[DETAILS], STR("thinking_tokens")), SEEN_REASONING,
                &usage->reasoning);
    merge_count(usage, js_get(values[TOOLS], STR("web_search_requests")), SEEN_SEARCHES,
                &usage->searches);
    merge_count(usage, values[OUTPUT], SEEN_OUTPUT, &usage->output);
    if (is_delta && values[OUTPUT].type == JS_NUMBER)
        usage->final = true;
}

struct usage
usage_anthropic_sum(const struct usage_anthropic *usage)
{
    struct usage sum = {
        .input = usage->input,
        .cache_read = usage->cache_read,
        .cache_write_5m = usage->write_5m,
        .cache_write_1h = usage->write_1h,
        .output = usage->output,
        .reasoning = usage->reasoning,
        .searches = usage->searches,
    };
    uint64_t split = (uint64_t)usage->write_5m + usage->write_1h;

    if (usage->bad)
        return usage_bad;
    if (usage->seen == 0)
        return usage_absent;
    if ((usage->seen & SEEN_INPUT) == 0 || (usage->seen & SEEN_OUTPUT) == 0)
        return usage_bad;
    if (usage->seen & SEEN_WRITE) {
        if (split > usage->cache_write)
            return usage_bad;
        /* What the split does not name lives the shorter time. */
        sum.cache_write_5m += (uint32_t)(usage->cache_write - split);
    }
    return finished(sum);
}

struct usage
usage_from_anthropic(struct js_value value)
{
    struct usage_anthropic whole;

    memset(&whole, 0, sizeof(whole));
    usage_anthropic_merge(&whole, value, true);
    return usage_anthropic_sum(&whole);
}

/* Of the tool's actions only a search is one: opening a page that it found, or looking within it,
 * is not. */
static bool
is_search(struct js_value item)
{
    struct js_value action;

    if (!js_str_eq(js_get(item, STR("type")), STR("web_search_call")) ||
        js_str_eq(js_get(item, STR("status")), STR("failed")))
        return false;
    action = js_get(js_get(item, STR("action")), STR("type"));
    return action.type != JS_STRING || js_str_eq(action, STR("search"));
}

uint32_t
usage_searches_in(struct js_value items)
{
    struct js_value key, item;
    struct js_iter it;
    uint32_t count = 0;

    if (items.type != JS_ARRAY || !str_contains(items.raw, STR("web_search_call")))
        return 0;
    for (js_iter_init(&it, items); js_next(&it, &key, &item);)
        count += is_search(item);
    return count;
}

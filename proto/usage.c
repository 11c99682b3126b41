#include "proto/usage.h"

#include <string.h>

#include "base/str.h"
#include "proto/pick.h"

const char *const usage_state_name[USAGE_STATE_COUNT] = {
    [USAGE_ABSENT] = "absent",
    [USAGE_PRESENT] = "present",
    [USAGE_ZERO] = "zero",
    [USAGE_BAD] = "bad",
};

static const struct usage usage_absent = {.state = USAGE_ABSENT};
static const struct usage usage_bad = {.state = USAGE_BAD};

/* A count that may be left out or null (then 0), but not be anything else. */
static bool
read_optional(struct js_value value, uint32_t *out)
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

static struct usage
finished(struct usage usage)
{
    uint64_t sum = (uint64_t)usage.input + usage.cache_read + usage.cache_write_5m +
                   usage.cache_write_1h + usage.output;

    if (usage.reasoning > usage.output)
        return usage_bad;
    usage.state = sum == 0 ? USAGE_ZERO : USAGE_PRESENT;
    return usage;
}

/* Where one protocol keeps its counts. All prompts here include what was cached. */
enum { NAME_INPUT, NAME_OUTPUT, NAME_INPUT_DETAILS, NAME_OUTPUT_DETAILS, NAME_COUNT };

static struct usage
read_inclusive(struct js_value value, const struct str names[NAME_COUNT])
{
    static const struct str detail_names[] = {PICK_NAME("cached_tokens"),
                                              PICK_NAME("cache_write_tokens")};
    struct js_value values[NAME_COUNT], details[2];
    struct usage usage = {.state = USAGE_ABSENT};
    uint32_t prompt, cached, written;

    if (value.type == JS_NONE || value.type == JS_NULL)
        return usage_absent;
    pick_members(value, names, NAME_COUNT, values);
    pick_members(values[NAME_INPUT_DETAILS], detail_names, 2, details);
    if (!read_required(values[NAME_INPUT], &prompt) ||
        !read_required(values[NAME_OUTPUT], &usage.output) || !read_optional(details[0], &cached) ||
        !read_optional(details[1], &written) ||
        !read_optional(js_get(values[NAME_OUTPUT_DETAILS], STR("reasoning_tokens")),
                       &usage.reasoning))
        return usage_bad;
    if ((uint64_t)cached + written > prompt)
        return usage_bad;
    usage.input = prompt - cached - written;
    usage.cache_read = cached;
    usage.cache_write_5m = written;
    return finished(usage);
}

struct usage
usage_from_openai(struct js_value value)
{
    static const struct str names[NAME_COUNT] = {
        [NAME_INPUT] = PICK_NAME("prompt_tokens"),
        [NAME_OUTPUT] = PICK_NAME("completion_tokens"),
        [NAME_INPUT_DETAILS] = PICK_NAME("prompt_tokens_details"),
        [NAME_OUTPUT_DETAILS] = PICK_NAME("completion_tokens_details"),
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
    };

    return read_inclusive(value, names);
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
usage_from_count_tokens(struct js_value value)
{
    struct js_value count = js_get(value, STR("input_tokens"));
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
    enum { INPUT, READ, WRITE, OUTPUT, SPLIT, DETAILS, COUNT };
    static const struct str names[COUNT] = {
        [INPUT] = PICK_NAME("input_tokens"),
        [READ] = PICK_NAME("cache_read_input_tokens"),
        [WRITE] = PICK_NAME("cache_creation_input_tokens"),
        [OUTPUT] = PICK_NAME("output_tokens"),
        [SPLIT] = PICK_NAME("cache_creation"),
        [DETAILS] = PICK_NAME("output_tokens_details"),
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

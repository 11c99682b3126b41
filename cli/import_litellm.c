/*
 * LiteLLM's price list: "model": {"input_cost_per_token": 3e-06, "mode": "chat", …}. A key of a
 * price is made of what it is the price of, then "_above_200k_tokens" for a call whose context is
 * larger, then the service tier that it holds for.
 */
#include "cli/import.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/decimal.h"
#include "conf/conf.h"

static const struct {
    const char *key;
    enum import_price price;
} stems[] = {
    {"input_cost_per_token", IMPORT_INPUT},
    {"output_cost_per_token", IMPORT_OUTPUT},
    {"cache_read_input_token_cost", IMPORT_CACHE_READ},
    {"cache_creation_input_token_cost", IMPORT_CACHE_WRITE},
    {"cache_creation_input_token_cost_above_1hr", IMPORT_CACHE_WRITE_1H},
    {"output_cost_per_reasoning_token", IMPORT_REASONING},
    {"input_cost_per_audio_token", IMPORT_AUDIO_INPUT},
    {"output_cost_per_audio_token", IMPORT_AUDIO_OUTPUT},
    {"input_cost_per_image_token", IMPORT_IMAGE_INPUT},
    {"output_cost_per_image_token", IMPORT_IMAGE_OUTPUT},
    {"input_cost_per_request", IMPORT_PER_REQUEST},
};

static const struct {
    const char *key;
    enum conf_can can;
} abilities[] = {
    {"supports_function_calling", CONF_CAN_TOOLS}, {"supports_vision", CONF_CAN_VISION},
    {"supports_reasoning", CONF_CAN_THINKING},     {"supports_response_schema", CONF_CAN_JSON},
    {"supports_audio_input", CONF_CAN_AUDIO},
};

static const char *const chat_modes[] = {"chat", "completion", "responses"};

/* Cuts "_above_200k_tokens" off: 200000. 0 when there is none of that. */
static uint64_t
cut_above(struct str *name)
{
    static const char above[] = "_above_", end[] = "k_tokens";
    size_t last = 0;
    struct str digits;
    uint64_t thousands;

    if (!str_ends_with(*name, STR(end)))
        return 0;
    for (size_t i = 0; i + sizeof(above) - 1 <= name->len; i++)
        if (memcmp(name->ptr + i, above, sizeof(above) - 1) == 0)
            last = i;
    if (last == 0)
        return 0;
    digits = (struct str){name->ptr + last + sizeof(above) - 1, 0};
    digits.len = name->len - last - (sizeof(above) - 1) - (sizeof(end) - 1);
    if (name->len < last + sizeof(above) - 1 + sizeof(end) - 1 ||
        !str_to_count(digits, 1000000, &thousands))
        return 0;
    name->len = last;
    return thousands * 1000;
}

static bool
take_stem(struct import_entry *entry, struct import_prices *to, struct str stem, struct str name,
          struct js_value value)
{
    for (size_t i = 0; i < COUNT_OF(stems); i++)
        if (str_eq(stem, str_from(stems[i].key)))
            return import_take(entry, to, stems[i].price, name, value);
    import_pass(entry, name, value);
    return true;
}

/* Cuts "_flex" off: where prices of that service go. NULL when there is none of that. */
static struct import_prices *
cut_service(struct import_entry *entry, struct str *name)
{
    for (int i = 0; i < IMPORT_SERVICE_COUNT; i++) {
        struct str service = str_from(import_service_name[i]);

        if (str_ends_with(*name, service) && name->len > service.len &&
            name->ptr[name->len - service.len - 1] == '_') {
            name->len -= service.len + 1;
            return &entry->services[i];
        }
    }
    return NULL;
}

static bool
take_price(struct import_entry *entry, struct str name, struct js_value value)
{
    struct str stem = name;
    struct import_prices *service = cut_service(entry, &stem);
    uint64_t above_tokens = cut_above(&stem);
    struct import_tier *tier;

    if (above_tokens == 0)
        return take_stem(entry, service != NULL ? service : &entry->prices, stem, name, value);
    if (service != NULL) {
        import_pass(entry, name, value);
        return true;
    }
    if (js_is(value, JS_NULL))
        return true;
    tier = import_tier(entry, above_tokens);
    return tier != NULL && take_stem(entry, &tier->prices, stem, name, value);
}

/* One of "tiered_pricing": {"range": [32000, 128000], "input_cost_per_token": …}. */
static bool
take_range(struct import_entry *entry, struct js_value range_object)
{
    struct import_prices *to = &entry->prices;
    struct js_value key, value;
    struct import_tier *tier;
    struct js_iter it;
    int64_t from;

    js_iter_init(&it, js_get(range_object, STR("range")));
    if (!js_next(&it, &key, &value) || !js_is(value, JS_NUMBER) ||
        decimal_scale(value.raw, 0, 1000000000, &from) != DECIMAL_OK)
        return import_refuse(entry, "tiered_pricing: a range is not of two counts of tokens");
    if (from > 0) {
        tier = import_tier(entry, (uint64_t)from);
        if (tier == NULL)
            return false;
        to = &tier->prices;
    }
    for (js_iter_init(&it, range_object); js_next(&it, &key, &value);)
        if (!js_str_eq(key, STR("range")) && !take_stem(entry, to, key.raw, key.raw, value))
            return false;
    return true;
}

static bool
take_ranges(struct import_entry *entry, struct js_value ranges)
{
    struct js_value key, value;
    struct js_iter it;

    for (js_iter_init(&it, ranges); js_next(&it, &key, &value);)
        if (!take_range(entry, value))
            return false;
    return true;
}

/* What a search costs may hang on how much it looks at; that cannot be stated, unless it is all the
 * same. */
static bool
take_search(struct import_entry *entry, struct str name, struct js_value sizes)
{
    struct js_value key, value, first = {0};
    bool same = true;
    struct js_iter it;

    for (js_iter_init(&it, sizes); js_next(&it, &key, &value);) {
        if (first.type == JS_NONE)
            first = value;
        same = same && value.type == first.type && str_eq(value.raw, first.raw);
    }
    if (first.type == JS_NONE)
        return true;
    if (same)
        return import_take(entry, &entry->prices, IMPORT_PER_SEARCH, name, first);
    import_untaken(entry, name);
    return true;
}

static bool
take_prices(struct import_entry *entry, struct js_value model)
{
    struct js_value key, value;
    struct js_iter it;

    for (js_iter_init(&it, model); js_next(&it, &key, &value);) {
        bool fine = true;

        if (js_str_eq(key, STR("tiered_pricing")))
            fine = take_ranges(entry, value);
        else if (js_str_eq(key, STR("search_context_cost_per_query")))
            fine = take_search(entry, key.raw, value);
        else if (str_contains(key.raw, STR("cost")))
            fine = take_price(entry, key.raw, value);
        if (!fine)
            return false;
    }
    return true;
}

static bool
take_mode(struct import_entry *entry, struct js_value mode)
{
    if (js_str_eq(mode, STR("embedding"))) {
        entry->embedding = true;
        return true;
    }
    for (size_t i = 0; i < COUNT_OF(chat_modes); i++)
        if (js_str_eq(mode, str_from(chat_modes[i])))
            return true;
    if (!js_is(mode, JS_STRING))
        return import_refuse(entry, "it states no mode");
    return import_refuse(entry, "mode %.*s is neither chat nor embedding",
                         (int)MIN(mode.raw.len, (size_t)60), mode.raw.ptr);
}

bool
import_litellm(struct import *import, struct js_value key, struct js_value value,
               struct import_entry *entry)
{
    struct js_value provider = js_get(value, STR("litellm_provider"));
    struct str prefix = import_text(import, provider);

    entry->key = import_text(import, key);
    entry->name = entry->key;
    /* An explanation of the format, not a model. */
    if (str_eq(entry->name, STR("sample_spec")) || !import_is_maker(import, prefix))
        return false;
    /* "gemini/gemini-2.5-pro" is Gemini's own. */
    if (prefix.len > 0 && str_starts_with(entry->name, prefix) && entry->name.len > prefix.len &&
        entry->name.ptr[prefix.len] == '/') {
        entry->name.ptr += prefix.len + 1;
        entry->name.len -= prefix.len + 1;
    }
    if (!js_is(value, JS_OBJECT))
        return import_refuse(entry, "it is not an object");
    if (!take_mode(entry, js_get(value, STR("mode"))) || !take_prices(entry, value))
        return false;
    entry->context_tokens =
        import_count(entry, "max_input_tokens", js_get(value, STR("max_input_tokens")));
    if (entry->context_tokens == 0)
        entry->context_tokens = import_count(entry, "max_tokens", js_get(value, STR("max_tokens")));
    if (entry->embedding) {
        entry->can = 1u << CONF_CAN_EMBEDDINGS;
    } else {
        entry->output_tokens_max =
            import_count(entry, "max_output_tokens", js_get(value, STR("max_output_tokens")));
        for (size_t i = 0; i < COUNT_OF(abilities); i++)
            if (js_bool(js_get(value, str_from(abilities[i].key)), false))
                entry->can |= 1u << abilities[i].can;
    }
    entry->source = import_text(import, js_get(value, STR("source")));
    return true;
}

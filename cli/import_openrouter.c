/*
 * OpenRouter's list of models: {"data": [{"id": "maker/model", "pricing": {"prompt": "0.000003",
 * …}, …}]}. A price of -1 is one that hangs on where a call goes.
 */
#include "cli/import.h"

#include <stdio.h>

#include "base/str.h"
#include "conf/conf.h"

#define SITE "https://openrouter.ai/"

static const struct {
    const char *key;
    enum import_price price;
} keys[] = {
    {"prompt", IMPORT_INPUT},
    {"completion", IMPORT_OUTPUT},
    {"input_cache_read", IMPORT_CACHE_READ},
    {"input_cache_write", IMPORT_CACHE_WRITE},
    {"internal_reasoning", IMPORT_REASONING},
    {"audio", IMPORT_AUDIO_INPUT},
    {"audio_output", IMPORT_AUDIO_OUTPUT},
    {"image_output", IMPORT_IMAGE_OUTPUT},
    {"request", IMPORT_PER_REQUEST},
    {"web_search", IMPORT_PER_SEARCH},
};

static const struct {
    const char *word;
    enum conf_can can;
} parameters[] = {
    {"tools", CONF_CAN_TOOLS},
    {"reasoning", CONF_CAN_THINKING},
    {"response_format", CONF_CAN_JSON},
    {"structured_outputs", CONF_CAN_JSON},
};

static bool
list_has(struct js_value list, struct str word)
{
    struct js_value key, value;
    struct js_iter it;

    for (js_iter_init(&it, list); js_next(&it, &key, &value);)
        if (js_str_eq(value, word))
            return true;
    return false;
}

static bool
take_prices(struct import_entry *entry, struct js_value pricing)
{
    struct js_value key, value;
    struct js_iter it;

    for (js_iter_init(&it, pricing); js_next(&it, &key, &value);) {
        size_t i = 0;

        if (js_str_eq(value, STR("-1")))
            return import_refuse(entry, "its price hangs on where a call goes");
        while (i < COUNT_OF(keys) && !str_eq(key.raw, str_from(keys[i].key)))
            i++;
        /* 0 stands for "none of its own" but in the two that always count. */
        if (i >= 2 && i < COUNT_OF(keys) && js_str_eq(value, STR("0")))
            continue;
        if (i == COUNT_OF(keys))
            import_pass(entry, key.raw, value);
        else if (!import_take(entry, &entry->prices, keys[i].price, key.raw, value))
            return false;
    }
    return true;
}

static bool
take_abilities(struct import_entry *entry, struct js_value model)
{
    struct js_value in = js_path(model, "architecture", "input_modalities", NULL);
    struct js_value out = js_path(model, "architecture", "output_modalities", NULL);
    struct js_value words = js_get(model, STR("supported_parameters"));

    entry->embedding = list_has(out, STR("embeddings"));
    if (entry->embedding) {
        entry->can = 1u << CONF_CAN_EMBEDDINGS;
        return true;
    }
    if (js_is(out, JS_ARRAY) && !list_has(out, STR("text")))
        return import_refuse(entry, "it answers neither text nor embeddings");
    for (size_t i = 0; i < COUNT_OF(parameters); i++)
        if (list_has(words, str_from(parameters[i].word)))
            entry->can |= 1u << parameters[i].can;
    if (list_has(in, STR("image")))
        entry->can |= 1u << CONF_CAN_VISION;
    if (list_has(in, STR("audio")))
        entry->can |= 1u << CONF_CAN_AUDIO;
    return true;
}

static struct str
page_of(struct import *import, struct str id)
{
    size_t cap = sizeof(SITE) + id.len;
    char *page = arena_alloc(&import->arena, cap);

    if (page == NULL)
        return STR_NONE;
    return (struct str){page, (size_t)snprintf(page, cap, SITE "%.*s", STR_ARGS(id))};
}

bool
import_openrouter(struct import *import, struct js_value value, struct import_entry *entry)
{
    struct js_value pricing = js_get(value, STR("pricing"));
    struct str id = import_text(import, js_get(value, STR("id"))), rest;
    struct str maker = str_split(id, '/', &rest);

    entry->key = id.len > 0 ? id : STR_NONE;
    entry->name = id;
    if (id.len == 0)
        return import_refuse(entry, "an entry has no id");
    if (!import_is_maker(import, rest.ptr != NULL ? maker : STR_NONE))
        return false;
    if (rest.len > 0)
        entry->name = rest;
    if (!js_is(pricing, JS_OBJECT))
        return import_refuse(entry, "it states no prices");
    if (!take_abilities(entry, value) || !take_prices(entry, pricing))
        return false;
    entry->context_tokens =
        import_count(entry, "context_length", js_get(value, STR("context_length")));
    if (!entry->embedding)
        entry->output_tokens_max =
            import_count(entry, "max_completion_tokens",
                         js_path(value, "top_provider", "max_completion_tokens", NULL));
    entry->source = page_of(import, id);
    return true;
}

#include "cli/import.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "cli/decimal.h"
#include "conf/conf.h"

/* What all files of a routes.conf together may have is 4 MiB. */
#define TEXT_BYTES_MAX (3u << 20)
#define NOTES_BYTES_MAX (64u << 20)
#define ARENA_BYTES_MAX (64u << 20)
#define COUNT_MAX 1000000000
/* Dollars a token to micro-dollars a million tokens; dollars to micro-dollars. */
#define SHIFT_TOKEN 12
#define SHIFT_EACH 6

const char *const import_format_name[IMPORT_FORMAT_COUNT] = {
    [IMPORT_ANY] = "any",
    [IMPORT_LITELLM] = "litellm",
    [IMPORT_OPENROUTER] = "openrouter",
};

const char *const import_service_name[IMPORT_SERVICE_COUNT] = {
    [IMPORT_FLEX] = "flex",
    [IMPORT_PRIORITY] = "priority",
};

/* As conf/ names them. */
static const struct {
    const char *key;
    int shift;
} prices[IMPORT_PRICE_COUNT] = {
    [IMPORT_INPUT] = {"input", SHIFT_TOKEN},
    [IMPORT_OUTPUT] = {"output", SHIFT_TOKEN},
    [IMPORT_CACHE_READ] = {"cache-read", SHIFT_TOKEN},
    [IMPORT_CACHE_WRITE] = {"cache-write", SHIFT_TOKEN},
    [IMPORT_CACHE_WRITE_1H] = {"cache-write-1h", SHIFT_TOKEN},
    [IMPORT_REASONING] = {"reasoning", SHIFT_TOKEN},
    [IMPORT_AUDIO_INPUT] = {"audio-input", SHIFT_TOKEN},
    [IMPORT_AUDIO_OUTPUT] = {"audio-output", SHIFT_TOKEN},
    [IMPORT_IMAGE_INPUT] = {"image-input", SHIFT_TOKEN},
    [IMPORT_IMAGE_OUTPUT] = {"image-output", SHIFT_TOKEN},
    [IMPORT_PER_REQUEST] = {"per-request", SHIFT_EACH},
    [IMPORT_PER_SEARCH] = {"per-search", SHIFT_EACH},
};

/* Makers as people call them, and as the two lists do. */
static const struct {
    const char *word, *litellm, *openrouter;
} makers[] = {
    {"alibaba", "dashscope", "qwen"},
    {"deepseek", "deepseek", "deepseek"},
    {"google", "gemini", "google"},
    {"kimi", "moonshot", "moonshotai"},
    {"mistral", "mistral", "mistralai"},
    {"moonshot", "moonshot", "moonshotai"},
    {"qwen", "dashscope", "qwen"},
    {"xai", "xai", "x-ai"},
    {"zhipu", "zai", "z-ai"},
};

void
import_init(struct import *import)
{
    *import = (struct import){0};
    buf_init(&import->text, TEXT_BYTES_MAX);
    buf_init(&import->notes, NOTES_BYTES_MAX);
    arena_init(&import->arena, ARENA_BYTES_MAX);
}

void
import_free(struct import *import)
{
    buf_free(&import->text);
    buf_free(&import->notes);
    arena_end(&import->arena);
    free(import->names);
    import->names = NULL;
}

/* ---- for the readers ------------------------------------------------------------------------- */

struct str
import_text(struct import *import, struct js_value value)
{
    char *out;

    if (!js_is(value, JS_STRING))
        return STR_NONE;
    out = arena_alloc(&import->arena, value.raw.len + 1);
    return out != NULL ? js_unescape(value, out, value.raw.len + 1) : STR_NONE;
}

bool
import_is_maker(const struct import *import, struct str name)
{
    if (import->maker.ptr == NULL || str_eq(import->maker, name))
        return true;
    for (size_t i = 0; i < COUNT_OF(makers); i++)
        if (str_eq(import->maker, str_from(makers[i].word)) &&
            str_eq(name, str_from(import->format == IMPORT_LITELLM ? makers[i].litellm
                                                                   : makers[i].openrouter)))
            return true;
    return false;
}

bool
import_refuse(struct import_entry *entry, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(entry->why, sizeof(entry->why), fmt, args);
    va_end(args);
    return false;
}

void
import_untaken(struct import_entry *entry, struct str name)
{
    size_t len = strlen(entry->untaken);

    if (len + name.len + 8 >= sizeof(entry->untaken)) {
        if (len > 0 && entry->untaken[len - 1] != '.')
            snprintf(entry->untaken + len, sizeof(entry->untaken) - len, ", ...");
        return;
    }
    snprintf(entry->untaken + len, sizeof(entry->untaken) - len, "%s%.*s", len > 0 ? ", " : "",
             STR_ARGS(name));
}

/* The digits of a number, or of a string that holds one. */
static struct str
number_text(struct js_value value)
{
    if (js_is(value, JS_NUMBER) || (js_is(value, JS_STRING) && !value.escaped))
        return value.raw;
    return STR_NONE;
}

static bool
is_nothing(struct js_value value)
{
    int64_t n;

    if (js_is(value, JS_NULL) || js_is(value, JS_FALSE))
        return true;
    return decimal_scale(number_text(value), 0, 0, &n) == DECIMAL_OK;
}

void
import_pass(struct import_entry *entry, struct str name, struct js_value value)
{
    if (!is_nothing(value))
        import_untaken(entry, name);
}

bool
import_take(struct import_entry *entry, struct import_prices *to, enum import_price price,
            struct str name, struct js_value value)
{
    struct str digits = number_text(value);
    int name_len = (int)MIN(name.len, (size_t)80), digits_len = (int)MIN(digits.len, (size_t)40);
    const char *what = NULL;

    if (js_is(value, JS_NULL))
        return true;
    if (to->have & 1u << price)
        return import_refuse(entry, "%.*s is stated twice", name_len, name.ptr);
    switch (decimal_scale(digits, prices[price].shift, CONF_PRICE_MAX_U_PER_MTOK, &to->u[price])) {
    case DECIMAL_OK: to->have |= 1u << price; return true;
    case DECIMAL_MALFORMED: return import_refuse(entry, "%.*s is not a number", name_len, name.ptr);
    case DECIMAL_NEGATIVE: what = "is below zero"; break;
    case DECIMAL_FINE:
        what = prices[price].shift == SHIFT_TOKEN
                   ? "is finer than a millionth of a dollar per million tokens"
                   : "is finer than a millionth of a dollar";
        break;
    case DECIMAL_LARGE: what = "is too much"; break;
    }
    return import_refuse(entry, "%.*s: %.*s %s", name_len, name.ptr, digits_len, digits.ptr, what);
}

struct import_tier *
import_tier(struct import_entry *entry, uint64_t above_tokens)
{
    for (size_t i = 0; i < entry->tier_count; i++)
        if (entry->tiers[i].above_tokens == above_tokens)
            return &entry->tiers[i];
    if (entry->tier_count == COUNT_OF(entry->tiers)) {
        import_refuse(entry, "it has more than %zu tiers", COUNT_OF(entry->tiers));
        return NULL;
    }
    entry->tiers[entry->tier_count] = (struct import_tier){.above_tokens = above_tokens};
    return &entry->tiers[entry->tier_count++];
}

uint64_t
import_count(struct import_entry *entry, const char *name, struct js_value value)
{
    int64_t n = 0;

    if (js_is(value, JS_NONE) || js_is(value, JS_NULL))
        return 0;
    if (decimal_scale(number_text(value), 0, COUNT_MAX, &n) != DECIMAL_OK)
        import_untaken(entry, str_from(name));
    return (uint64_t)n;
}

/* ---- text of models.conf --------------------------------------------------------------------- */

static void
prices_write(struct buf *out, const struct import_prices *stated, const char *indent)
{
    char text[DECIMAL_TEXT_LEN];

    for (int i = 0; i < IMPORT_PRICE_COUNT; i++)
        if (stated->have & 1u << i)
            buf_add_fmt(out, "%s%s = %s\n", indent, prices[i].key,
                        decimal_text((unsigned __int128)(uint64_t)stated->u[i], 6, text));
}

/* The letters that a name begins with, such as "claude": the maker's line. */
static void
family_write(struct buf *out, struct str name)
{
    size_t from = 0, len = 0;

    for (size_t i = 0; i < name.len; i++)
        if (name.ptr[i] == '/')
            from = i + 1;
    while (from + len < name.len && (name.ptr[from + len] | 0x20) >= 'a' &&
           (name.ptr[from + len] | 0x20) <= 'z')
        len++;
    if (len > 0 && len <= CONF_NAME_LEN_MAX)
        buf_add_fmt(out, "    family = \"%.*s\"\n", (int)len, name.ptr + from);
}

static void
can_write(struct buf *out, unsigned can)
{
    bool any = false;

    for (int i = 0; i < CONF_CAN_COUNT; i++) {
        if (!(can & 1u << i))
            continue;
        buf_add_fmt(out, "%s%s", any ? ", " : "    can = {", conf_can_name[i]);
        any = true;
    }
    if (any)
        buf_add_fmt(out, "}\n");
}

static int
tier_order(const void *a, const void *b)
{
    const struct import_tier *x = a, *y = b;

    return (x->above_tokens > y->above_tokens) - (x->above_tokens < y->above_tokens);
}

static void
entry_write(struct buf *out, struct import_entry *entry)
{
    buf_add_fmt(out, "model \"%.*s\" {\n", STR_ARGS(entry->name));
    if (!entry->embedding)
        family_write(out, entry->name);
    prices_write(out, &entry->prices, "    ");
    if (entry->context_tokens > 0)
        buf_add_fmt(out, "    context = %llu\n", (unsigned long long)entry->context_tokens);
    if (entry->output_tokens_max > 0)
        buf_add_fmt(out, "    max-output = %llu\n", (unsigned long long)entry->output_tokens_max);
    can_write(out, entry->can);
    if (entry->source.ptr != NULL)
        buf_add_fmt(out, "    source = \"%.*s\"\n", STR_ARGS(entry->source));
    qsort(entry->tiers, entry->tier_count, sizeof(*entry->tiers), tier_order);
    for (size_t i = 0; i < entry->tier_count; i++) {
        unsigned long long above = entry->tiers[i].above_tokens;

        buf_add_fmt(out, "    tier \"above-%llu\" {\n        above = %llu\n", above, above);
        prices_write(out, &entry->tiers[i].prices, "        ");
        buf_add_fmt(out, "    }\n");
    }
    for (int i = 0; i < IMPORT_SERVICE_COUNT; i++) {
        if (entry->services[i].have == 0)
            continue;
        buf_add_fmt(out, "    service \"%s\" {\n", import_service_name[i]);
        prices_write(out, &entry->services[i], "        ");
        buf_add_fmt(out, "    }\n");
    }
    buf_add_fmt(out, "}\n");
}

/* ---- what is taken --------------------------------------------------------------------------- */

static void
note(struct import *import, const struct import_entry *entry, bool taken, const char *why)
{
    jw_object(&import->jw);
    jw_key_str(&import->jw, "model", entry->key.ptr != NULL ? entry->key : STR("?"));
    jw_key_bool(&import->jw, "taken", taken);
    jw_key_cstr(&import->jw, "why", why);
    jw_object_end(&import->jw);
}

/* Only such bytes get between the quotes of models.conf. */
static bool
only_has(struct str s, const char *also)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') &&
            (c == '\0' || strchr(also, c) == NULL))
            return false;
    }
    return s.len > 0;
}

static bool
is_taken_already(const struct import *import, struct str name)
{
    for (size_t i = 0; i < import->name_count; i++)
        if (str_eq(import->names[i], name))
            return true;
    return false;
}

/* What makes no sense to state, and what conf/ would not take for reasons of text. */
static bool
entry_fits(const struct import *import, struct import_entry *entry)
{
    if (!only_has(entry->name, "._-:/@+"))
        return import_refuse(entry, "a name has letters, digits and . _ - : / @ + only");
    if (entry->name.len > CONF_MODEL_NAME_LEN_MAX)
        return import_refuse(entry, "the name is too long: at most %d bytes",
                             CONF_MODEL_NAME_LEN_MAX);
    if (!(entry->prices.have & 1u << IMPORT_INPUT))
        return import_refuse(entry, "no price of input is stated");
    if (entry->embedding && !(entry->prices.have & 1u << IMPORT_OUTPUT)) {
        entry->prices.u[IMPORT_OUTPUT] = 0; /* there is no output */
        entry->prices.have |= 1u << IMPORT_OUTPUT;
    }
    if (!(entry->prices.have & 1u << IMPORT_OUTPUT))
        return import_refuse(entry, "no price of output is stated");
    if (is_taken_already(import, entry->name))
        return import_refuse(entry, "a model of this name was taken already");
    if (import->name_count == CONF_MODEL_COUNT_MAX)
        return import_refuse(entry, "too many models: at most %d", CONF_MODEL_COUNT_MAX);
    return true;
}

/* Leaves out what would make conf/ refuse the rest. */
static void
entry_trim(struct import_entry *entry)
{
    if (entry->output_tokens_max > entry->context_tokens && entry->context_tokens > 0) {
        entry->output_tokens_max = 0;
        import_untaken(entry, STR("a cap of output beyond the context"));
    }
    /* What a service states would stand for calls of any context. */
    for (int i = 0; i < IMPORT_SERVICE_COUNT && entry->tier_count > 0; i++)
        if (entry->services[i].have != 0) {
            entry->services[i].have = 0;
            import_untaken(entry, str_from(import_service_name[i]));
        }
    if (entry->source.ptr != NULL &&
        (entry->source.len > 512 || !only_has(entry->source, ":/._~%?&=#+-") ||
         (!str_starts_with(entry->source, STR("https://")) &&
          !str_starts_with(entry->source, STR("http://"))))) {
        entry->source = STR_NONE;
        import_untaken(entry, STR("source"));
    }
}

/* conf/ has the last word: what it does not take by itself is refused with its reason. */
static bool
entry_passes(struct str text, struct import_entry *entry)
{
    struct conf_faults faults;
    struct conf *conf = conf_load_text(text, "import", &faults);
    bool fine = conf != NULL;

    for (size_t i = 0; i < faults.count && !fine; i++)
        if (!faults.at[i].warning) {
            import_refuse(entry, "%s", faults.at[i].message);
            break;
        }
    conf_faults_free(&faults);
    conf_free(&conf);
    return fine;
}

static bool
keep_name(struct import *import, struct str name)
{
    if (import->name_count % 64 == 0) {
        struct str *grown =
            realloc(import->names, (import->name_count + 64) * sizeof(*import->names));

        if (grown == NULL)
            return false;
        import->names = grown;
    }
    import->names[import->name_count++] = name;
    return true;
}

/* False only when there is no memory or no room. */
static bool
entry_keep(struct import *import, struct import_entry *entry)
{
    size_t mark = import->text.len;
    bool fine = entry_fits(import, entry);

    if (fine) {
        entry_trim(entry);
        entry_write(&import->text, entry);
        if (import->text.failed)
            return false;
        fine = entry_passes((struct str){import->text.ptr + mark, import->text.len - mark}, entry);
    }
    if (!fine) {
        import->text.len = mark;
        import->refused++;
        note(import, entry, false, entry->why);
        return true;
    }
    import->taken++;
    if (entry->untaken[0] != '\0') {
        char why[IMPORT_UNTAKEN_LEN + 64];

        snprintf(why, sizeof(why), "taken without: %s", entry->untaken);
        note(import, entry, true, why);
    }
    return keep_name(import, entry->name);
}

/* ---- the list -------------------------------------------------------------------------------- */

static enum import_format
format_of(struct js_value list)
{
    struct js_value key, value;
    struct js_iter it;

    if (js_is(list, JS_ARRAY) || js_is(js_get(list, STR("data")), JS_ARRAY))
        return IMPORT_OPENROUTER;
    for (js_iter_init(&it, list); js_next(&it, &key, &value);)
        if (js_is(js_get(value, STR("litellm_provider")), JS_STRING))
            return IMPORT_LITELLM;
    return IMPORT_ANY;
}

static bool
read_entry(struct import *import, struct js_value key, struct js_value value)
{
    struct import_entry entry = {0};
    bool fine = import->format == IMPORT_LITELLM ? import_litellm(import, key, value, &entry)
                                                 : import_openrouter(import, value, &entry);

    if (!fine && entry.why[0] == '\0')
        return true; /* not asked for */
    if (fine)
        return entry_keep(import, &entry);
    import->refused++;
    note(import, &entry, false, entry.why);
    return true;
}

const char *
import_run(struct import *import, struct str json)
{
    struct js_value list, key, value;
    enum import_format found;
    struct js_error err;
    struct js_iter it;

    if (!js_check(json, &list, &err))
        return "it is not JSON";
    found = format_of(list);
    if (import->format == IMPORT_ANY)
        import->format = found;
    if (import->format == IMPORT_ANY)
        return "it is neither LiteLLM's price list nor OpenRouter's list of models";
    if (import->format != found)
        return "it is not a list of that format";
    jw_init(&import->jw, &import->notes);
    jw_array(&import->jw);
    if (import->format == IMPORT_OPENROUTER && js_is(list, JS_OBJECT))
        list = js_get(list, STR("data"));
    for (js_iter_init(&it, list); js_next(&it, &key, &value);)
        if (!read_entry(import, key, value))
            return "it is too large";
    jw_array_end(&import->jw);
    return import->notes.failed || import->text.failed ? "it is too large" : NULL;
}

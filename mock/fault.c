/* The table of faults, and where they come from: defaults, the model's name, the body. */
#include "mock/sim.h"

#include "base/hash.h"
#include "base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fault_key {
    const char *name;
    const char *const *choices; /* words for 1, 2, …; NULL: a number */
    bool is_id;                 /* any text: hashed */
    bool is_text;               /* any text: kept */
    bool plain;                 /* the bytes of a whole answer stay the same every time */
};

static const char *const cut_choices[] = {"fin", "rst", NULL};
static const char *const head_choices[] = {"half", "whole", NULL};
static const char *const garbage_choices[] = {"body", "head", NULL};
static const char *const bad_choices[] = {"negative", "string", "fraction", "huge",
                                          "partial",  "object", NULL};

const char *const service_names[] = {"default",  "standard", "flex", "priority",
                                     "batch",    "scale",    NULL};

static const struct fault_key keys[FAULT_COUNT] = {
    [F_WORDS] = {.name = "words", .plain = true},
    [F_PAD] = {.name = "pad", .plain = true},
    [F_DELAY] = {.name = "delay"},
    [F_GAP] = {.name = "gap", .plain = true},
    [F_BATCH] = {.name = "batch", .plain = true},
    [F_INPUT_TOKENS] = {.name = "input-tokens", .plain = true},
    [F_OUTPUT_TOKENS] = {.name = "output-tokens", .plain = true},
    [F_CACHED] = {.name = "cached", .plain = true},
    [F_CACHE5M] = {.name = "cache5m", .plain = true},
    [F_CACHE1H] = {.name = "cache1h", .plain = true},
    [F_REASONING] = {.name = "reasoning", .plain = true},
    [F_HIDE_REASONING] = {.name = "hide-reasoning", .plain = true},
    [F_AUDIO_IN] = {.name = "audio-in", .plain = true},
    [F_IMAGE_IN] = {.name = "image-in", .plain = true},
    [F_AUDIO_OUT] = {.name = "audio-out", .plain = true},
    [F_IMAGE_OUT] = {.name = "image-out", .plain = true},
    [F_IMAGES] = {.name = "images", .plain = true},
    [F_SECONDS] = {.name = "seconds", .plain = true},
    [F_CHARACTERS] = {.name = "characters", .plain = true},
    [F_SEARCHES] = {.name = "searches", .plain = true},
    [F_SERVICE] = {.name = "service", .choices = service_names, .plain = true},
    [F_TOTAL] = {.name = "total", .plain = true},
    [F_TOOLS] = {.name = "tools", .plain = true},
    [F_STAMP] = {.name = "stamp"},
    [F_CHUNKED] = {.name = "chunked"},
    [F_UNTIL_CLOSE] = {.name = "until-close"},
    [F_CLOSE] = {.name = "close"},
    [F_CLOSE_AFTER] = {.name = "close-after"},
    [F_COMMENTS] = {.name = "comments"},
    [F_PINGS] = {.name = "pings"},
    [F_CRLF] = {.name = "crlf"},
    [F_CR] = {.name = "cr"},
    [F_BOM] = {.name = "bom"},
    [F_MULTI_LINE] = {.name = "multi-line"},
    [F_NO_SPACE] = {.name = "no-space"},
    [F_DRIP] = {.name = "drip"},
    [F_SPLIT_UTF8] = {.name = "split-utf8"},
    [F_SET_COOKIE] = {.name = "set-cookie"},
    [F_HUGE_LINE] = {.name = "huge-line"},
    [F_USAGE_EVERY_CHUNK] = {.name = "usage-every-chunk"},
    [F_USAGE_ON_FINISH] = {.name = "usage-on-finish"},
    [F_TEXT] = {.name = "text", .is_text = true, .plain = true},
    [F_FINISH] = {.name = "finish", .is_text = true, .plain = true},
    [F_REDACTED] = {.name = "redacted", .plain = true},
    [F_REASONING_FIELD] = {.name = "reasoning-field", .is_text = true, .plain = true},
    [F_INTERLEAVE] = {.name = "interleave", .plain = true},
    [F_WHOLE_CALLS] = {.name = "whole-calls", .plain = true},
    [F_NO_INDEX] = {.name = "no-index", .plain = true},
    [F_STOP_WITH_CALLS] = {.name = "stop-with-calls", .plain = true},
    [F_LENIENT] = {.name = "lenient", .plain = true},
    [F_TOOL] = {.name = "tool", .is_text = true, .plain = true},
    [F_ARGS] = {.name = "args", .is_text = true, .plain = true},
    [F_WHOLE] = {.name = "whole"},
    [F_STREAMED] = {.name = "streamed"},
    [F_STATUS] = {.name = "status"},
    [F_RETRY_AFTER] = {.name = "retry-after"},
    [F_QUOTA] = {.name = "quota"},
    [F_TOO_LONG] = {.name = "too-long"},
    [F_HANGUP] = {.name = "hangup"},
    [F_CUT] = {.name = "cut"},
    [F_CUT_HOW] = {.name = "cut-how", .choices = cut_choices},
    [F_CUT_CLEAN] = {.name = "cut-clean"},
    [F_CUT_HEAD] = {.name = "cut-head", .choices = head_choices},
    [F_STALL] = {.name = "stall"},
    [F_NO_DONE] = {.name = "no-done"},
    [F_NO_USAGE] = {.name = "no-usage"},
    [F_ZERO_USAGE] = {.name = "zero-usage"},
    [F_NULL_USAGE] = {.name = "null-usage"},
    [F_BAD_USAGE] = {.name = "bad-usage", .choices = bad_choices},
    [F_GARBAGE] = {.name = "garbage", .choices = garbage_choices},
    [F_ENDLESS_HEADERS] = {.name = "endless-headers"},
    [F_ENDLESS_1XX] = {.name = "endless-1xx"},
    [F_ENDLESS_LINE] = {.name = "endless-line"},
    [F_REDIRECT] = {.name = "redirect"},
    [F_GZIP] = {.name = "gzip"},
    [F_HTML] = {.name = "html"},
    [F_EMPTY] = {.name = "empty"},
    [F_ERROR_IN_200] = {.name = "error-in-200"},
    [F_ERROR_FIRST] = {.name = "error-first"},
    [F_ERROR_MID] = {.name = "error-mid"},
    [F_BAD_EVENT] = {.name = "bad-event"},
    [F_OTHER_MODEL] = {.name = "other-model"},
    [F_EARLY_END] = {.name = "early-end"},
    [F_EXTRA_BYTES] = {.name = "extra-bytes"},
    [F_ECHO_AUTH] = {.name = "echo-auth"},
    [F_BLOCKED] = {.name = "blocked"},
    [F_TIMES] = {.name = "times"},
    [F_ID] = {.name = "id", .is_id = true},
};

static struct faults defaults;
static uint64_t defaults_left;

/* id → how often it has failed. Full: the oldest entries make room, one after the other. */
#define TIMES_COUNT 4096u
static struct {
    int32_t id;
    uint32_t count;
} times_seen[TIMES_COUNT];
static uint32_t times_used;

void
faults_clear(struct faults *f)
{
    for (size_t i = 0; i < FAULT_COUNT; i++)
        f->value[i] = FAULT_ABSENT;
}

/* cut_clean and cut-clean are the same key. */
static bool
name_matches(const char *name, struct str given)
{
    if (strlen(name) != given.len)
        return false;
    for (size_t i = 0; i < given.len; i++)
        if (name[i] != (given.ptr[i] == '_' ? '-' : given.ptr[i]))
            return false;
    return true;
}

static int
key_find(struct str given)
{
    for (int i = 0; i < FAULT_COUNT; i++)
        if (name_matches(keys[i].name, given))
            return i;
    return -1;
}

/* ---- texts ---- */

/* What text faults hold is a number of one of these: kept once and for ever, as tests use few. */
#define TEXTS_MAX 4096
static struct str texts[TEXTS_MAX];
static size_t text_count;

struct str
fault_text(const struct faults *f, enum fault key)
{
    return texts[f->value[key]];
}

static bool
text_keep(struct str text, int32_t *out)
{
    size_t i = 0;

    while (i < text_count && !str_eq(texts[i], text))
        i++;
    if (i == TEXTS_MAX)
        return false;
    if (i == text_count)
        texts[text_count++] = (struct str){copy_of(text), text.len};
    *out = (int32_t)i;
    return true;
}

/* In a model's name %XX stands for a byte, in JSON an escape for what it does. */
static bool
text_read(struct str text, bool percent, int32_t *out)
{
    struct js_value value = {.type = JS_STRING, .escaped = true, .raw = text};
    char *memory = malloc(text.len + 1);
    size_t len = 0;
    bool good = true;

    ASSERT(memory != NULL);
    if (!percent) {
        good = text_keep(js_unescape(value, memory, text.len), out);
        free(memory);
        return good;
    }
    for (size_t i = 0; good && i < text.len; i++) {
        uint8_t c = (uint8_t)text.ptr[i];

        if (c == '%') {
            good = text.len - i >= 3 && str_unhex((struct str){text.ptr + i + 1, 2}, &c, 1);
            i += 2;
        }
        memory[len++] = (char)c;
    }
    good = good && text_keep((struct str){memory, len}, out);
    free(memory);
    return good;
}

/* A value in text: digits, true, false, or one of the key's words. */
static bool
value_read(const struct fault_key *key, struct str text, bool percent, int32_t *out)
{
    uint64_t n;

    if (key->is_text)
        return text_read(text, percent, out);
    if (key->is_id) {
        *out = (int32_t)(hash_u64(text.ptr, text.len) & INT32_MAX);
        return true;
    }
    if (str_to_count(text, INT32_MAX, &n)) {
        *out = (int32_t)n;
        return true;
    }
    if (str_eq(text, STR("true")) || str_eq(text, STR("false"))) {
        *out = text.len == 4;
        return true;
    }
    for (int i = 0; key->choices != NULL && key->choices[i] != NULL; i++)
        if (str_eq(text, str_from(key->choices[i]))) {
            *out = i + 1;
            return true;
        }
    return false;
}

static bool
one_read(struct faults *f, struct str name, struct str text, bool percent, char *why, size_t cap)
{
    int i = key_find(name);

    if (i < 0) {
        snprintf(why, cap, "sim: unknown fault '%.*s'", (int)MIN(name.len, 40), name.ptr);
        return false;
    }
    if (!value_read(&keys[i], text, percent, &f->value[i])) {
        snprintf(why, cap, "sim: bad value of '%s'", keys[i].name);
        return false;
    }
    return true;
}

bool
faults_read_object(struct faults *f, struct js_value object, char *why, size_t cap)
{
    struct js_iter it;
    struct js_value key, value;

    if (!js_is(object, JS_OBJECT)) {
        snprintf(why, cap, "sim: the faults must be an object");
        return false;
    }
    for (js_iter_init(&it, object); js_next(&it, &key, &value);)
        if (!js_is(value, JS_NULL) && !one_read(f, key.raw, value.raw, false, why, cap))
            return false;
    return true;
}

bool
faults_read_suffix(struct faults *f, struct str model, char *why, size_t cap)
{
    struct str rest, part, value;

    (void)str_split(model, '+', &rest);
    while (rest.ptr != NULL) {
        part = str_split(rest, '+', &rest);
        struct str name = str_split(part, '=', &value);
        /* A name alone is true. */
        if (!one_read(f, name, value.ptr == NULL ? STR("1") : value, true, why, cap))
            return false;
    }
    return true;
}

void
faults_overlay(struct faults *f, const struct faults *over)
{
    for (size_t i = 0; i < FAULT_COUNT; i++)
        if (over->value[i] != FAULT_ABSENT)
            f->value[i] = over->value[i];
}

bool
faults_any(const struct faults *f)
{
    for (size_t i = 0; i < FAULT_COUNT; i++)
        if (f->value[i] != FAULT_ABSENT)
            return true;
    return false;
}

bool
faults_only_plain(const struct faults *f)
{
    for (size_t i = 0; i < FAULT_COUNT; i++)
        if (f->value[i] != FAULT_ABSENT && !keys[i].plain)
            return false;
    return true;
}

void
faults_count_times(struct faults *f)
{
    if (!fault_set(f, F_TIMES))
        return;
    int32_t id = f->value[F_ID];
    uint32_t i;

    for (i = 0; i < MIN(times_used, TIMES_COUNT); i++)
        if (times_seen[i].id == id)
            break;
    if (i == MIN(times_used, TIMES_COUNT)) {
        i = times_used++ % TIMES_COUNT;
        times_seen[i].id = id;
        times_seen[i].count = 0;
    }
    if (times_seen[i].count < (uint32_t)f->value[F_TIMES]) {
        times_seen[i].count++;
        return;
    }
    for (int k = F_SHAPE_COUNT; k < FAULT_COUNT; k++)
        f->value[k] = FAULT_ABSENT;
}

void
faults_forget_times(void)
{
    times_used = 0;
}

void
faults_default_set(const struct faults *f, uint64_t next_calls)
{
    defaults = *f;
    defaults_left = next_calls;
}

void
faults_default_take(struct faults *f)
{
    faults_clear(f);
    if (defaults_left == 0)
        return;
    *f = defaults;
    if (defaults_left != UINT64_MAX)
        defaults_left--;
}

bool
faults_default_active(void)
{
    return defaults_left != 0;
}

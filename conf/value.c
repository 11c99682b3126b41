#include "conf/value.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/utf8.h"
#include "conf/load.h"

#define SHOWN_LEN_MAX 40

struct unit {
    const char *name;
    uint64_t factor;
};
/* Largest last, so that value_text() finds the one a person would take. */
static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}};
static const struct unit age_units[] = {
    {"s", 1000}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}, {"d", 24 * 60 * 60 * 1000}};
static const struct unit size_units[] = {{"", 1}, {"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}};

static bool PRINTF_LIKE(2, 3) refuse(struct value_why *why, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(why->text, sizeof(why->text), fmt, args);
    va_end(args);
    return false;
}

/* A value as messages show it: cut when long. */
#define SHOWN(s) (int)MIN((s).len, (size_t)SHOWN_LEN_MAX), (s).ptr

static bool
bounded(const struct conf_key *key, struct str text, uint64_t number, struct value_why *why)
{
    struct value_why bound;

    if (number < key->min)
        return refuse(why, "%.*s is too small: at least %s", SHOWN(text),
                      value_text(key, key->min, &bound));
    if (number > key->max)
        return refuse(why, "%.*s is too large: at most %s", SHOWN(text),
                      value_text(key, key->max, &bound));
    return true;
}

/* Splits at the first byte that is not a digit. */
static struct str
digits_of(struct str text, struct str *rest)
{
    size_t len = 0;

    while (len < text.len && text.ptr[len] >= '0' && text.ptr[len] <= '9')
        len++;
    *rest = (struct str){text.ptr + len, text.len - len};
    return (struct str){text.ptr, len};
}

_Static_assert(COUNT_OF(age_units) == COUNT_OF(size_units) &&
                   COUNT_OF(duration_units) == COUNT_OF(size_units),
               "value_text() takes them alike");

static bool
is_negative(struct str text)
{
    struct str rest, digits;

    if (text.len < 2 || text.ptr[0] != '-')
        return false;
    digits = digits_of((struct str){text.ptr + 1, text.len - 1}, &rest);
    return digits.len > 0;
}

static bool
negative(const struct conf_key *key, struct str text, struct value_why *why)
{
    struct value_why bound;

    return refuse(why, "%.*s is negative; at least %s", SHOWN(text),
                  value_text(key, key->min, &bound));
}

static bool
not_one(const struct conf_key *key, struct str text, const char *form, struct value_why *why)
{
    const char *name = conf_type_name[key->type];

    return refuse(why, "\"%.*s\" is not %s %s; write %s", SHOWN(text),
                  strchr("aeiou", name[0]) != NULL ? "an" : "a", name, form);
}

static bool
with_unit(const struct conf_key *key, struct str text, const struct unit *units, size_t unit_count,
          const char *form, uint64_t *out, struct value_why *why)
{
    struct str rest, digits = digits_of(text, &rest);
    uint64_t number;

    if (is_negative(text))
        return negative(key, text, why);
    if (digits.len == 0)
        return not_one(key, text, form, why);
    for (size_t i = 0; i < unit_count; i++) {
        if (!str_eq(rest, str_from(units[i].name)))
            continue;
        if (!str_to_u64(digits, &number) ||
            __builtin_mul_overflow(number, units[i].factor, &number))
            number = UINT64_MAX;
        *out = number;
        return bounded(key, text, number, why);
    }
    return not_one(key, text, form, why);
}

/* Units of 10^-decimals, in which its bounds are, too. */
static bool
decimal(const struct conf_key *key, unsigned decimals, struct str text, uint64_t *out,
        struct value_why *why)
{
    struct str rest, whole = digits_of(text, &rest), fraction = STR_NONE;
    const char *most = decimals == 6 ? "six" : "twelve";
    uint64_t number, part = 0, unit = 1;

    if (is_negative(text))
        return negative(key, text, why);
    if (rest.len > 1 && rest.ptr[0] == '.')
        fraction = digits_of((struct str){rest.ptr + 1, rest.len - 1}, &rest);
    if (whole.len == 0 || rest.len > 0)
        return refuse(why,
                      "\"%.*s\" is not a %s; write digits with at most %s decimals, "
                      "such as 3.75",
                      SHOWN(text), conf_type_name[key->type], most);
    if (fraction.len > decimals)
        return refuse(why, "%.*s is too precise: at most %s decimals", SHOWN(text), most);
    for (size_t i = 0; i < decimals; i++) {
        part = part * 10 + (i < fraction.len ? (uint64_t)(fraction.ptr[i] - '0') : 0);
        unit *= 10;
    }
    if (!str_to_u64(whole, &number) || __builtin_mul_overflow(number, unit, &number) ||
        __builtin_add_overflow(number, part, &number))
        number = UINT64_MAX;
    *out = number;
    return bounded(key, text, number, why);
}

static bool
count(const struct conf_key *key, struct str text, uint64_t *out, struct value_why *why)
{
    struct str rest, digits = digits_of(text, &rest);

    if (is_negative(text))
        return negative(key, text, why);
    if (digits.len == 0 || rest.len > 0)
        return refuse(why, "\"%.*s\" is not a number; write digits", SHOWN(text));
    if (!str_to_u64(digits, out))
        *out = UINT64_MAX;
    return bounded(key, text, *out, why);
}

static bool
truth(struct str text, uint64_t *out, struct value_why *why)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};

    for (size_t i = 0; i < COUNT_OF(words); i++)
        if (str_eq_nocase(text, str_from(words[i]))) {
            *out = i % 2;
            return true;
        }
    return refuse(why, "\"%.*s\" is neither true nor false", SHOWN(text));
}

static bool
word(const struct conf_key *key, struct str text, uint64_t *out, struct value_why *why)
{
    struct nearest nearest = {STR_NONE, 0};
    char all[160];
    size_t len = 0;

    all[0] = '\0';
    for (size_t i = 0; i < key->word_count; i++) {
        if (str_eq(text, str_from(key->words[i]))) {
            *out = i;
            return true;
        }
        nearest_try(&nearest, text, str_from(key->words[i]));
        len += (size_t)snprintf(all + len, sizeof(all) - len, " %s", key->words[i]);
        ASSERT(len < sizeof(all));
    }
    return refuse(why, "\"%.*s\" is none of%s%s", SHOWN(text), all, nearest_hint(&nearest));
}

bool
value_number(const struct conf_key *key, struct str text, uint64_t *out, struct value_why *why)
{
    switch (key->type) {
    case CONF_T_BOOL: return truth(text, out, why);
    case CONF_T_UINT: return count(key, text, out, why);
    case CONF_T_SIZE:
        return with_unit(key, text, size_units, COUNT_OF(size_units),
                         "digits and k, m or g, such as 32m", out, why);
    case CONF_T_DURATION:
        return with_unit(key, text, duration_units, COUNT_OF(duration_units),
                         "digits and ms, s, m or h, such as 30s", out, why);
    case CONF_T_AGE:
        return with_unit(key, text, age_units, COUNT_OF(age_units),
                         "digits and s, m, h or d, such as 90d", out, why);
    case CONF_T_DECIMAL:
    case CONF_T_PRICE: return decimal(key, 6, text, out, why);
    case CONF_T_EACH: return decimal(key, 12, text, out, why);
    case CONF_T_WORD:
    case CONF_T_BITS: return word(key, text, out, why);
    case CONF_T_STRING:
    case CONF_T_STRINGS:
    case CONF_TYPE_COUNT: break;
    }
    ASSERT(!"a type of number");
    return false;
}

/* UTF-8 without control characters, of either kind. */
static bool
is_plain_utf8(struct str text)
{
    for (size_t i = 0, len; i < text.len; i += len) {
        unsigned char c = (unsigned char)text.ptr[i];

        len = utf8_sequence(text.ptr + i, text.len - i);
        if (len == 0 || c < 0x20 || c == 0x7f ||
            (c == 0xc2 && (unsigned char)text.ptr[i + 1] < 0xa0))
            return false;
    }
    return true;
}

bool
value_string(const struct conf_key *key, struct str text, struct value_why *why)
{
    if (text.len < key->min)
        return refuse(why, "the value is empty");
    if (text.len > key->max)
        return refuse(why, "\"%.*s...\" is too long: at most %" PRIu64 " bytes", SHOWN(text),
                      key->max);
    if (!is_plain_utf8(text))
        return refuse(why, "the value holds control characters or is not UTF-8");
    return true;
}

bool
value_name(struct str text, size_t len_max, const char *also, struct value_why *why)
{
    if (text.len == 0)
        return refuse(why, "the name is empty");
    if (text.len > len_max)
        return refuse(why, "the name is too long: at most %zu bytes", len_max);
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool fine = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
                    (c != '\0' && (strchr("._-", c) != NULL || strchr(also, c) != NULL));

        if (!fine)
            return refuse(why, "a name has letters, digits and %s only",
                          also[0] == '\0' ? ". _ -" : ". _ - : / @ +");
    }
    return true;
}

static void
decimal_text(uint64_t number, int decimals, struct value_why *text)
{
    uint64_t unit = decimals == 6 ? CONF_MICRO : CONF_WEIGHT_ONE;
    size_t len = (size_t)snprintf(text->text, sizeof(text->text), "%" PRIu64 ".%0*" PRIu64,
                                  number / unit, decimals, number % unit);

    while (text->text[len - 1] == '0')
        text->text[--len] = '\0';
    if (text->text[len - 1] == '.')
        text->text[--len] = '\0';
}

const char *
value_text(const struct conf_key *key, uint64_t number, struct value_why *text)
{
    const struct unit *units = key->type == CONF_T_SIZE  ? size_units
                               : key->type == CONF_T_AGE ? age_units
                                                         : duration_units;
    size_t unit = 0;

    switch (key->type) {
    case CONF_T_SIZE:
    case CONF_T_AGE:
    case CONF_T_DURATION:
        while (number > 0 && unit + 1 < COUNT_OF(size_units) &&
               number % units[unit + 1].factor == 0)
            unit++;
        snprintf(text->text, sizeof(text->text), "%" PRIu64 "%s", number / units[unit].factor,
                 units[unit].name);
        break;
    case CONF_T_DECIMAL:
    case CONF_T_PRICE: decimal_text(number, 6, text); break;
    case CONF_T_EACH: decimal_text(number, 12, text); break;
    case CONF_T_STRING:
    case CONF_T_STRINGS:
    case CONF_T_BOOL:
    case CONF_T_UINT:
    case CONF_T_WORD:
    case CONF_T_BITS:
    case CONF_TYPE_COUNT: snprintf(text->text, sizeof(text->text), "%" PRIu64, number); break;
    }
    return text->text;
}

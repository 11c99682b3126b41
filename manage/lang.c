#include "manage/lang.h"

#include "base/str.h"

const char *const lang_name[] = {[LANG_EN] = "en", [LANG_ZH] = "zh-CN"};
_Static_assert(COUNT_OF(lang_name) == LANG_COUNT, "a new language needs a name");

/* In thousandths; what is malformed is 1000, as if it was not there. */
static unsigned
quality(struct str params)
{
    unsigned value = 0, unit = 1000;
    struct str text;
    size_t at;

    text = str_trim(params);
    if (!str_starts_with(text, STR("q=")) || text.len < 3)
        return 1000;
    at = 2;
    if (text.ptr[at] == '1')
        return 1000;
    if (text.ptr[at] != '0')
        return 1000;
    for (at += 2; at < text.len && unit > 1 && text.ptr[at] >= '0' && text.ptr[at] <= '9'; at++) {
        unit /= 10;
        value += (unsigned)(text.ptr[at] - '0') * unit;
    }
    return value;
}

static bool
names(struct str tag, struct str language)
{
    struct str primary = {tag.ptr, MIN(str_find(tag, '-', 0), str_find(tag, '_', 0))};

    return str_eq_nocase(primary, language);
}

enum lang
lang_of(struct str accept_language)
{
    enum lang best = LANG_EN;
    unsigned best_quality = 0;
    struct str rest = accept_language;

    while (rest.ptr != NULL && rest.len > 0) {
        struct str params = STR_NONE, tag = str_trim(str_split(str_split(rest, ',', &rest), ';', &params));
        unsigned q = params.ptr != NULL ? quality(params) : 1000;
        bool zh = names(tag, STR("zh"));

        if (!zh && !names(tag, STR("en")) && !str_eq(tag, STR("*")))
            continue;
        if (q > best_quality) {
            best = zh ? LANG_ZH : LANG_EN;
            best_quality = q;
        }
    }
    return best;
}

enum lang
lang_of_name(struct str name)
{
    return name.ptr != NULL && names(name, STR("zh")) ? LANG_ZH : LANG_EN;
}

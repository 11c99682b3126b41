/*
 * JSON reader over bytes in memory: no tree, no copy, no allocation, no recursion.
 *
 * A cursor walks values in place. Strings come as the raw bytes between the quotes (with
 * their escapes); js_unescape() turns them into UTF-8 when somebody needs to read them. The
 * whole of what is walked is checked against RFC 8259: UTF-8 and \u escapes valid (lone
 * surrogates refused), control characters refused, numbers in grammar, nothing after the
 * value for js_check(). Nesting deeper than JS_DEPTH_MAX is an error.
 *
 * Fast paths must stay cheap: finding the top-level keys of a 20 KB body is about a memchr
 * per string, since js_next() jumps over values without looking at what they mean.
 */
#ifndef BASE_JS_H
#define BASE_JS_H

#include "base/base.h"

#define JS_DEPTH_MAX 64

enum js_type {
    JS_NONE = 0, /* no value: absent, or the reader failed */
    JS_NULL,
    JS_FALSE,
    JS_TRUE,
    JS_NUMBER,
    JS_STRING,
    JS_ARRAY,
    JS_OBJECT,
};

/* A value's place in the text. For a string raw is what stands between the quotes; for all
 * others raw is the whole text of the value, brackets included. */
struct js_value {
    enum js_type type;
    bool escaped; /* string: raw holds at least one backslash */
    struct str raw;
};

struct js_error {
    const char *what; /* static text: "unexpected end", "expected ':'", …; NULL when none */
    size_t offset;    /* of the byte that was wrong */
};
/* The text of the fault that is none of the grammar's: more than JS_DEPTH_MAX. */
extern const char js_too_deep[];

/* Line and column (from 1, in bytes) of an offset in text: for messages. */
void js_position(struct str text, size_t offset, unsigned *line, unsigned *column);

struct js_members;
/*
 * Checks the whole text as one JSON value with optional white space around it, and gives
 * that value. False with *err on any fault.
 */
bool MUST_CHECK js_check(struct str text, struct js_value *out, struct js_error *err);

/* The same for text of those who are not to be taught: lone surrogates pass, which models write now
 * and then when a stream cuts a character in two. As text (js_unescape()) each is U+FFFD. */
bool MUST_CHECK js_check_lenient(struct str text, struct js_value *out, struct js_members *members,
                                 struct js_error *err);

/*
 * The same, and when the value is an object also its members (none, when it is something else), at
 * next to no price: for those who need several of them. members may be NULL.
 */
bool MUST_CHECK js_check_members(struct str text, struct js_value *out, struct js_members *members,
                                 struct js_error *err);

/*
 * Where long containers and strings end, noted as the check comes by, for those who walk all of a large
 * text: a walk over an object steps over what it holds, and a walk over that does so again, so that
 * what lies deep is read as often as it is deep. With the index in use such a step is one look-up.
 *
 *     struct js_index index = {.slots = room, .slot_count = js_index_slots(text.len)};
 *     js_check_index(text, &value, &index, &err);
 *     js_index_use(&index);
 *     … js_next() over what lies in text, on this thread …
 *     js_index_use(NULL);
 *
 * Values of other texts are walked as ever.
 */
struct js_slot {
    uint32_t start;       /* offset of the first byte */
    uint32_t end : 31;    /* offset behind the last */
    uint32_t escaped : 1; /* a string with a backslash */
};
struct js_index {
    struct js_slot *slots; /* the caller's; in the order in which they start, which is how they are walked */
    size_t slot_count;
    size_t used;
    const char *text;
    size_t text_len;
};
/* How many slots are enough for a text of this length, unless it is nested as none is that has a sense:
 * what has no slot is walked as without an index. */
size_t js_index_slots(size_t text_len);
bool MUST_CHECK js_check_index(struct str text, struct js_value *out, struct js_index *index,
                               struct js_error *err);
/* NULL: none. The index and the text must stay while it is in use. */
void js_index_use(const struct js_index *index);

/*
 * Walks an object or array that js_check() (or an iterator) gave: never fails on checked text.
 *
 *     struct js_iter it;
 *     for (js_iter_init(&it, object); js_next(&it, &key, &value);)
 *
 * For arrays key is STR_NONE and it.index counts. Values of other types walk as empty.
 */
struct js_iter {
    const char *at, *end;
    bool is_object;
    uint32_t index; /* of the value given last, from 0 */
};
void js_iter_init(struct js_iter *it, struct js_value value);
bool js_next(struct js_iter *it, struct js_value *key, struct js_value *value);

/* An object's members in their order: the first ones listed, those for which the list is too short
 * by walking on with rest. */
#define JS_MEMBERS_MAX 24
struct js_member {
    struct js_value key, value;
};
struct js_members {
    size_t count; /* in the list */
    struct js_iter rest;
    struct js_member list[JS_MEMBERS_MAX];
};

/* The member called name (compared after unescaping), first one wins; type JS_NONE if absent or not
 * an object. */
struct js_value js_get(struct js_value object, struct str name);
/* A path of members: js_path(v, "usage", "prompt_tokens", NULL). */
struct js_value js_path(struct js_value object, const char *name, ...);

bool js_is(struct js_value value, enum js_type type);
/* The value is a JSON string equal to s after unescaping. */
bool js_str_eq(struct js_value value, struct str s);
/*
 * A string's text as UTF-8. When nothing is escaped: the raw bytes themselves, out untouched. Else
 * written to out (out_cap must be at least raw.len, or STR_NONE is given).
 */
struct str js_unescape(struct js_value value, char *out, size_t out_cap);
/* A number that is plain decimal digits, at most 10 of them, not above max. */
bool MUST_CHECK js_count(struct js_value value, uint64_t max, uint64_t *out);
bool MUST_CHECK js_i64(struct js_value value, int64_t *out); /* optional minus, digits only */
bool js_bool(struct js_value value, bool otherwise);

#endif

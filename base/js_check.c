/*
 * The check of JSON text: reads every byte once and knows the grammar. It keeps no tree: of the
 * containers it is in it remembers one bit each, object or array, which is all that is needed to
 * know what may follow. The members of the outermost object it notes as it comes by, since that
 * costs next to nothing here, and a second walk nearly as much as the check.
 *
 * Where the time goes: a short string is one look at 16 bytes, a long one a look at 64 at a time
 * (js_string.c); between strings there are a few bytes of punctuation, each of which is
 * one jump that repeats. So the main loop is one function that holds its place in registers,
 * and calls others only for what is rare or long.
 */
#include <string.h>

#include "base/js_checker.h"
#include "base/js_text.h"
#include "base/scan.h"
#include "base/str.h"

const char js_too_deep[] = "nested too deeply";

/* ---- strings ----------------------------------------------------------------------------- */

/* Behind the opening quote. */
static inline __attribute__((always_inline)) const char *
check_string(struct checker *c, const char *p)
{
    c->escaped = false;
#ifdef SCAN_SSE2
    if (LIKELY(c->end - p >= 16)) {
        unsigned hits = scan_bits_special(p);

        if (hits != 0 && LIKELY(p[__builtin_ctz(hits)] == '"'))
            return p + __builtin_ctz(hits) + 1;
    }
#endif
    return js_check_string_rest(c, p);
}

/* ---- other values ------------------------------------------------------------------------ */

static inline const char *
check_digits(struct checker *c, const char *p)
{
    const char *start = p;

    while (p < c->end && js_is_digit(*p))
        p++;
    return p > start ? p : fault_or_end(c, "invalid number", p);
}

static const char *
check_fraction(struct checker *c, const char *p)
{
    if (*p == '.') {
        p = check_digits(c, p + 1);
        if (p == NULL)
            return NULL;
    }
    if (p < c->end && (*p | 0x20) == 'e') {
        p++;
        if (p < c->end && (*p == '+' || *p == '-'))
            p++;
        return check_digits(c, p);
    }
    return p;
}

/* At the first digit. */
static inline const char *
check_number(struct checker *c, const char *p)
{
    if (p < c->end && *p == '0') {
        p++;
        if (p < c->end && js_is_digit(*p))
            return fault(c, "invalid number", p);
    } else {
        p = check_digits(c, p);
        if (p == NULL)
            return NULL;
    }
    if (p < c->end && (*p == '.' || (*p | 0x20) == 'e'))
        return check_fraction(c, p);
    return p;
}

static const char *
literal_fault(struct checker *c, const char *p, struct str word)
{
    size_t i = 0;

    while (p + i < c->end && p[i] == word.ptr[i])
        i++;
    return fault_or_end(c, "expected a value", p + i >= c->end ? c->end : p);
}

static inline const char *
check_literal(struct checker *c, const char *p, struct str word)
{
    if ((size_t)(c->end - p) < word.len || memcmp(p, word.ptr, word.len) != 0)
        return literal_fault(c, p, word);
    return p + word.len;
}

/* ---- the text ---------------------------------------------------------------------------- */

/* The member whose value ends at `to` is whole. */
static inline void
note_member(struct js_members *members, const char *to, bool escaped)
{
    struct js_value *value = &members->list[members->count++].value;
    const char *from = value->raw.ptr;

    value->type = js_type_of(*from);
    value->escaped = value->type == JS_STRING && escaped;
    value->raw = value->type == JS_STRING ? js_between(from + 1, to - 1) : js_between(from, to);
}

/* Where in the tree we are. Lives in registers: all that it is handed to is inlined. */
struct nest {
    uint64_t objects; /* the containers we are in, the innermost in the lowest bit: 1 an object */
    unsigned depth;
    unsigned note_depth; /* members are noted while depth is this; 0: none are */
    struct js_members *members;
};
_Static_assert(JS_DEPTH_MAX <= 64, "one bit a level");

static inline bool
in_object(const struct nest *nest)
{
    return (nest->objects & 1) != 0;
}

static inline char
closing(const struct nest *nest)
{
    return in_object(nest) ? '}' : ']';
}

static inline void
nest_enter(struct nest *nest, bool object)
{
    nest->objects = nest->objects << 1 | object;
    if (nest->depth++ == 0 && object && nest->members != NULL)
        nest->note_depth = 1;
}

/* Behind a member's value. */
static inline void
nest_note(struct checker *c, struct nest *nest, const char *p)
{
    struct js_members *members = nest->members;

    if (nest->depth != nest->note_depth)
        return;
    note_member(members, p, c->escaped);
    if (members->count == JS_MEMBERS_MAX) {
        members->rest.at = p;
        nest->note_depth = 0;
    }
}

/* At a member's key; gives the first byte of its value. */
static inline __attribute__((always_inline)) const char *
check_key(struct checker *c, const struct nest *nest, const char *p, bool indexed)
{
    const char *key = p + 1;
    struct js_member *member = NULL;

    if (p >= c->end || *p != '"')
        return fault_or_end(c, "expected a string as key", p);
    p = check_string(c, key);
    if (p == NULL)
        return NULL;
    if (!indexed && nest->depth == nest->note_depth)
        member = &nest->members->list[nest->members->count];
    if (member != NULL)
        member->key = (struct js_value){
            .type = JS_STRING, .escaped = c->escaped, .raw = js_between(key, p - 1)};
    p = js_skip_space(p, c->end);
    if (p >= c->end || *p != ':')
        return fault_or_end(c, "expected ':'", p);
    p = js_skip_space(p + 1, c->end);
    if (member != NULL)
        member->value.raw.ptr = p;
    return p;
}

/* At the first byte of what is neither container nor string. */
static inline const char *
check_word(struct checker *c, const char *p)
{
    switch (*p) {
    case '-': return check_number(c, p + 1);
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9': return check_number(c, p);
    case 't': return check_literal(c, p, STR("true"));
    case 'f': return check_literal(c, p, STR("false"));
    case 'n': return check_literal(c, p, STR("null"));
    default: return fault(c, "expected a value", p);
    }
}

#define NO_SLOT SIZE_MAX

/* A container or string starts here. */
static inline size_t
slot_take(struct js_index *index, const char *start)
{
    if (UNLIKELY(index->used == index->slot_count))
        return NO_SLOT;
    index->slots[index->used].start = (uint32_t)(start - index->text);
    return index->used++;
}

/* And ends here. A short one gives its slot back, which is the last: nothing in it was longer. */
static inline void
slot_end(struct js_index *index, size_t slot, const char *end, bool escaped)
{
    uint32_t behind = (uint32_t)(end - index->text);

    if (slot == NO_SLOT)
        return;
    if (behind - index->slots[slot].start < JS_INDEX_LEN_MIN) {
        index->used = slot;
        return;
    }
    index->slots[slot].end = behind & INT32_MAX;
    index->slots[slot].escaped = escaped;
}

static inline void
note_string(struct js_index *index, const char *start, const char *end, bool escaped)
{
    if (UNLIKELY(end != NULL && (size_t)(end - start) >= JS_INDEX_LEN_MIN))
        slot_end(index, slot_take(index, start), end, escaped);
}

/* One value; at its first byte. Made twice, so that who wants no index does not pay for it. */
static inline __attribute__((always_inline)) const char *
check_value(struct checker *c, const char *p, struct js_members *members, bool indexed)
{
    const char *const end = c->end;
    struct nest nest = {.members = members};

value:
    if (p >= end)
        return fault(c, "unexpected end", end);
    if (*p == '{' || *p == '[') {
        if (nest.depth == JS_DEPTH_MAX)
            return fault(c, js_too_deep, p);
        if (indexed)
            c->slots[nest.depth] = slot_take(c->index, p);
        nest_enter(&nest, *p == '{');
        p = js_skip_space(p + 1, end);
        if (p < end && *p == closing(&nest))
            goto close;
        if (in_object(&nest))
            goto key;
        goto value;
    }
    if (*p == '"') {
        const char *start = p;

        p = check_string(c, p + 1);
        if (indexed)
            note_string(c->index, start, p, c->escaped);
    } else {
        p = check_word(c, p);
    }
    if (p == NULL || nest.depth == 0)
        return p;
behind:
    if (!indexed)
        nest_note(c, &nest, p);
    p = js_skip_space(p, end);
    if (p < end && *p == ',') {
        p = js_skip_space(p + 1, end);
        if (in_object(&nest))
            goto key;
        goto value;
    }
    if (p >= end || *p != closing(&nest))
        return fault_or_end(c, in_object(&nest) ? "expected ',' or '}'" : "expected ',' or ']'",
                            p);
close:
    p++;
    nest.objects >>= 1;
    nest.depth--;
    if (indexed)
        slot_end(c->index, c->slots[nest.depth], p, false);
    if (nest.depth == 0)
        return p;
    goto behind;

key:
    p = check_key(c, &nest, p, indexed);
    if (p == NULL)
        return NULL;
    goto value;
}

static __attribute__((noinline)) const char *
check_plain(struct checker *c, const char *p, struct js_members *members)
{
    return check_value(c, p, members, false);
}

static __attribute__((noinline)) const char *
check_indexed(struct checker *c, const char *p)
{
    return check_value(c, p, NULL, true);
}

/* How a text is to be checked. */
struct wish {
    struct js_members *members; /* or NULL */
    struct js_index *index;     /* likewise */
    bool lenient;
};

static bool
check_text(struct str text, struct js_value *out, const struct wish *wish, struct js_error *err)
{
    struct js_members *members = wish->members;
    struct js_index *index = wish->index;
    /* An empty text may have no address at all. */
    const char *start = text.ptr == NULL ? "" : text.ptr;
    struct checker c; /* its list of slots is set as it is used */
    const char *value, *value_end, *p;

    c.end = start + text.len;
    c.index = index;
    c.err = (struct js_error){NULL, 0};
    c.err_at = start;
    c.escaped = false;
    c.lenient = wish->lenient;
    value = js_skip_space(start, c.end);

    if (members != NULL) {
        members->count = 0;
        js_iter_init(&members->rest, (struct js_value){.type = JS_NONE});
    }
    value_end = index != NULL ? check_indexed(&c, value) : check_plain(&c, value, members);
    if (value_end == NULL)
        goto fail;
    p = js_skip_space(value_end, c.end);
    if (p < c.end) {
        fault(&c, "text after the value", p);
        goto fail;
    }
    *err = (struct js_error){NULL, 0};
    *out = (struct js_value){.type = js_type_of(*value), .raw = js_between(value, value_end)};
    if (out->type == JS_STRING) {
        out->raw = js_between(value + 1, value_end - 1);
        out->escaped = c.escaped;
    }
    if (members != NULL && members->count == JS_MEMBERS_MAX)
        members->rest = (struct js_iter){.at = members->rest.at,
                                         .end = value_end - 1,
                                         .is_object = true,
                                         .index = JS_MEMBERS_MAX - 1};
    return true;

fail:
    *err = (struct js_error){c.err.what, (size_t)(c.err_at - start)};
    *out = (struct js_value){.type = JS_NONE};
    if (members != NULL) {
        members->count = 0;
        js_iter_init(&members->rest, *out);
    }
    return false;
}

bool
js_check_members(struct str text, struct js_value *out, struct js_members *members,
                 struct js_error *err)
{
    return check_text(text, out, &(struct wish){.members = members}, err);
}

bool
js_check_lenient(struct str text, struct js_value *out, struct js_members *members,
                 struct js_error *err)
{
    return check_text(text, out, &(struct wish){.members = members, .lenient = true}, err);
}

bool
js_check(struct str text, struct js_value *out, struct js_error *err)
{
    return check_text(text, out, &(struct wish){.members = NULL}, err);
}

size_t
js_index_slots(size_t text_len)
{
    return MIN(text_len / JS_INDEX_LEN_MIN + JS_DEPTH_MAX, (size_t)1 << 18);
}

bool
js_check_index(struct str text, struct js_value *out, struct js_index *index,
               struct js_error *err)
{
    index->text = text.ptr;
    index->text_len = text.len;
    index->used = 0;
    if (text.len >= INT32_MAX) /* beyond what offsets reach: an empty one */
        return check_text(text, out, &(struct wish){.index = NULL}, err);
    return check_text(text, out, &(struct wish){.index = index}, err);
}

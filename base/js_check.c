/*
 * The check of JSON text: reads every byte once and knows the grammar. It keeps no tree: of the
 * containers it is in it remembers one bit each, object or array, which is all that is needed to
 * know what may follow. The members of the outermost object it notes as it comes by, since that
 * costs next to nothing here, and a second walk nearly as much as the check.
 *
 * Where the time goes: a short string is one look at 16 bytes, a long one a look at 64 at a time
 * (check_string()); between strings there are a few bytes of punctuation, each of which is
 * one jump that repeats. So the main loop is one function that holds its place in registers,
 * and calls others only for what is rare or long.
 */
#include <string.h>

#include "base/js_text.h"
#include "base/scan.h"
#include "base/str.h"
#include "base/utf8.h"

const char js_too_deep[] = "nested too deeply";

struct checker {
    const char *end;
    struct js_index *index; /* NULL: none is wanted */
    size_t slots[JS_DEPTH_MAX]; /* of the containers we are in; NO_SLOT */
    struct js_error err; /* what is set on the first fault */
    const char *err_at;
    bool escaped; /* the string read last has a backslash */
    bool lenient; /* lone surrogates are let pass */
};

/* The functions below give the place behind what they read, or NULL at a fault. */

static const char *
fault(struct checker *c, const char *what, const char *at)
{
    c->err.what = what;
    c->err_at = at;
    return NULL;
}

/* At a fault of what stands at `at`: the same, or the text's end when there is nothing. */
static const char *
fault_or_end(struct checker *c, const char *what, const char *at)
{
    return fault(c, at >= c->end ? "unexpected end" : what, at);
}

/* ---- strings ----------------------------------------------------------------------------- */

static bool
is_hex(char c)
{
    return js_is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* What a backslash may stand before, but for u. */
static inline bool
is_escape(char c)
{
    static const bool escapes[256] = {
        ['"'] = 1, ['\\'] = 1, ['/'] = 1, ['b'] = 1, ['f'] = 1, ['n'] = 1, ['r'] = 1, ['t'] = 1};

    return escapes[(uint8_t)c];
}

/* At the u of \u. Steps over it and, after a high surrogate, over the low one. */
static const char *
check_unicode_escape(struct checker *c, const char *p)
{
    const char *start = p - 1;
    uint32_t code;

    for (int i = 1; i <= 4; i++) {
        if (p + i >= c->end || !is_hex(p[i]))
            return fault_or_end(c, "invalid escape", p + i);
    }
    code = js_hex4(p + 1);
    p += 5;
    if (code < 0xd800 || code > 0xdfff)
        return p;
    if (c->lenient)
        return p;
    if (code > 0xdbff)
        return fault(c, "lone surrogate", start);
    for (int i = 0; i < 6; i++) {
        if (p + i >= c->end)
            return fault(c, "unexpected end", c->end);
        if (i == 0 ? p[i] != '\\' : i == 1 ? p[i] != 'u' : !is_hex(p[i]))
            return fault(c, i < 2 ? "lone surrogate" : "invalid escape", i < 2 ? start : p + i);
    }
    code = js_hex4(p + 2);
    if (code < 0xdc00 || code > 0xdfff)
        return fault(c, "lone surrogate", start);
    return p + 6;
}

/* At the backslash. */
static const char *
check_escape(struct checker *c, const char *p)
{
    c->escaped = true;
    p++;
    if (p >= c->end)
        return fault(c, "unexpected end", c->end);
    if (*p == 'u')
        return check_unicode_escape(c, p);
    if (!is_escape(*p))
        return fault(c, "invalid escape", p);
    return p + 1;
}

/* At a byte of a string that is not plain ASCII and not the closing quote. */
static const char *
check_special(struct checker *c, const char *p)
{
    if (*p == '\\')
        return check_escape(c, p);
    if ((uint8_t)*p < 0x20)
        return fault(c, "control character in string", p);
    /* Text that is not ASCII rarely is for one character only. */
    do {
        size_t len = utf8_sequence(p, (size_t)(c->end - p));

        if (len == 0)
            return fault(c, "invalid UTF-8", p);
        p += len;
    } while (p < c->end && (*p & 0x80) != 0);
    return p;
}

#ifdef SCAN_SSE2
/* The four hex digits of a character that is no half of a pair. */
static inline bool
are_hex(const char *p)
{
    uint32_t code;

    if (!is_hex(p[0]) || !is_hex(p[1]) || !is_hex(p[2]) || !is_hex(p[3]))
        return false;
    code = js_hex4(p);
    return code < 0xd800 || code > 0xdfff;
}

/*
 * Of the bytes in escaped, each behind a backslash: may all stand there? What the end of the block cuts
 * off is left for later: *left is how many bytes are before it.
 */
static inline __attribute__((always_inline)) bool
are_escapes(const char *p, uint64_t escaped, unsigned *left)
{
    for (; escaped != 0; escaped &= escaped - 1) {
        unsigned at = (unsigned)__builtin_ctzll(escaped);

        if (LIKELY(is_escape(p[at])))
            continue;
        if (p[at] != 'u' || at == 0) /* behind the slash that the block starts with at the least */
            return false;
        if (at > SCAN_BLOCK - 5) {
            *left = MIN(*left, at - 1);
            return true;
        }
        if (!are_hex(p + at + 1))
            return false;
    }
    return true;
}

/* The same for the bytes in high, none of which is ASCII: are they whole characters? */
static inline bool
are_characters(const char *p, uint64_t high, unsigned *left)
{
    while (high != 0) {
        unsigned at = (unsigned)__builtin_ctzll(high);
        const uint8_t *b = (const uint8_t *)p + at;
        size_t len = 2;

        if (UNLIKELY(at > SCAN_BLOCK - 4)) {
            len = utf8_sequence(p + at, SCAN_BLOCK - at);
            if (len == 0) { /* or wrong, which the next look tells */
                *left = MIN(*left, at);
                return true;
            }
        } else if (LIKELY(b[0] >= 0xc2 && b[0] < 0xe0)) {
            if (UNLIKELY(!utf8_is_tail(b[1])))
                return false;
        } else {
            len = utf8_sequence(p + at, 4);
            if (UNLIKELY(len == 0))
                return false;
        }
        high &= ~(((UINT64_C(1) << len) - 1) << at);
    }
    return true;
}

#ifdef SCAN_AVX2
/* The same, at a price that does not depend on how many there are. upto is where the string may reach,
 * the byte behind its last included. */
static inline SCAN_TARGET_AVX2 bool
are_characters_avx2(const char *p, uint64_t high, uint64_t upto, unsigned *left)
{
    struct scan_utf8 u = scan_utf8_avx2(p, high);
    uint64_t want = u.lead2 << 1 | u.lead3 << 2 | u.lead4 << 3;
    uint64_t cut = ((u.lead2 & UINT64_C(1) << 63) | (u.lead3 & UINT64_C(3) << 62) |
                    (u.lead4 & UINT64_C(7) << 61));

    if (UNLIKELY(((want ^ u.tails) & upto) != 0 || u.never != 0))
        return false;
    if (cut != 0)
        *left = MIN(*left, (unsigned)__builtin_ctzll(cut));
    for (u.narrow &= ~cut; u.narrow != 0; u.narrow &= u.narrow - 1) {
        if (utf8_sequence(p + __builtin_ctzll(u.narrow), 4) == 0)
            return false;
    }
    return true;
}
#endif

static inline __attribute__((always_inline)) bool
are_characters_upto(const char *p, uint64_t high, uint64_t upto, unsigned *left, bool avx2)
{
    if (high == 0)
        return true;
#ifdef SCAN_AVX2
    if (avx2)
        return are_characters_avx2(p, high, upto, left);
#else
    (void)avx2;
    (void)upto;
#endif
    return are_characters(p, high, left);
}

static inline __attribute__((always_inline)) uint64_t
special_of(const char *p, bool avx2)
{
#ifdef SCAN_AVX2
    if (avx2)
        return scan_block_special_avx2(p);
#else
    (void)avx2;
#endif
    return scan_block_special(p);
}

/* The only byte of a block that is special, at p: a line's end, in most text. */
static inline bool
is_lone_escape(const char *p)
{
    return *p == '\\' && is_escape(p[1]);
}

static inline __attribute__((always_inline)) struct scan_marks
marks_of(const char *p, bool avx2)
{
#ifdef SCAN_AVX2
    if (avx2)
        return scan_marks_avx2(p);
#else
    (void)avx2;
#endif
    return scan_marks(p);
}

/* See check_blocks(); with the widest vectors that the machine has. */
static inline __attribute__((always_inline)) const char *
check_marks(struct checker *c, const char *p, bool *closed, bool avx2)
{
    for (unsigned left; c->end - p >= SCAN_BLOCK; p += left) {
        uint64_t special = special_of(p, avx2), escaped = 0, carry = 0, quotes, before, upto;
        struct scan_marks marks;

        left = SCAN_BLOCK;
        if (special == 0)
            continue;
        if ((special & (special - 1)) == 0 && special >> (SCAN_BLOCK - 1) == 0 &&
            is_lone_escape(p + __builtin_ctzll(special))) {
            c->escaped = true;
            continue;
        }
        marks = marks_of(p, avx2);
        if (marks.slashes != 0) {
            escaped = scan_escaped(marks.slashes, &carry);
            left -= (unsigned)carry; /* the last one comes again with what it escapes */
        }
        quotes = marks.quotes & ~escaped;
        upto = quotes ^ (quotes - 1); /* all, where there is none */
        before = upto & ~quotes;
        if (UNLIKELY((marks.control & before) != 0) ||
            UNLIKELY(!are_escapes(p, escaped & before, &left)) ||
            UNLIKELY(!are_characters_upto(p, marks.high & before, upto, &left, avx2)))
            return p;
        c->escaped |= (marks.slashes & before) != 0;
        if (quotes != 0 && LIKELY((unsigned)__builtin_ctzll(quotes) < left)) {
            *closed = true;
            return p + __builtin_ctzll(quotes);
        }
    }
    return p;
}

#ifdef SCAN_AVX2
static SCAN_TARGET_AVX2 __attribute__((noinline)) const char *
check_blocks_avx2(struct checker *c, const char *p, bool *closed)
{
    return check_marks(c, p, closed, true);
}
#endif

/*
 * Goes on in a string block by block, up to the closing quote (then *closed), to where less than a
 * block is left, or to a block in which check_special() has to look. What is frequent, escapes and
 * text that is not ASCII, is looked at in the block's bits, each kind by itself: that is fewer steps,
 * and fewer jumps that cannot be foreseen, than byte after byte.
 */
static inline const char *
check_blocks(struct checker *c, const char *p, bool *closed)
{
#ifdef SCAN_AVX2
    if (scan_has_avx2())
        return check_blocks_avx2(c, p, closed);
#endif
    return check_marks(c, p, closed, false);
}
#endif

/* Inside a string that is long, or has more in it than plain ASCII. */
static __attribute__((noinline)) const char *
check_string_rest(struct checker *c, const char *p)
{
    for (;;) {
#ifdef SCAN_SSE2
        bool closed = false;

        p = check_blocks(c, p, &closed);
        if (closed)
            return p + 1;
#endif
        p = scan_special(p, c->end);
        if (p >= c->end)
            return fault(c, "unexpected end", c->end);
        if (*p == '"')
            return p + 1;
        p = check_special(c, p);
        if (p == NULL)
            return NULL;
    }
}

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
    return check_string_rest(c, p);
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

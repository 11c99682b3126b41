/*
 * Names of tools and ids of calls that one protocol takes and another does not, and the tags of
 * signatures. All of it is computed from what the client sent, so that the same conversation looks the
 * same to an upstream at every turn, and its cache of the beginning still holds.
 */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/str.h"
#include "proto/codec.h"

#define HASH_HEX 16 /* of a hash, as part of a name */

static bool
is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static bool
name_char(const struct chat_name_rule *rule, char c)
{
    return is_word(c) || c == '-' || (c != '\0' && strchr(rule->also, c) != NULL);
}

static bool
name_fits(const struct chat_name_rule *rule, struct str name)
{
    if (name.len == 0 || name.len > rule->len_max)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!name_char(rule, name.ptr[i]))
            return false;
    return !rule->letter_first || name.ptr[0] == '_' || (name.ptr[0] | 0x20) >= 'a';
}

static void
hash_hex(struct str a, struct str b, char out[HASH_HEX + 1])
{
    uint8_t hash[HASH_LEN];

    hash_pair(a, b, hash);
    str_hex(hash, HASH_HEX / 2, out);
}

/* "space__name", and where that does not fit either what of it does, with a hash of all of it. */
static struct str
make_name(struct chat_request *r, const struct chat_name_rule *rule, struct str space,
          struct str name)
{
    size_t room = MIN(rule->len_max, (size_t)64), len = 0, full_len;
    char *made = arena_alloc(r->arena, 64 + space.len + name.len + 4);
    char hex[HASH_HEX + 1];
    struct str full;

    if (made == NULL)
        return STR_NONE;
    full_len = (size_t)sprintf(made, "%.*s%s%.*s", STR_ARGS(space), space.len > 0 ? "__" : "",
                               STR_ARGS(name));
    full = (struct str){made, full_len};
    if (name_fits(rule, full))
        return full;
    hash_hex(space, name, hex);
    for (size_t i = 0; i < full_len && len < room - HASH_HEX - 1; i++)
        if (is_word(made[i]) && (len > 0 || made[i] == '_' || (made[i] | 0x20) >= 'a'))
            made[len++] = made[i];
    if (len == 0)
        made[len++] = 't';
    made[len++] = '_';
    memcpy(made + len, hex, HASH_HEX);
    return (struct str){made, len + HASH_HEX};
}

static const struct chat_name *
name_known(const struct chat_request *r, struct str space, struct str name)
{
    for (const struct chat_name *n = r->names; n != NULL; n = n->next)
        if (str_eq(n->name.raw, name) && str_eq(n->space.raw, space))
            return n;
    return NULL;
}

struct str
chat_sent_name(struct chat_request *r, const struct chat_name_rule *rule, enum chat_tool_kind kind,
               struct js_value space, struct js_value name)
{
    const struct chat_name *known = name_known(r, space.raw, name.raw);
    struct str plain_space = space.type == JS_STRING ? chat_text(r->arena, space) : STR("");
    struct str plain = chat_text(r->arena, name), sent;
    struct chat_name *kept;

    if (known != NULL)
        return known->sent;
    if (plain.ptr == NULL || plain_space.ptr == NULL)
        return STR_NONE;
    sent = plain;
    if (plain_space.len > 0 || !name_fits(rule, plain))
        sent = make_name(r, rule, plain_space, plain);
    if (sent.ptr == NULL || (kind == CHAT_TOOL_FUNCTION && sent.ptr == plain.ptr))
        return sent;
    kept = r->name_count < CHAT_NAMES_MAX ? arena_zalloc(r->arena, sizeof *kept) : NULL;
    if (kept == NULL)
        return STR_NONE;
    r->name_count++;
    *kept = (struct chat_name){r->names, sent, name, space, kind};
    r->names = kept;
    return sent;
}

static bool
is_tools_name(const struct chat_request *r, struct str name)
{
    for (const struct chat_tool *t = r->tools; t != NULL; t = t->next)
        if (js_str_eq(t->name, name))
            return true;
    for (const struct chat_name *n = r->names; n != NULL; n = n->next)
        if (str_eq(n->sent, name))
            return true;
    return false;
}

struct str
chat_answer_name(struct chat_request *r)
{
    static const char text[] = "json_answer________________";
    struct str name = {text, 11};
    struct chat_name *kept = arena_zalloc(r->arena, sizeof *kept);

    while (name.len < sizeof text - 1 && is_tools_name(r, name))
        name.len++;
    if (kept == NULL)
        return STR_NONE;
    *kept = (struct chat_name){.next = r->names, .sent = name, .kind = CHAT_TOOL_ANSWER};
    r->names = kept;
    return name;
}

struct str
chat_plain_id(struct js_value id, char out[CHAT_ID_CAP])
{
    bool fits = id.raw.len > 0 && id.raw.len <= 64;
    size_t len = 0;

    for (size_t i = 0; i < id.raw.len && fits; i++)
        fits = is_word(id.raw.ptr[i]) || id.raw.ptr[i] == '-';
    if (fits) {
        memcpy(out, id.raw.ptr, id.raw.len);
        return (struct str){out, id.raw.len};
    }
    memcpy(out, "call_", 5);
    len = 5;
    hash_hex(id.raw, STR(""), out + len);
    return (struct str){out, len + HASH_HEX};
}

/* ---- signatures ---- */

bool
chat_signature(struct js_value tagged, const char *tag, struct js_value *out)
{
    struct str want = str_from(tag);

    if (tagged.type != JS_STRING || want.len == 0 || !str_starts_with(tagged.raw, want))
        return false;
    *out = tagged;
    out->raw = (struct str){tagged.raw.ptr + want.len, tagged.raw.len - want.len};
    return out->raw.len > 0;
}

void
codec_tag(enum proto_protocol protocol, struct str family, char out[CODEC_TAG_CAP])
{
    static const char letters[PROTO_PROTOCOL_COUNT] = {
        [PROTO_OPENAI] = 'c', [PROTO_RESPONSES] = 'r', [PROTO_ANTHROPIC] = 'm', [PROTO_GEMINI] = 'g'};
    char hex[HASH_HEX + 1];

    hash_hex(family, STR("family"), hex);
    snprintf(out, CODEC_TAG_CAP, CODEC_TAG_ANY "%c.%s.", letters[protocol], hex);
}

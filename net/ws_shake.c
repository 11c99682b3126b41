#include "net/ws_shake.h"

#include <mbedtls/base64.h>
#include <mbedtls/md.h>

#include <string.h>

#include "base/rng.h"
#include "base/str.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define KEY_BYTES 16
#define SHA1_BYTES 20

/* ---- headers ---- */

/* Value of the only header of that name. False when there are several; STR_NONE for none. */
static bool
only_one(const struct h1_head *head, struct str name, struct str *value)
{
    *value = STR_NONE;
    for (size_t i = 0; i < head->header_count; i++) {
        if (!str_eq_nocase(h1_head_name(head, i), name))
            continue;
        if (value->ptr != NULL)
            return false;
        *value = h1_head_value(head, i);
    }
    return true;
}

static bool
list_has(struct str list, struct str token)
{
    while (list.ptr != NULL)
        if (str_eq_nocase(str_trim(str_split(list, ',', &list)), token))
            return true;
    return false;
}

/* In any of the headers of that name. */
static bool
some_list_has(const struct h1_head *head, struct str name, struct str token)
{
    for (size_t i = 0; i < head->header_count; i++)
        if (str_eq_nocase(h1_head_name(head, i), name) && list_has(h1_head_value(head, i), token))
            return true;
    return false;
}

/* ---- keys ---- */

void
ws_key_make(char key[WS_KEY_LEN + 1])
{
    uint8_t bytes[KEY_BYTES];
    size_t len;
    int rc;

    rng_bytes(bytes, sizeof bytes);
    rc = mbedtls_base64_encode((unsigned char *)key, WS_KEY_LEN + 1, &len, bytes, sizeof bytes);
    ASSERT(rc == 0 && len == WS_KEY_LEN);
}

static bool
is_key(struct str key)
{
    uint8_t bytes[KEY_BYTES + 2];
    char again[WS_KEY_LEN + 1];
    size_t len;

    if (key.len != WS_KEY_LEN ||
        mbedtls_base64_decode(bytes, sizeof bytes, &len, (const unsigned char *)key.ptr,
                              key.len) != 0 ||
        len != KEY_BYTES)
        return false;
    /* The last character has bits that stand for nothing: there is one way to write a key. */
    return mbedtls_base64_encode((unsigned char *)again, sizeof again, &len, bytes,
                                 KEY_BYTES) == 0 &&
           memcmp(again, key.ptr, WS_KEY_LEN) == 0;
}

void
ws_accept_of(struct str key, char accept[WS_ACCEPT_LEN + 1])
{
    unsigned char text[WS_KEY_LEN + sizeof GUID - 1], hash[SHA1_BYTES];
    size_t len;
    int rc;

    ASSERT(key.len == WS_KEY_LEN);
    memcpy(text, key.ptr, WS_KEY_LEN);
    memcpy(text + WS_KEY_LEN, GUID, sizeof GUID - 1);
    rc = mbedtls_md(mbedtls_md_info_from_type(MBEDTLS_MD_SHA1), text, sizeof text, hash);
    ASSERT(rc == 0);
    rc = mbedtls_base64_encode((unsigned char *)accept, WS_ACCEPT_LEN + 1, &len, hash, sizeof hash);
    ASSERT(rc == 0 && len == WS_ACCEPT_LEN);
}

/* ---- a client's request ---- */

static enum ws_asked
badly(const char **reason, const char *why)
{
    *reason = why;
    return WS_ASKED_BADLY;
}

enum ws_asked
ws_asked(const struct h1_head *head, char accept[WS_ACCEPT_LEN + 1], const char **reason)
{
    struct str version, key;

    *reason = NULL;
    if (!some_list_has(head, STR("upgrade"), STR("websocket")) ||
        !some_list_has(head, STR("connection"), STR("upgrade")))
        return WS_ASKED_NOT;
    if (head->method != H1_GET || head->minor < 1)
        return badly(reason, "a WebSocket begins with a GET of HTTP/1.1");
    if (head->framing != H1_FRAMING_NONE &&
        (head->framing != H1_FRAMING_LENGTH || head->content_length > 0))
        return badly(reason, "a request for a WebSocket has no body");
    if (!only_one(head, STR("sec-websocket-version"), &version) || !str_eq(version, STR("13")))
        return WS_ASKED_VERSION;
    if (!only_one(head, STR("sec-websocket-key"), &key) || !is_key(key))
        return badly(reason, "Sec-WebSocket-Key has to be 16 bytes in base64, once");
    ws_accept_of(key, accept);
    return WS_ASKED;
}

bool
ws_offers(const struct h1_head *head, struct str protocol)
{
    struct str rest = ws_offered_after(head, protocol);

    return rest.ptr != NULL && rest.len == 0;
}

struct str
ws_offered_after(const struct h1_head *head, struct str prefix)
{
    struct str found = STR_NONE;

    for (size_t i = 0; i < head->header_count; i++) {
        struct str list = h1_head_value(head, i);

        if (!str_eq_nocase(h1_head_name(head, i), STR("sec-websocket-protocol")))
            continue;
        while (list.ptr != NULL) {
            struct str one = str_trim(str_split(list, ',', &list));

            if (!str_starts_with(one, prefix))
                continue;
            one = (struct str){one.ptr + prefix.len, one.len - prefix.len};
            if (one.len == 0)
                return one;
            if (found.ptr == NULL)
                found = one;
        }
    }
    return found;
}

/* ---- an upstream's answer ---- */

bool
ws_answered(const struct h1_head *head, const char key[WS_KEY_LEN + 1], const char **reason)
{
    char want[WS_ACCEPT_LEN + 1];
    struct str accept, upgrade, other;

    ws_accept_of((struct str){key, WS_KEY_LEN}, want);
    if (!only_one(head, STR("upgrade"), &upgrade) || !str_eq_nocase(upgrade, STR("websocket")) ||
        !some_list_has(head, STR("connection"), STR("upgrade"))) {
        *reason = "switched to something else than a WebSocket";
        return false;
    }
    if (!only_one(head, STR("sec-websocket-accept"), &accept) ||
        !str_eq(accept, (struct str){want, WS_ACCEPT_LEN})) {
        *reason = "switched with a wrong Sec-WebSocket-Accept";
        return false;
    }
    if (!only_one(head, STR("sec-websocket-extensions"), &other) || other.ptr != NULL ||
        !only_one(head, STR("sec-websocket-protocol"), &other) || other.ptr != NULL) {
        *reason = "switched to an extension or protocol that nobody asked for";
        return false;
    }
    return true;
}

#include "net/h1_bytes.h"

/* clang-format off */
const uint8_t h1_token_fold[256] = {
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, '!', 0, '#', '$', '%', '&', '\'', 0, 0, '*', '+', 0, '-', '.', 0,
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 0, 0, 0, 0, 0, 0,
    0, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 0, 0, 0, '^', '_',
    '`', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o',
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 0, '|', 0, '~', 0,
};
/* clang-format on */

const struct str h1_name_texts[H1_NAME_COUNT] = {
#define X(name, text) [H1_##name] = {text, sizeof(text) - 1},
    H1_NAMES(X)
#undef X
};

const uint8_t h1_name_slots[1 << H1_SLOT_BITS] = {
    [H1_SLOT(H1_LAST4('c', 'e', 'p', 't'), 6)] = H1_ACCEPT,
    [H1_SLOT(H1_LAST4('d', 'i', 'n', 'g'), 15)] = H1_ACCEPT_ENCODING,
    [H1_SLOT(H1_LAST4('b', 'e', 't', 'a'), 14)] = H1_ANTHROPIC_BETA,
    [H1_SLOT(H1_LAST4('c', 'e', 's', 's'), 41)] = H1_ANTHROPIC_DANGEROUS,
    [H1_SLOT(H1_LAST4('s', 'i', 'o', 'n'), 17)] = H1_ANTHROPIC_VERSION,
    [H1_SLOT(H1_LAST4('t', 'i', 'o', 'n'), 13)] = H1_AUTHORIZATION,
    [H1_SLOT(H1_LAST4('t', 'i', 'o', 'n'), 10)] = H1_CONNECTION,
    [H1_SLOT(H1_LAST4('d', 'i', 'n', 'g'), 16)] = H1_CONTENT_ENCODING,
    [H1_SLOT(H1_LAST4('n', 'g', 't', 'h'), 14)] = H1_CONTENT_LENGTH,
    [H1_SLOT(H1_LAST4('t', 'y', 'p', 'e'), 12)] = H1_CONTENT_TYPE,
    [H1_SLOT(H1_LAST4('o', 'k', 'i', 'e'), 6)] = H1_COOKIE,
    [H1_SLOT(H1_LAST4('d', 'a', 't', 'e'), 4)] = H1_DATE,
    [H1_SLOT(H1_LAST4('p', 'e', 'c', 't'), 6)] = H1_EXPECT,
    [H1_SLOT(H1_LAST4('h', 'o', 's', 't'), 4)] = H1_HOST,
    [H1_SLOT(H1_LAST4('-', 'k', 'e', 'y'), 15)] = H1_IDEMPOTENCY_KEY,
    [H1_SLOT(H1_LAST4('l', 'i', 'v', 'e'), 10)] = H1_KEEP_ALIVE,
    [H1_SLOT(H1_LAST4('t', 'i', 'o', 'n'), 8)] = H1_LOCATION,
    [H1_SLOT(H1_LAST4('b', 'e', 't', 'a'), 11)] = H1_OPENAI_BETA,
    [H1_SLOT(H1_LAST4('t', 'i', 'o', 'n'), 19)] = H1_OPENAI_ORGANIZATION,
    [H1_SLOT(H1_LAST4('g', '-', 'm', 's'), 20)] = H1_OPENAI_PROCESSING_MS,
    [H1_SLOT(H1_LAST4('j', 'e', 'c', 't'), 14)] = H1_OPENAI_PROJECT,
    [H1_SLOT(H1_LAST4('s', 'i', 'o', 'n'), 14)] = H1_OPENAI_VERSION,
    [H1_SLOT(H1_LAST4('i', 'g', 'i', 'n'), 6)] = H1_ORIGIN,
    [H1_SLOT(H1_LAST4('t', '-', 'i', 'd'), 10)] = H1_REQUEST_ID,
    [H1_SLOT(H1_LAST4('f', 't', 'e', 'r'), 11)] = H1_RETRY_AFTER,
    [H1_SLOT(H1_LAST4('r', '-', 'm', 's'), 14)] = H1_RETRY_AFTER_MS,
    [H1_SLOT(H1_LAST4('i', 'l', 'e', 'r'), 7)] = H1_TRAILER,
    [H1_SLOT(H1_LAST4('d', 'i', 'n', 'g'), 17)] = H1_TRANSFER_ENCODING,
    [H1_SLOT(H1_LAST4('r', 'a', 'd', 'e'), 7)] = H1_UPGRADE,
    [H1_SLOT(H1_LAST4('g', 'e', 'n', 't'), 10)] = H1_USER_AGENT,
    [H1_SLOT(H1_LAST4('-', 'k', 'e', 'y'), 9)] = H1_X_API_KEY,
    [H1_SLOT(H1_LAST4('t', '-', 'i', 'd'), 19)] = H1_X_CLIENT_REQUEST_ID,
    [H1_SLOT(H1_LAST4('i', 'e', 'n', 't'), 17)] = H1_X_GOOG_API_CLIENT,
    [H1_SLOT(H1_LAST4('-', 'k', 'e', 'y'), 14)] = H1_X_GOOG_API_KEY,
    [H1_SLOT(H1_LAST4('t', '-', 'i', 'd'), 12)] = H1_X_REQUEST_ID,
    [H1_SLOT(H1_LAST4('e', 't', 'r', 'y'), 14)] = H1_X_SHOULD_RETRY,
    [H1_SLOT(H1_LAST4('n', 'n', 'e', 'l'), 18)] = H1_X_TURNPIKE_CHANNEL,
};

struct str
h1_name_text(enum h1_name name)
{
    return h1_name_texts[name];
}

enum h1_name
h1_name_of(struct str name)
{
    if (!h1_is_token(name))
        return H1_NAME_OTHER;
    return h1_name_of_token((const uint8_t *)name.ptr, name.len);
}

bool
h1_is_value(struct str text)
{
    return h1_value_is_clean((const uint8_t *)text.ptr, text.len);
}

bool
h1_is_token(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (!h1_token_fold[(uint8_t)text.ptr[i]])
            return false;
    }
    return text.len > 0;
}

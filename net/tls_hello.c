/*
 * A look at the first bytes of a client, before the library has them: up to the suites, which come
 * early, so that even a hello whose rest is still on its way tells them. Nothing is decided by it but
 * which of two configurations the library gets; it reads the message again, and refuses what is wrong.
 */
#include "net/tls_lib.h"

#define RECORD_HEAD 5u
#define MESSAGE_HEAD 4u
#define VERSION_AND_RANDOM 34u
#define HANDSHAKE 22
#define CLIENT_HELLO 1

static size_t
u16_at(const uint8_t *bytes)
{
    return (size_t)bytes[0] << 8 | bytes[1];
}

bool
tls_hello_offers(const uint8_t *in, size_t in_len, unsigned suite)
{
    size_t at = RECORD_HEAD + MESSAGE_HEAD + VERSION_AND_RANDOM, len;

    if (in_len < at + 1 || in[0] != HANDSHAKE || in[RECORD_HEAD] != CLIENT_HELLO)
        return false;
    at += 1 + (size_t)in[at]; /* the session's ID */
    if (in_len < at + 2)
        return false;
    len = u16_at(in + at);
    at += 2;
    if (len % 2 != 0 || in_len - at < len || RECORD_HEAD + u16_at(in + 3) < at + len)
        return false;
    for (const uint8_t *p = in + at; p < in + at + len; p += 2)
        if (u16_at(p) == suite)
            return true;
    return false;
}

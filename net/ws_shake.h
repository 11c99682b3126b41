/*
 * How a connection becomes a WebSocket (RFC 6455 §4): what a client's head asks for, what we ask of
 * an upstream, and whether its answer is one. Heads in, text out; no socket.
 */
#ifndef NET_WS_SHAKE_H
#define NET_WS_SHAKE_H

#include "net/h1_head.h"

#define WS_KEY_LEN 24    /* 16 bytes in base64 */
#define WS_ACCEPT_LEN 28 /* a SHA-1 in base64 */

enum ws_asked {
    WS_ASKED = 0,
    WS_ASKED_NOT,     /* no upgrade to a WebSocket: 426 */
    WS_ASKED_VERSION, /* one of another version than 13: 426 */
    WS_ASKED_BADLY,   /* 400, *reason says why */
};
/* accept: what the answer has to say. reason is static text. */
enum ws_asked ws_asked(const struct h1_head *head, char accept[WS_ACCEPT_LEN + 1],
                       const char **reason);

/* A subprotocol that the client offers, by its whole name; or what follows this prefix in the first
 * that begins with it, STR_NONE when none does. Case counts. */
bool ws_offers(const struct h1_head *head, struct str protocol);
struct str ws_offered_after(const struct h1_head *head, struct str prefix);

/* A new one, from the kernel's random bytes. */
void ws_key_make(char key[WS_KEY_LEN + 1]);
void ws_accept_of(struct str key, char accept[WS_ACCEPT_LEN + 1]);

/* Does an answer of status 101 switch to what was asked for with this key? No subprotocol and no
 * extension was. When not, *reason is static text. */
bool ws_answered(const struct h1_head *head, const char key[WS_KEY_LEN + 1], const char **reason);

#endif

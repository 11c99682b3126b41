#include "base/seal.h"

#include "base/rng.h"
#include "base/str.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define NONCE crypto_secretbox_NONCEBYTES
#define MAC crypto_secretbox_MACBYTES
#define TEXT_MAX (64u << 10)

_Static_assert(HASH_LEN == crypto_secretbox_KEYBYTES, "a hash is a key");

static void
key_for(const uint8_t key[HASH_KEY_LEN], const char *purpose, uint8_t out[HASH_LEN])
{
    hash_keyed(key, purpose, strlen(purpose), out);
}

bool
seal_close(const uint8_t key[HASH_KEY_LEN], const char *purpose, struct str text, struct buf *hex)
{
    size_t len = NONCE + MAC + text.len;
    uint8_t own[HASH_LEN], *box;
    bool ok;

    if (text.len > TEXT_MAX || !buf_reserve(hex, 2 * len + 1))
        return false;
    box = malloc(len);
    if (box == NULL)
        return false;
    key_for(key, purpose, own);
    rng_bytes(box, NONCE);
    ok = crypto_secretbox_easy(box + NONCE, (const uint8_t *)text.ptr, text.len, box, own) == 0;
    if (ok) {
        str_hex(box, len, hex->ptr + hex->len); /* its NUL has room, too, and is not counted */
        hex->len += 2 * len;
    }
    explicit_bzero(own, sizeof(own));
    free(box);
    return ok;
}

bool
seal_open(const uint8_t key[HASH_KEY_LEN], const char *purpose, struct str hex, struct buf *text)
{
    size_t len = hex.len / 2;
    uint8_t own[HASH_LEN], *box;
    bool ok;

    if (hex.len % 2 != 0 || len < NONCE + MAC || len > NONCE + MAC + TEXT_MAX)
        return false;
    box = malloc(len);
    if (box == NULL)
        return false;
    key_for(key, purpose, own);
    ok = str_unhex(hex, box, len) && buf_reserve(text, len - NONCE - MAC + 1) &&
         crypto_secretbox_open_easy((uint8_t *)text->ptr + text->len, box + NONCE, len - NONCE, box,
                                    own) == 0;
    if (ok)
        text->len += len - NONCE - MAC;
    explicit_bzero(own, sizeof(own));
    free(box);
    return ok;
}

#include "manage/webhook_sign.h"

#include "base/str.h"

#include <sodium.h>
#include <stdio.h>

static void
mac_hex(struct str secret, const char *time, int time_len, struct str body,
        char out[2 * crypto_auth_hmacsha256_BYTES + 1])
{
    crypto_auth_hmacsha256_state state;
    uint8_t mac[crypto_auth_hmacsha256_BYTES];

    crypto_auth_hmacsha256_init(&state, (const uint8_t *)secret.ptr, secret.len);
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)time, (unsigned long long)time_len);
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)".", 1);
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)body.ptr, body.len);
    crypto_auth_hmacsha256_final(&state, mac);
    sodium_memzero(&state, sizeof(state));
    str_hex(mac, sizeof(mac), out);
}

void
webhook_sign(struct str secret, struct str old_secret, int64_t wall_s, struct str body,
             char out[WEBHOOK_HEADER_MAX])
{
    char time[24], hex[2 * crypto_auth_hmacsha256_BYTES + 1];
    int time_len = snprintf(time, sizeof(time), "%lld", (long long)wall_s), len;

    mac_hex(secret, time, time_len, body, hex);
    len = snprintf(out, WEBHOOK_HEADER_MAX, "turnpike-signature: t=%s,v1=%s", time, hex);
    if (old_secret.len == 0)
        return;
    mac_hex(old_secret, time, time_len, body, hex);
    snprintf(out + len, WEBHOOK_HEADER_MAX - (size_t)len, ",v1=%s", hex);
}

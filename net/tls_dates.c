/* Until when certificates hold. */
#include "net/tls_lib.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"

static int64_t
seconds_of(const mbedtls_x509_time *t)
{
    struct tm tm = {.tm_year = t->year - 1900,
                    .tm_mon = t->mon - 1,
                    .tm_mday = t->day,
                    .tm_hour = t->hour,
                    .tm_min = t->min,
                    .tm_sec = t->sec};

    return (int64_t)timegm(&tm);
}

void
tls_dates_of(const mbedtls_x509_crt *chain, struct tls_dates *out)
{
    memset(out, 0, sizeof(*out));
    for (; chain != NULL && chain->raw.p != NULL; chain = chain->next) {
        int64_t begin_s = seconds_of(&chain->valid_from), end_s = seconds_of(&chain->valid_to);

        if (out->count == 0 || begin_s > out->begin_s)
            out->begin_s = begin_s;
        if (out->count == 0 || end_s < out->end_s) {
            out->end_s = end_s;
            (void)mbedtls_x509_dn_gets(out->name, sizeof(out->name), &chain->subject);
        }
        out->count++;
    }
}

bool
tls_chain_dates(struct str chain_pem, struct tls_dates *out)
{
    unsigned char *text = malloc(chain_pem.len + 1);
    mbedtls_x509_crt chain;
    bool read;

    memset(out, 0, sizeof(*out));
    if (text == NULL)
        return false;
    memcpy(text, chain_pem.ptr, chain_pem.len);
    text[chain_pem.len] = 0;
    mbedtls_x509_crt_init(&chain);
    read = mbedtls_x509_crt_parse(&chain, text, chain_pem.len + 1) == 0;
    if (read)
        tls_dates_of(&chain, out);
    mbedtls_x509_crt_free(&chain);
    free(text);
    return read && out->count > 0;
}

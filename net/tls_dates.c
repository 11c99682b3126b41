/* Until when certificates hold, and for whom they are. */
#include "net/tls_lib.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"

#define SAN_DNS (MBEDTLS_ASN1_CONTEXT_SPECIFIC | 2)
#define SAN_IP (MBEDTLS_ASN1_CONTEXT_SPECIFIC | 7)

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

/* False: it cannot be read, and nothing is to be freed. */
static bool
chain_read(struct str chain_pem, mbedtls_x509_crt *chain)
{
    unsigned char *text = malloc(chain_pem.len + 1);
    bool read;

    if (text == NULL)
        return false;
    memcpy(text, chain_pem.ptr, chain_pem.len);
    text[chain_pem.len] = 0;
    mbedtls_x509_crt_init(chain);
    read = mbedtls_x509_crt_parse(chain, text, chain_pem.len + 1) == 0;
    if (!read)
        mbedtls_x509_crt_free(chain);
    free(text);
    return read;
}

bool
tls_chain_dates(struct str chain_pem, struct tls_dates *out)
{
    mbedtls_x509_crt chain;

    memset(out, 0, sizeof(*out));
    if (!chain_read(chain_pem, &chain))
        return false;
    tls_dates_of(&chain, out);
    mbedtls_x509_crt_free(&chain);
    return out->count > 0;
}

/* RFC 5280, 4.2.1.6: of the general names those that a server is checked for. "" for others. */
static struct str
name_text(const mbedtls_x509_buf *name, char room[INET6_ADDRSTRLEN])
{
    int family = name->len == 4 ? AF_INET : AF_INET6;

    if (name->tag == SAN_DNS) {
        for (size_t i = 0; i < name->len; i++)
            if (name->p[i] <= ' ' || name->p[i] >= 0x7f)
                return STR("");
        return (struct str){(const char *)name->p, name->len};
    }
    if (name->tag == SAN_IP && (name->len == 4 || name->len == 16) && inet_ntop(family, name->p, room, INET6_ADDRSTRLEN) != NULL)
        return str_from(room);
    return STR("");
}

bool
tls_chain_names(struct str chain_pem, void (*name)(void *arg, struct str text), void *arg)
{
    char room[INET6_ADDRSTRLEN], subject[256];
    mbedtls_x509_crt chain;
    bool any = false;

    if (!chain_read(chain_pem, &chain))
        return false;
    for (const mbedtls_x509_sequence *s = &chain.subject_alt_names; s != NULL && s->buf.p != NULL; s = s->next) {
        struct str text = name_text(&s->buf, room);

        if (text.len == 0)
            continue;
        any = true;
        name(arg, text);
    }
    if (!any && mbedtls_x509_dn_gets(subject, sizeof(subject), &chain.subject) > 0)
        name(arg, str_from(subject));
    mbedtls_x509_crt_free(&chain);
    return true;
}

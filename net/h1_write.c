#include "net/h1_write.h"

#include <string.h>

#include "net/h1_bytes.h"

void
h1_out_init(struct h1_out *out, char *ptr, size_t cap)
{
    *out = (struct h1_out){.ptr = ptr, .cap = cap};
}

/* memcpy() without the call for what is short, as nearly all is; the two moves of each case may
 * overlap. */
static inline char *
put(char *to, struct str s)
{
    if (s.len > 32) {
        memcpy(to, s.ptr, s.len);
    } else if (s.len >= 16) {
        memcpy(to, s.ptr, 16);
        memcpy(to + s.len - 16, s.ptr + s.len - 16, 16);
    } else if (s.len >= 8) {
        memcpy(to, s.ptr, 8);
        memcpy(to + s.len - 8, s.ptr + s.len - 8, 8);
    } else if (s.len >= 4) {
        memcpy(to, s.ptr, 4);
        memcpy(to + s.len - 4, s.ptr + s.len - 4, 4);
    } else if (s.len > 0) {
        to[0] = s.ptr[0];
        to[s.len / 2] = s.ptr[s.len / 2];
        to[s.len - 1] = s.ptr[s.len - 1];
    }
    return to + s.len;
}

/* Where len bytes go; NULL when they may not, or do not fit. */
static inline char *
room(struct h1_out *out, size_t len)
{
    char *at = out->ptr + out->len;

    if (UNLIKELY(out->failed || len > out->cap - out->len)) {
        out->failed = true;
        return NULL;
    }
    out->len += len;
    return at;
}

static inline void
add(struct h1_out *out, struct str s)
{
    char *at = room(out, s.len);

    if (at != NULL)
        put(at, s);
}

/* begin, value, CRLF. Both are good already. */
static inline void
add_line(struct h1_out *out, struct str begin, struct str value)
{
    char *at = room(out, begin.len + value.len + 2);

    if (at == NULL)
        return;
    at = put(at, begin);
    at = put(at, value);
    memcpy(at, "\r\n", 2);
}

/* Decimal, into the end of buf; returns where it begins. */
static inline struct str
decimal(uint64_t n, char buf[20])
{
    size_t i = 20;

    do
        buf[--i] = (char)('0' + n % 10);
    while ((n /= 10) != 0);
    return (struct str){buf + i, 20 - i};
}

struct str
h1_status_text(unsigned status)
{
    switch (status) {
    case 100: return STR("Continue");
    case 101: return STR("Switching Protocols");
    case 200: return STR("OK");
    case 201: return STR("Created");
    case 202: return STR("Accepted");
    case 204: return STR("No Content");
    case 301: return STR("Moved Permanently");
    case 302: return STR("Found");
    case 303: return STR("See Other");
    case 304: return STR("Not Modified");
    case 307: return STR("Temporary Redirect");
    case 308: return STR("Permanent Redirect");
    case 400: return STR("Bad Request");
    case 401: return STR("Unauthorized");
    case 402: return STR("Payment Required");
    case 403: return STR("Forbidden");
    case 404: return STR("Not Found");
    case 405: return STR("Method Not Allowed");
    case 406: return STR("Not Acceptable");
    case 408: return STR("Request Timeout");
    case 409: return STR("Conflict");
    case 410: return STR("Gone");
    case 411: return STR("Length Required");
    case 412: return STR("Precondition Failed");
    case 413: return STR("Content Too Large");
    case 414: return STR("URI Too Long");
    case 415: return STR("Unsupported Media Type");
    case 417: return STR("Expectation Failed");
    case 421: return STR("Misdirected Request");
    case 422: return STR("Unprocessable Content");
    case 425: return STR("Too Early");
    case 426: return STR("Upgrade Required");
    case 429: return STR("Too Many Requests");
    case 431: return STR("Request Header Fields Too Large");
    case 500: return STR("Internal Server Error");
    case 501: return STR("Not Implemented");
    case 502: return STR("Bad Gateway");
    case 503: return STR("Service Unavailable");
    case 504: return STR("Gateway Timeout");
    case 529: return STR("Overloaded");
    default: return STR("Unknown");
    }
}

void
h1_out_status(struct h1_out *out, unsigned status)
{
    char digits[20];

    if (status == 200) {
        add(out, STR("HTTP/1.1 200 OK\r\n"));
        return;
    }
    if (status < 100 || status > 599)
        out->failed = true;
    add(out, STR("HTTP/1.1 "));
    add(out, decimal(status, digits));
    add(out, STR(" "));
    add(out, h1_status_text(status));
    add(out, STR("\r\n"));
}

static inline bool
is_path(struct str s)
{
    return h1_target_is_clean((const uint8_t *)s.ptr, s.len, '?');
}

static inline bool
is_query(struct str s)
{
    return h1_target_is_clean((const uint8_t *)s.ptr, s.len, '#');
}

void
h1_out_request(struct h1_out *out, struct str method, struct h1_target target, struct str host)
{
    struct str begin = target.prefix.len > 0 ? target.prefix : target.path;

    if (!h1_is_token(method) || begin.len == 0 || begin.ptr[0] != '/' || !is_path(target.prefix) ||
        !is_path(target.path) || !is_query(target.query) || host.len == 0 || !is_path(host))
        out->failed = true;
    add(out, method);
    add(out, STR(" "));
    add(out, target.prefix);
    add(out, target.path);
    if (target.query.ptr) {
        add(out, STR("?"));
        add(out, target.query);
    }
    add_line(out, STR(" HTTP/1.1\r\nhost: "), host);
}

void
h1_out_begun(struct h1_out *out, struct str begin, struct str value)
{
    if (!h1_is_value(value))
        out->failed = true;
    add_line(out, begin, value);
}

void
h1_out_copy(struct h1_out *out, struct str name, const struct h1_head *head, size_t i)
{
    char *at = room(out, name.len + 2 + head->headers[i].value_len + 2);

    if (at == NULL)
        return;
    at = put(at, name);
    memcpy(at, ": ", 2);
    at = put(at + 2, h1_head_value(head, i));
    memcpy(at, "\r\n", 2);
}

void
h1_out_u64(struct h1_out *out, struct str begin, uint64_t value)
{
    char digits[20];

    add_line(out, begin, decimal(value, digits));
}

void
h1_out_length(struct h1_out *out, uint64_t content_length)
{
    h1_out_u64(out, STR("content-length: "), content_length);
}

void
h1_out_chunked(struct h1_out *out)
{
    add(out, STR("transfer-encoding: chunked\r\n"));
}

void
h1_out_connection(struct h1_out *out, bool keep_alive, unsigned minor)
{
    if (!keep_alive)
        add(out, STR("connection: close\r\n"));
    else if (minor == 0)
        add(out, STR("connection: keep-alive\r\n"));
}

void
h1_out_lines(struct h1_out *out, struct str lines)
{
    add(out, lines);
}

bool
h1_out_end(struct h1_out *out)
{
    add(out, STR("\r\n"));
    return !out->failed;
}

static void
two_digits(char *at, unsigned n)
{
    at[0] = (char)('0' + n / 10 % 10);
    at[1] = (char)('0' + n % 10);
}

/* Days since 1970-01-01 to a civil date: the year is counted from March, in eras of 400 years,
 * so that the leap day is the last of its year. Dates before 1970 are not asked for. */
static void
civil_of_days(uint32_t days, unsigned *year, unsigned *month, unsigned *day)
{
    uint32_t z = days + 719468, era = z / 146097, doe = z % 146097;
    uint32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint32_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    uint32_t mp = (5 * doy + 2) / 153;

    *day = doy - (153 * mp + 2) / 5 + 1;
    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = yoe + era * 400 + (*month <= 2);
}

static void
write_date(struct h1_date *date, int64_t wall_s)
{
    static const char days[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint32_t day_count = (uint32_t)(wall_s / 86400), second = (uint32_t)(wall_s % 86400);
    unsigned year, month, day;
    char *at = date->line + 6;

    civil_of_days(day_count, &year, &month, &day);
    memcpy(date->line, "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n", sizeof(date->line));
    memcpy(at, days + day_count % 7 * 3, 3);
    two_digits(at + 5, day);
    memcpy(at + 8, months + (month - 1) * 3, 3);
    two_digits(at + 12, year / 100);
    two_digits(at + 14, year % 100);
    two_digits(at + 17, second / 3600);
    two_digits(at + 20, second / 60 % 60);
    two_digits(at + 23, second % 60);
    date->wall_s = wall_s;
}

struct str
h1_date_text(struct h1_date *date, int64_t wall_us)
{
    static const int64_t end_s = 253402300799; /* the last second of the year 9999 */
    int64_t wall_s = wall_us < 0 ? 0 : MIN(wall_us / 1000000, end_s);

    if (date->wall_s != wall_s || date->line[0] == 0)
        write_date(date, wall_s);
    return (struct str){date->line + 6, 29};
}

void
h1_out_date(struct h1_out *out, struct h1_date *date, int64_t wall_us)
{
    char *at = room(out, sizeof(date->line));

    (void)h1_date_text(date, wall_us);
    if (at != NULL)
        memcpy(at, date->line, sizeof(date->line));
}

size_t
h1_chunk_head(size_t len, char out[H1_CHUNK_HEAD_MAX])
{
    static const char hex[] = "0123456789abcdef";
    unsigned digits = 1;

    ASSERT(len > 0); /* a size of 0 would end the message */
    while (digits < 16 && len >> (4 * digits) != 0)
        digits++;
    for (unsigned i = 0; i < digits; i++)
        out[i] = hex[len >> (4 * (digits - 1 - i)) & 15];
    out[digits] = '\r';
    out[digits + 1] = '\n';
    return digits + 2;
}
